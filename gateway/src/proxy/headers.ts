// Headers: which go on, which end here, and which the proxy says itself.
import type { IncomingMessage } from 'node:http'
import { type Addresses, UNIX } from './addresses.ts'
import { HttpRefusal } from './errors.ts'

/** Headers to be sent: of several with one name, a list. */
export type HeaderMap = Record<string, string | string[]>

/** RFC 9110, 7.6.1: these are for the next hop only. */
const HOP_BY_HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'upgrade', 'http2-settings'],
  ...['proxy-authenticate', 'proxy-authorization'],
])
/** What a sender may not have removed by naming it in Connection: upstream and record would see different requests. */
const NEVER_REMOVED = /^(?:host|content-.*|authorization|cookie|expect|trailer|forwarded|x-forwarded-.*|via)$/
/** RFC 9112, 3.2. Servers that join host and path to a URL find another path where the host has a slash or a question mark. */
const HOST = /^(?:\[[\w:.%-]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/
/** Not in trailers: they would change what was said before. */
const NEVER_TRAILING = /^(?:host|content-.*|authorization|cookie|set-cookie|expect|trailer|cache-control|location|:.*)$/
const ONCE = new Set(['host', ':authority', 'content-length', 'authorization', 'transfer-encoding'])

/**
 * What proxies say of the way that a request has come. By the last three some servers take another path than that of the request: of `/a/b` gunicorn
 * makes `/b` where SCRIPT_NAME is `/a`.
 */
const OF_THE_WAY = /^(?:forwarded|x-forwarded-.*|x-real-ip|x-original-url|x-rewrite-url|(?:x-)?script-name)$/

/** What the proxy says of the way that a request has come. */
export type RequestWay = {
  readonly peer: string
  readonly isTls: boolean
  readonly isTrusted: Addresses
  /** Host that the upstream is asked for; null: the client's. */
  readonly host: string | null
  /** Header in which trusted proxies say who asks; from others it does not go on. */
  readonly identity: { readonly name: string; readonly isBelieved: boolean } | null
}

/** A name as servers read it that make variables of headers: `X_A` is `X-A` to most, and to lighttpd's CGI `X.A` and `X!A` are too. */
export const dashedName = (name: string): string => {
  const lower = name.toLowerCase()
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9]/g, '-') : lower
}

/** Whether it came by HTTP/2: a request of HTTP/1.1 can say so without being it. */
export const isHttp2 = (req: IncomingMessage): boolean => 'stream' in req

/** The host that the client has asked for. */
export const hostOf = ({ headers }: IncomingMessage): string => headers[':authority' as 'host'] ?? headers.host ?? ''

/**
 * @param identity header in which proxies say who asks; null: none does
 * @throws HttpRefusal for what can be read in two ways, or is too much
 */
export function checkHead(
  req: IncomingMessage,
  limits: { headers: number; headerBytes: number },
  identity: string | null,
): void {
  const { rawHeaders, headers, httpVersion } = req
  if (rawHeaders.length / 2 > limits.headers) throw new HttpRefusal('http_headers_too_large')
  // Node's parser takes any version's number in the line of a request.
  if (!isHttp2(req) && httpVersion !== '1.1' && httpVersion !== '1.0')
    throw new HttpRefusal('http_request_invalid', 'The version is neither HTTP/1.1 nor HTTP/1.0.')
  const seen = new Set<string>()
  let bytes = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    // Of HTTP/2 Node holds to this bound only once the client has acknowledged it.
    bytes += rawHeaders[i]!.length + rawHeaders[i + 1]!.length
    if (bytes > limits.headerBytes) throw new HttpRefusal('http_headers_too_large')
    const name = rawHeaders[i]!.toLowerCase()
    if (!ONCE.has(name)) continue
    if (seen.has(name)) throw new HttpRefusal('http_request_invalid', `There is more than one ${name} header.`)
    seen.add(name)
  }
  if (seen.has('content-length') && seen.has('transfer-encoding'))
    throw new HttpRefusal('http_request_invalid', 'There are Content-Length and Transfer-Encoding.')
  if (
    seen.has('transfer-encoding') &&
    (httpVersion !== '1.1' || headers['transfer-encoding']!.toLowerCase() !== 'chunked')
  )
    // Of HTTP/1.0 some read it and others do not (RFC 9112, 6.1).
    throw new HttpRefusal('http_request_invalid', 'Transfer-Encoding must be chunked, and of HTTP/1.1.')
  if (seen.has(':authority') && seen.has('host') && headers[':authority' as 'host'] !== headers.host)
    throw new HttpRefusal('http_request_invalid', 'Host and :authority differ.')
  if (!HOST.test(hostOf(req))) throw new HttpRefusal('http_request_invalid', 'The Host header names no host.')
  const named = tokens(headers.connection).find((name) => name === identity || NEVER_REMOVED.test(name))
  if (named !== undefined) throw new HttpRefusal('http_request_invalid', `Connection must not name ${named}.`)
}

/** The headers that go on to the upstream. */
export function requestHeaders(req: IncomingMessage, forwarding: RequestWay): HeaderMap {
  const { peer, isTls, isTrusted, host, identity } = forwarding
  const isFromProxy = isTrusted(peer)
  const asked = hostOf(req)
  const sent = kept(req.rawHeaders, req.headers.connection, (name) => {
    const dashed = dashedName(name)
    if (identity !== null && dashed === identity.name) return identity.isBelieved && dashed === name
    if (!OF_THE_WAY.test(dashed)) return true
    // Its underscore is how gunicorn knows it.
    return isFromProxy && (dashed === name || name === 'script_name')
  })
  const proto = isTls ? 'https' : 'http'
  const node = peer === UNIX ? UNIX : peer
  sent.host = host ?? asked
  const quoted = /[:[]/.test(node) ? `"[${node}]"` : peer === UNIX ? '_unix' : node
  append(sent, 'x-forwarded-for', node)
  append(sent, 'forwarded', `for=${quoted};host="${asked.replace(/["\\]/g, '')}";proto=${proto}`)
  sent['x-forwarded-proto'] ??= proto
  sent['x-forwarded-host'] ??= asked
  if (tokens(req.headers.te).includes('trailers')) sent.te = 'trailers'
  return sent
}

type AnswerHead = {
  readonly rawHeaders: readonly string[]
  readonly headers: { readonly connection?: string | undefined }
}

/** The headers that go back to the client. */
export function responseHeaders({ rawHeaders, headers }: AnswerHead): HeaderMap {
  return kept(rawHeaders, headers.connection, () => true)
}

/** Trailers that go on: some servers read them like headers. @param identity header that says who asks, which is believed only there */
export function trailersOf({ rawTrailers }: IncomingMessage, identity: string | null = null): HeaderMap | null {
  if (rawTrailers.length === 0) return null
  return kept(rawTrailers, undefined, (name) => {
    const dashed = dashedName(name)
    return dashed !== identity && !OF_THE_WAY.test(dashed) && !NEVER_TRAILING.test(dashed)
  })
}

/** Cookies of HTTP/2 come in parts (RFC 9113, 8.2.3). */
function append(sent: HeaderMap, name: string, value: string, separator = ', '): void {
  const before = sent[name]
  sent[name] = before === undefined ? value : `${[before].flat().join(separator)}${separator}${value}`
}

function kept(raw: readonly string[], connection: string | undefined, goesOn: (name: string) => boolean): HeaderMap {
  const removed = connection === undefined ? [] : tokens(connection)
  // Without a prototype, or a header named `constructor` would be there before it comes.
  const sent: HeaderMap = Object.create(null)
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    if (name.startsWith(':') || HOP_BY_HOP.has(name) || removed.includes(name) || !goesOn(name)) continue
    const value = raw[i + 1]!
    const before = sent[name]
    if (before === undefined) sent[name] = value
    else if (name === 'cookie') append(sent, name, value, '; ')
    else sent[name] = [...[before].flat(), value]
  }
  return sent
}

const tokens = (value: string | string[] | undefined): string[] =>
  value === undefined
    ? []
    : [value]
        .flat()
        .join()
        .split(',')
        .map((each) => each.trim().toLowerCase())
