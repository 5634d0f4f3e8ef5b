import { dirname, resolve } from 'node:path'
import { isSourceName, type JsonValue } from '@killick/sdk/core'
import { readConfigFile } from './config-file.ts'
import { GatewayStartError } from './errors.ts'
import { listenOf } from './listen.ts'
import { MAX_BYTES, MAX_MS, type Members, members } from './members.ts'
import { checkMapping, type MappingConfig } from './receivers/mapping.ts'
import { type SealedSettings, sealedSettingsOf } from './sealed/settings.ts'

/**
 * Everything that can be set, from one JSON file. This is the manual. Paths are relative to the file's folder; a member that is
 * not listed here is a fault.
 */
export type CollectorConfig = {
  /** Base URL of the anchor service, e.g. `https://audit.example.com`. */
  url: string
  /** The collector's own name: the source that its key is registered for, and under which all its events stand. */
  source: string
  /** File with the private JWK of that source, mode 600; `killick keygen` makes one. */
  key: string
  /** Folder for events that the ledger has not accepted, and for the ids of senders. One for each collector; keep it. */
  spool: string
  /** C2SP verifier key of the log (`GET /v1/log` shows it). Pin it. Default: the key that the service names first. */
  logKey: string | null
  /** File with a reader token of the service. Needed for `?wait=anchored`, and for nothing else. Default: none. */
  readerToken: string | null
  /** Where emitters connect; at least one of `port` and `socket`. */
  listen: CollectorListen
  /** How log records on /v1/logs that have no `audit.*` attributes become events. Default: they are rejected. */
  otlp: OtlpConfig | null
  /** Where messages of syslog (RFC 5424) arrive. Default: nowhere. */
  syslog: SyslogConfig | null
  /** Files of NDJSON that are followed. Default: none. */
  files: FollowedFile[]
  /** Who may record, and as what. At least one. */
  emitters: EmitterConfig[]
  /** Names of event fields beyond those of the protocol that emitters may use. Default: none. */
  fields: string[]
  /** Mapping rules by name, for POST /v1/map/<name>: src/receivers/mapping.ts has them, `killick-gateway map` tries them. */
  mappings: Readonly<Record<string, MappingConfig>>
  /** Which fields only holders of a key can read: `SealedSettings` has the members. Default: none. */
  sealed: SealedSettings | null
  limits: CollectorLimits
  /** `silent`, `error`, `warn`, `info` or `debug`; lines are JSON on standard output. Default `info`. */
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
}

/** Where the collector takes requests: on TCP, on a unix socket, or both. */
export type CollectorListen = {
  /** Address. Default 127.0.0.1. Keys travel in the clear without `tls`, so leave it there or set `tls`. */
  host: string
  /** Port; 0 takes a free one. Default: none, only the socket. */
  port: number | null
  /** Serves HTTPS on the port, and no HTTP. Default: none. */
  tls: CollectorTls | null
  /** Path of a unix socket. Whoever may open the file may send; the emitter with `socket: true` is who that is. Default: none. */
  socket: string | null
  /** Mode of the socket's file, octal text. Default `660`. */
  socketMode: number
}

/** A file of NDJSON whose new lines are recorded, across rotation. */
export type FollowedFile = {
  /** Its path. What it is renamed to must be its name and a number, a date or `old`, and stay in its folder until it is read. */
  path: string
  /** The emitter that its lines are taken for. */
  emitter: string
  /** The mapping that makes events of its lines. Default: they are plain JSON. */
  mapping: string | null
}

/** How log records of OTLP without `audit.*` attributes become events. */
export type OtlpConfig = {
  /**
   * The mapping that makes events of them. Its input is a record as an object with `eventName`, `severity`, `severityNumber`, `body`,
   * `time`, `observedTime`, `traceparent`, `traceId`, `spanId`, `scope` (`name`, `version`), and by their names `attributes` and
   * `resource`. What the mapping does not cover is rejected in the answer, and counted.
   */
  mapping: string
}

/** Where messages of syslog (RFC 5424) arrive, and how they become events. */
export type SyslogConfig = {
  /** Address. Default 127.0.0.1. */
  host: string
  /** Port for UDP, 0 takes a free one. Anybody who can send a packet can make an event; its `auth` is `none`. Default: none. */
  udpPort: number | null
  /** The emitter that messages over UDP are taken for. */
  udpEmitter: string | null
  /** Port for TLS, with the certificate of `listen.tls`. Client certificates are required. Default: none. */
  tlsPort: number | null
  /** The mapping that makes events of messages (src/syslog/message.ts has their form). Default: one that keeps everything. */
  mapping: string | null
}

/** Certificates of a listener: its own, and those that emitters may show. */
export type CollectorTls = {
  /** File with the certificate, and those between it and the root, PEM. */
  cert: string
  /** File with its private key, PEM. */
  key: string
  /** File with the certificates of those who sign client certificates, PEM. Default: client certificates are not asked for. */
  clientCa: string | null
  /** Whether a connection without a valid client certificate is closed at once, key or not. Default false. */
  clientRequired: boolean
}

/**
 * A program, or a group of them, that records through the collector. In all lists of names an entry that ends in `*` stands for
 * everything that begins so.
 */
export type EmitterConfig = {
  /** Its name, as events show it: letters, digits, dots, underscores, hyphens; at most 64. */
  name: string
  /** Its keys, as `killick-gateway key` prints them: `<prefix>:<SHA-256 in hex>`. Two, while one replaces the other. */
  keys: string[]
  /** Its client certificates: `dns:<name>` or `uri:<URI>` of the subject's alternative names, or `sha256:<fingerprint in hex>`. */
  certificates: string[]
  /** Whether it is whoever connects to the unix socket and shows no key. At most one emitter. Default false. */
  socket: boolean
  /** Sources that it may name. The first one is taken where it names none, unless that ends in `*`. Default: its own name. */
  sources: string[]
  /** Tenants (`context.tenant`) that it may record for. A single one is written where it names none. Default: any, or none. */
  tenants: string[] | null
  /** Actions that it may record, e.g. `invoice.*`. Default: any. */
  actions: string[] | null
}

/** Bounds on what emitters may send and have under way, and what the collector keeps. */
export type CollectorLimits = {
  /** Largest body, as sent and decompressed, in bytes; NDJSON may be longer. 1,024 to 64 MiB, default 16 MiB. */
  bodyBytes: number
  /** Largest NDJSON body, decompressed, in bytes: it is recorded as it arrives. Default 1 GiB. */
  streamBytes: number
  /** Events in one body; of NDJSON, events that are recorded together. Default 10,000. */
  bodyEvents: number
  /** Requests under way. An emitter may have as many as are left free: one alone half of them. Default 1,024. */
  requests: number
  /** Bytes of bodies in memory, shared in the same way. Default 128 MiB. */
  memoryBytes: number
  /** Connections open at a time, on each listener. Default 10,000. */
  connections: number
  /** Time in which a whole request must have arrived, ms. Default 60,000. */
  requestMs: number
  /** How long `?wait=` waits at most, ms; then the answer is 202, and the event durable all the same. Default 30,000. */
  waitMs: number
  /** Size of the spool at which events are refused, in bytes; at least 1 MiB. Default 1 GiB. */
  spoolBytes: number
  /** How long a stop waits for the ledger to accept what is in the spool, ms. What is left stays there. Default 10,000. */
  drainMs: number
  /** For how many days the ids of senders are remembered. Default 7. */
  idDays: number
  /** How many ids are remembered at least before the oldest go earlier. Default 10,000,000: about 700 MB of disk, 120 MB of memory. */
  ids: number
}

const EMITTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const KEY_ENTRY = /^[a-z0-9]{8}:[0-9a-f]{64}$/
const CERTIFICATE = /^(dns:[^\s,]+|uri:[^\s,]+|sha256:[0-9a-f]{64})$/

/**
 * The configuration in a file.
 * @throws GatewayStartError `gateway_config_invalid` with every fault at once, each with the place of its member as a JSON pointer
 */
export function readCollectorConfig(file: string): CollectorConfig {
  return checkCollectorConfig(readConfigFile(file), dirname(file))
}

/** The same, of what the file holds. @param folder what paths are relative to */
export function checkCollectorConfig(value: JsonValue, folder: string = process.cwd()): CollectorConfig {
  const faults: string[] = []
  const root = members(value, '', faults)
  const path = (text: string | null) => (text === null ? null : resolve(folder, text))
  const fields = root.texts('fields', /^[A-Za-z][A-Za-z0-9_]{0,63}$/) ?? []
  const config: CollectorConfig = {
    url: root.text('url', /^https?:\/\/./, 'must be an http(s) URL'),
    source: root.text('source', /./, 'is missing'),
    key: resolve(folder, root.text('key')),
    spool: resolve(folder, root.text('spool')),
    logKey: root.optional('logKey'),
    readerToken: path(root.optional('readerToken')),
    listen: listenOf(root.object('listen'), path),
    otlp: root.has('otlp') ? otlpOf(root.object('otlp')) : null,
    syslog: root.has('syslog') ? syslogOf(root.object('syslog')) : null,
    files: root.has('files')
      ? root.list('files').map((each, i) => fileOf(members(each, `/files/${i}`, faults), path))
      : [],
    emitters: root.list('emitters').map((each, i) => emitterOf(members(each, `/emitters/${i}`, faults))),
    fields,
    mappings: mappingsOf(root, path, faults),
    sealed: sealedSettingsOf(root, folder, [...SEALABLE, ...fields], [COLLECTED]),
    limits: limitsOf(root.object('limits')),
    logLevel: root.choice('logLevel', ['info', 'silent', 'error', 'warn', 'debug']),
  }
  root.done()
  const { source, emitters, listen } = config
  if (source !== '' && !isSourceName(source))
    faults.push('/source must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens')
  if (emitters.length === 0) faults.push('/emitters must name at least one emitter, or nobody could record')
  if (listen.port === null && listen.socket === null) faults.push('/listen must have a port or a socket')
  const own = fields.find((name) => ['id', 'source', COLLECTED].includes(name))
  if (own !== undefined) faults.push(`/fields must not hold ${own}, which means something else here`)
  faults.push(...sharedBy(emitters))
  for (const [name, { signed }] of Object.entries(config.mappings))
    if (signed !== null && !emitters.some((emitter) => emitter.name === signed.emitter))
      faults.push(`/mappings/${name}/signed/emitter is no emitter of this file`)
  faults.push(...syslogFaults(config), ...nobodyFaults(config))
  if (config.otlp !== null && !Object.hasOwn(config.mappings, config.otlp.mapping))
    faults.push(`/otlp/mapping: there is no mapping ${config.otlp.mapping}`)
  for (const [i, { path, emitter, mapping }] of config.files.entries()) {
    const first = config.files.findIndex((file) => file.path === path)
    if (first < i) faults.push(`/files/${i}/path is that of /files/${first}, whose lines are recorded once`)
    if (!emitters.some(({ name }) => name === emitter))
      faults.push(`/files/${i}/emitter must be an emitter of this file`)
    if (mapping !== null && !Object.hasOwn(config.mappings, mapping)) faults.push(`/files/${i}: no mapping ${mapping}`)
  }
  if (listen.socket === null && emitters.some(({ socket }) => socket))
    faults.push('/listen/socket is missing, which an emitter with "socket": true needs')
  if (!listen.tls?.clientCa && emitters.some(({ certificates }) => certificates.length > 0))
    faults.push('/listen/tls/clientCa is missing, which an emitter with certificates needs')
  if (faults.length > 0)
    throw new GatewayStartError(
      'gateway_config_invalid',
      `The configuration has faults:\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
      faults,
    )
  return config
}

/** Fields of the protocol that can be sealed. */
const SEALABLE = ['actor', 'targets', 'context', 'changes', 'metadata']

/** The field in which an event says who handed it in. */
export const COLLECTED = 'collected'

/** Emitters that nobody could be: without a credential, and not named where none is asked for. */
function nobodyFaults({ emitters, files, syslog, mappings }: CollectorConfig): string[] {
  const signers = Object.values(mappings).map(({ signed }) => signed?.emitter)
  const named = new Set([...files.map(({ emitter }) => emitter), syslog?.udpEmitter, ...signers])
  return emitters.flatMap(({ name, keys, certificates, socket }, i) =>
    keys.length + certificates.length > 0 || socket || named.has(name)
      ? []
      : [`/emitters/${i} needs keys, certificates or "socket": true, or nobody could be it`],
  )
}

/** What must belong to one emitter only: its name, each key, each certificate, the socket. */
function sharedBy(emitters: readonly EmitterConfig[]): string[] {
  const owners = new Map<string, number>()
  const faults: string[] = []
  for (const [i, { name, keys, certificates, socket }] of emitters.entries()) {
    const marks = [`the name ${name}`, ...keys.map((key) => `the key ${key.slice(0, 8)}`)]
    for (const mark of [...marks, ...certificates, ...(socket ? ['the socket'] : [])]) {
      const owner = owners.get(mark)
      if (owner !== undefined) faults.push(`/emitters/${i} has ${mark}, which is that of /emitters/${owner}`)
      owners.set(mark, i)
    }
  }
  return faults
}

function fileOf(file: Members, path: (text: string | null) => string | null): FollowedFile {
  const made: FollowedFile = {
    path: path(file.text('path'))!,
    emitter: file.text('emitter'),
    mapping: file.optional('mapping'),
  }
  file.done()
  return made
}

function otlpOf(otlp: Members): OtlpConfig {
  const made: OtlpConfig = { mapping: otlp.text('mapping') }
  otlp.done()
  return made
}

function syslogOf(syslog: Members): SyslogConfig {
  const made: SyslogConfig = {
    host: syslog.text('host', /./, 'must not be empty', '127.0.0.1'),
    udpPort: syslog.has('udpPort') ? syslog.integer('udpPort', 0, 0, 65_535) : null,
    udpEmitter: syslog.optional('udpEmitter'),
    tlsPort: syslog.has('tlsPort') ? syslog.integer('tlsPort', 0, 0, 65_535) : null,
    mapping: syslog.optional('mapping'),
  }
  syslog.done()
  return made
}

function syslogFaults({ syslog, listen, emitters, mappings }: CollectorConfig): string[] {
  if (syslog === null) return []
  const { udpPort, udpEmitter, tlsPort, mapping } = syslog
  const faults: string[] = []
  if (udpPort === null && tlsPort === null) faults.push('/syslog must have udpPort or tlsPort')
  if (udpPort !== null && !emitters.some(({ name }) => name === udpEmitter))
    faults.push('/syslog/udpEmitter must be an emitter of this file')
  if (tlsPort !== null && !listen.tls?.clientCa) faults.push('/syslog/tlsPort needs /listen/tls with clientCa')
  if (mapping !== null && !Object.hasOwn(mappings, mapping))
    faults.push(`/syslog/mapping: there is no mapping ${mapping}`)
  return faults
}

function emitterOf(emitter: Members): EmitterConfig {
  const name = emitter.text('name', EMITTER_NAME, 'must be 1 to 64 letters, digits, dots, underscores or hyphens')
  const made: EmitterConfig = {
    name,
    keys: emitter.texts('keys', KEY_ENTRY, 'must be what `killick-gateway key` prints') ?? [],
    certificates: emitter.texts('certificates', CERTIFICATE, 'must begin with dns:, uri: or sha256:') ?? [],
    socket: emitter.flag('socket'),
    sources: emitter.texts('sources') ?? [name],
    tenants: emitter.texts('tenants'),
    actions: emitter.texts('actions'),
  }
  if (made.sources.length === 0) emitter.fault('sources', 'must not be empty')
  emitter.done()
  return made
}

function mappingsOf(
  root: Members,
  path: (text: string | null) => string | null,
  faults: string[],
): Record<string, MappingConfig> {
  const mappings: Record<string, MappingConfig> = {}
  for (const name of root.names('mappings')) {
    const at = root.object('mappings').object(name)
    if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(name)) at.fault('', 'must be named by lower-case letters, digits and hyphens')
    const signed = at.has('signed') ? at.object('signed') : null
    const made: MappingConfig = {
      items: at.optional('items') ?? '',
      id: at.optional('id'),
      source: at.optional('source'),
      signed: signed && { emitter: signed.text('emitter'), secret: path(signed.text('secret'))! },
      event: at.json('event'),
    }
    signed?.done()
    at.done()
    faults.push(...checkMapping(made).map((fault) => `/mappings/${name}/${fault}`))
    mappings[name] = made
  }
  return mappings
}

function limitsOf(limits: Members): CollectorLimits {
  const made: CollectorLimits = {
    bodyBytes: limits.integer('bodyBytes', 16 << 20, 1024, 64 << 20),
    streamBytes: limits.integer('streamBytes', 1 << 30, 1024, MAX_BYTES),
    bodyEvents: limits.integer('bodyEvents', 10_000, 1, 10_000),
    requests: limits.integer('requests', 1024, 2, 1e6),
    memoryBytes: limits.integer('memoryBytes', 128 << 20, 2048, MAX_BYTES),
    connections: limits.integer('connections', 10_000, 1, 1e6),
    requestMs: limits.integer('requestMs', 60_000, 100, 3_600_000),
    waitMs: limits.integer('waitMs', 30_000, 0, MAX_MS),
    spoolBytes: limits.integer('spoolBytes', 1 << 30, 1 << 20, MAX_BYTES),
    drainMs: limits.integer('drainMs', 10_000, 0, MAX_MS),
    idDays: limits.integer('idDays', 7, 1, 3660),
    ids: limits.integer('ids', 10_000_000, 1000, 100_000_000),
  }
  if (made.memoryBytes < 2 * made.bodyBytes) limits.fault('memoryBytes', 'must be at least twice bodyBytes')
  limits.done()
  return made
}
