import { dirname, resolve } from 'node:path'
import type { JsonValue } from '@killick/sdk/core'
import { readConfigFile } from '../config-file.ts'
import { listenOf } from '../listen.ts'
import { MAX_MS, type Members, members } from '../members.ts'
import { DETAILS } from '../sessions/event.ts'
import {
  type RecorderLimits,
  type RecorderSettings,
  recorderLimitsOf,
  recorderSettingsOf,
  throwFaults,
} from '../sessions/settings.ts'
import { addressesOf } from './addresses.ts'
import { type HttpRoute, makeRouter, routeParts } from './routes.ts'
import type { HttpUpstream } from './upstream.ts'
import { type HttpTokens, type HttpWho, PUBLIC_KEY_ALGORITHMS } from './who.ts'

/** Fields of their own, so that an event can be shown without them. */
export const HTTP_FIELDS = ['requestBody', 'responseBody'] as const

/**
 * Everything that can be set for `killick-gateway http`, from one JSON file. This is the manual, with that of `RecorderSettings`. Paths are
 * relative to the file's folder; a member that is not listed here or there is a fault. `actor` is who asks where nothing vouches for another.
 */
export type HttpConfig = RecorderSettings & {
  /** Where clients connect; at least one of `port` and `socket`. */
  listen: HttpListen
  /** The server behind the proxy: an object with `url` and more, or its URL alone. */
  upstream: HttpUpstream
  /** How requests are recorded, by route: src/proxy/routes.ts has the members. What is fixed in a template goes before its parameters. */
  routes: HttpRoute[]
  /** What becomes of requests that fit no route: `record` them as `http.request`, or `pass` them on unrecorded. There is no default. */
  unmatched: 'record' | 'pass'
  /**
   * Paths that servers may read in more than one way, such as `/a/..%2Fb` or `/a;x/b`: `record` all of them, whatever is set for their route,
   * or `refuse` them with 400. They go on as they came. Default `record`.
   */
  oddPaths: 'record' | 'refuse'
  /** Of queries: the names only (`names`, the default), or values too, after redaction (`show`). */
  query: 'names' | 'show'
  /** How the proxy learns who asks. src/proxy/who.ts has the members. Default: not at all. */
  who: HttpWho
  /**
   * Addresses of proxies before this one, ranges such as `10.0.0.0/8`, `unix` for the socket: what they say in X-Forwarded-*, Forwarded and such
   * goes on, with this proxy's own word behind it. From others these headers are left out. Default: nobody.
   */
  trustedProxies: string[]
  /** Address for `/healthz`, `/readyz` and `/metrics`: an object with `host` (default 127.0.0.1) and `port`. Default: none. */
  admin: { host: string; port: number } | null
  limits: HttpLimits
}

/** Where the proxy takes requests: on TCP, on a unix socket, or both. */
export type HttpListen = {
  /** Address. Default 127.0.0.1. */
  host: string
  /** Port; 0 takes a free one. Default: none, only the socket. */
  port: number | null
  /** Serves HTTPS on the port, HTTP/2 and HTTP/1.1 by ALPN. Without it the port takes HTTP/1.1. Default: none. */
  tls: HttpTls | null
  /** Path of a unix socket for HTTP/1.1. Default: none. */
  socket: string | null
  /** Mode of the socket's file, octal text. Default `660`. */
  socketMode: number
}

/** Certificates of the listener: its own, and those that clients may show. */
export type HttpTls = {
  /** File with the certificate, and those between it and the root, PEM. */
  cert: string
  /** File with its private key, PEM. */
  key: string
  /** File with the certificates of those who sign client certificates, PEM. Default: client certificates are not asked for. */
  clientCa: string | null
  /** Whether a connection without a valid client certificate is closed at once. Default false. */
  clientRequired: boolean
}

/** Bounds on what clients may have under way, and how long the proxy waits. */
export type HttpLimits = RecorderLimits & {
  /** Size of a request's headers, bytes. Default 16 KiB. */
  headerBytes: number
  /** Their number. Default 200. */
  headers: number
  /** How long the headers of a request may take to arrive, ms. Default 15,000. */
  headersMs: number
  /** Requests and websockets under way. Default 10,000. */
  openRequests: number
  /** Connections of clients, on each listener. Default 10,000. */
  connections: number
  /** Connections to the upstream, without those of websockets. Default 256. */
  upstreamConnections: number
  /** How long a connection to the upstream may take, waiting for a free one included, ms. Default 10,000. */
  connectMs: number
  /** How long nothing may pass before the upstream answers, ms. Default 300,000. */
  answerMs: number
  /** How long nothing may pass of an answer or a websocket, ms. Default 900,000. */
  idleMs: number
  /** How long requests under way may take when the proxy is stopped, ms. Default 10,000. */
  graceMs: number
}

/**
 * The configuration in a file.
 * @throws GatewayStartError `gateway_config_invalid` with every fault at once, each with the place of its member as a JSON pointer
 */
export function readHttpConfig(file: string): HttpConfig {
  return checkHttpConfig(readConfigFile(file), dirname(file))
}

/** The same, of what the file holds. @param folder what paths are relative to */
export function checkHttpConfig(value: JsonValue, folder: string = process.cwd()): HttpConfig {
  const faults: string[] = []
  const root = members(value, '', faults)
  const path = (text: string | null) => (text === null ? null : resolve(folder, text))
  const config: HttpConfig = {
    ...recorderSettingsOf(root, folder, faults, { fields: [...HTTP_FIELDS, DETAILS] }),
    listen: listenOf(root.object('listen'), path),
    upstream: upstreamOf(root, path),
    routes: root.has('routes')
      ? root.list('routes').map((each, i) => routeOf(members(each, `/routes/${i}`, faults)))
      : [],
    unmatched: root.has('unmatched') ? root.choice('unmatched', ['record', 'pass']) : 'record',
    oddPaths: root.choice('oddPaths', ['record', 'refuse']),
    query: root.choice('query', ['names', 'show']),
    who: whoOf(root.object('who'), path),
    trustedProxies: root.texts('trustedProxies') ?? [],
    admin: root.has('admin') ? adminOf(root.object('admin')) : null,
    limits: limitsOf(root.object('limits')),
  }
  if (!root.has('unmatched')) root.fault('unmatched', 'is missing: record or pass')
  root.done()
  const { listen, who, routes } = config
  if (listen.port === null && listen.socket === null) faults.push('/listen must have a port or a socket')
  if (who.certificates && !listen.tls?.clientCa) faults.push('/who/certificates needs /listen/tls with clientCa')
  if (who.required && who.jwt === null && !who.certificates && who.header === null)
    faults.push('/who/required needs jwt, certificates or header, or nobody could ask')
  for (const [name, list] of [
    ['trustedProxies', config.trustedProxies],
    ['who/header/from', who.header?.from ?? []],
  ] as const)
    addressesOf(list, (entry) =>
      faults.push(`/${name}: ${entry} must be an address, a range such as 10.0.0.0/8, or unix`),
    )
  makeRouter(routes, true, (i, why) => faults.push(`/routes/${i}/route ${why}`))
  throwFaults(faults)
  return config
}

const ORIGIN = /^(?:unix:\/.+|https?:\/\/(?:[\w.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?\/?)$/i
const ORIGIN_WHY = 'must be an origin such as http://127.0.0.1:3000, or unix: and the path of a socket'

function upstreamOf(root: Members, path: (text: string | null) => string | null): HttpUpstream {
  if (typeof root.any('upstream') === 'string')
    return {
      ...{ url: root.text('upstream', ORIGIN, ORIGIN_WHY), serverName: null, host: 'client' },
      ...{ ca: null, cert: null, key: null },
    }
  const upstream = root.object('upstream')
  const made: HttpUpstream = {
    url: upstream.text('url', ORIGIN, ORIGIN_WHY),
    serverName: upstream.has('serverName')
      ? upstream.text('serverName', /^(?!-)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/, 'must be a name of DNS')
      : null,
    ca: path(upstream.optional('ca')),
    cert: path(upstream.optional('cert')),
    key: path(upstream.optional('key')),
    host: upstream.choice('host', ['client', 'upstream']),
  }
  if (made.serverName !== null && !made.url.startsWith('https://')) upstream.fault('serverName', 'is for https:// only')
  if ((made.cert === null) !== (made.key === null)) upstream.fault('', 'must have both cert and key, or none')
  upstream.done()
  return made
}

function routeOf(route: Members): HttpRoute {
  const target = route.has('target') ? route.object('target') : null
  const made: HttpRoute = {
    route: route.text('route'),
    action: route.has('action') ? route.text('action', /^[\w.:-]{1,200}$/, 'must be a name such as user.update') : null,
    target: target && { type: target.text('type'), id: target.text('id') },
    record: !route.has('record') || route.flag('record'),
    bodies: route.choice('bodies', ['none', 'hash', 'show']),
    mode: route.has('mode') ? route.choice<'strict' | 'observe'>('mode', ['strict', 'observe']) : null,
  }
  const names = new Set([...(routeParts(made.route)?.path ?? '').matchAll(/:(\w+)/g)].map(([, name]) => name))
  for (const [, name] of made.target?.id.matchAll(/:(\w+)/g) ?? [])
    if (!names.has(name)) target!.fault('id', `names :${name}, which the route does not have`)
  target?.done()
  route.done()
  return made
}

function whoOf(who: Members, path: (text: string | null) => string | null): HttpWho {
  const header = who.has('header') ? who.object('header') : null
  const made: HttpWho = {
    jwt: who.has('jwt') ? tokensOf(who.object('jwt'), path) : null,
    certificates: who.flag('certificates'),
    header: header && {
      name: header.text('name', /^[a-z0-9-]{1,64}$/i, 'must be the name of a header, with no underscore').toLowerCase(),
      from: header.texts('from') ?? [],
    },
    type: who.text('type', /^.{1,64}$/, 'must be 1 to 64 characters', 'user'),
    required: who.flag('required'),
  }
  if (made.header?.from.length === 0) header!.fault('from', 'must name the addresses that may say it')
  header?.done()
  who.done()
  return made
}

function tokensOf(jwt: Members, path: (text: string | null) => string | null): HttpTokens {
  const made: HttpTokens = {
    jwksUrl: jwt.has('jwksUrl') ? jwt.text('jwksUrl', /^https?:\/\/./, 'must be an http(s) URL') : null,
    keys: path(jwt.optional('keys')),
    issuer: jwt.text('issuer'),
    audience: jwt.text('audience'),
    algorithms: jwt.texts('algorithms') ?? PUBLIC_KEY_ALGORITHMS,
    clockToleranceS: jwt.integer('clockToleranceS', 5, 0, 3_600),
    claim: jwt.text('claim', /./, 'must not be empty', 'sub'),
  }
  if ((made.jwksUrl === null) === (made.keys === null)) jwt.fault('', 'must have one of jwksUrl and keys')
  const odd = made.algorithms.find((each) => !PUBLIC_KEY_ALGORITHMS.includes(each))
  if (odd !== undefined) jwt.fault('algorithms', `has ${odd}: only ${PUBLIC_KEY_ALGORITHMS.join(', ')} can be`)
  jwt.done()
  return made
}

function adminOf(admin: Members): NonNullable<HttpConfig['admin']> {
  const made = {
    host: admin.text('host', /./, 'must not be empty', '127.0.0.1'),
    port: admin.integer('port', 0, 0, 65_535),
  }
  admin.done()
  return made
}

function limitsOf(limits: Members): HttpLimits {
  const made: HttpLimits = {
    ...recorderLimitsOf(limits),
    headerBytes: limits.integer('headerBytes', 16 << 10, 1024, 1 << 20),
    headers: limits.integer('headers', 200, 10, 10_000),
    headersMs: limits.integer('headersMs', 15_000, 100, 600_000),
    openRequests: limits.integer('openRequests', 10_000, 1, 1e6),
    connections: limits.integer('connections', 10_000, 1, 1e6),
    upstreamConnections: limits.integer('upstreamConnections', 256, 1, 1e5),
    connectMs: limits.integer('connectMs', 10_000, 1, MAX_MS),
    answerMs: limits.integer('answerMs', 300_000, 1, MAX_MS),
    idleMs: limits.integer('idleMs', 900_000, 1, MAX_MS),
    graceMs: limits.integer('graceMs', 10_000, 0, MAX_MS),
  }
  limits.done()
  return made
}
