import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { nearest } from '@killick/sdk/core'
import { loadTargets, type TargetSettings } from './anchor/settings.ts'
import { type AuditSettings, loadAudit } from './audit/settings.ts'
import { type BundleSettings, loadBundles } from './bundles/settings.ts'
import { StartError } from './errors.ts'
import type { NamedToken } from './http/auth.ts'
import { loadErasers } from './http/eraser-settings.ts'
import { loadPublished, type Published } from './http/page-settings.ts'

/** Everything that can be set, from environment variables. This is the manual. */
export type Config = {
  /** DATABASE_URL: the PostgreSQL (16 or later) that holds the ledger. Default: one of its own, in the data folder. */
  databaseUrl: string | null
  /** REDIS_URL: the doorbell of the anchor worker and of bundles. Default: PostgreSQL rings, and bundles need no bell. */
  redisUrl: string | null
  /** KILLICK_DATA: folder for keys, tokens, bundles and the embedded PostgreSQL. Default `./data`. */
  dataFolder: string
  /** HOST: address to listen on. Default 127.0.0.1. */
  host: string
  /** PORT: port to listen on; 0 takes a free one. Default 8787. */
  port: number
  /**
   * KILLICK_ORIGIN: permanent name of the log, in every checkpoint; by convention a host and path. Default `localhost/killick`.
   */
  origin: string
  /** KILLICK_LOG_KEY: file with the Ed25519 private JWK that signs checkpoints. Default: made in the data folder. */
  logKeyFile: string
  /** KILLICK_SYSTEM_KEY: file with the Ed25519 private JWK of the source `killick`. Default: made in the data folder. */
  systemKeyFile: string
  /** KILLICK_ADMIN_TOKEN: bearer token that registers sources, at least 16 characters. Default: made in the data folder. */
  adminToken: string | null
  /** KILLICK_READER_TOKEN: bearer token that reads events and proofs. Default: made in the data folder. */
  readerToken: string | null
  /** KILLICK_ERASER_TOKEN: bearer token that orders erasures. Default: made in the data folder. */
  eraserToken: string | null
  /**
   * KILLICK_ERASERS: file with a JSON object of two or more people, each with a token of their own, in place of the one for
   * erasures: what one of them orders counts once another has confirmed it. Default: none; one person is enough.
   */
  erasers: NamedToken[]
  /** KILLICK_CONFIRM_MS: time in which a second person may confirm what another ordered. Default 259,200,000, three days. */
  confirmMs: number
  /** KILLICK_TILES: `public`, or `private` to ask for the reader's token. Default public. */
  tiles: 'public' | 'private'
  /** KILLICK_RATE_LIMIT: requests per minute and address, those apart that add a batch; 0: no limit. Default 12,000. */
  rateLimit: number
  /**
   * KILLICK_TRUST_PROXY: addresses or networks (CIDR) of reverse proxies, separated by commas, whose X-Forwarded-For says who
   * is asking. Default: none; then everyone behind a proxy counts as one address.
   */
  trustProxy: string[]
  /**
   * KILLICK_MAX_CONNECTIONS: connections that may be open at a time, about 10 KiB of memory each; the process must be
   * allowed as many open files. Default 20,000.
   */
  maxConnections: number
  /**
   * KILLICK_SILENCE_GRACE_MS: how much longer than a source promises (`heartbeat`) nothing may come of a stream before it counts as
   * silent: events wait in recorders until their batch is sent. Default 10,000.
   */
  silenceGraceMs: number
  /** KILLICK_REQUEST_TIMEOUT_MS: time in which a whole request must have arrived. Default 60,000. */
  requestTimeout: number
  /** KILLICK_CHECKING_THREADS: threads that check batches. Default: one for each core that the process may use. */
  checkingThreads: number
  /** KILLICK_LOG_LEVEL: silent, error, warn, info or debug. Default info. */
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug'
  /** What proof pages tell their visitors: src/http/page-settings.ts. */
  published: Published
  anchor: AnchorConfig
  /** How the ledger is audited in the background: src/audit/settings.ts. */
  audit: AuditSettings
  /** What bundles may take, and how long they stay: src/bundles/settings.ts. */
  bundles: BundleSettings
  /**
   * KILLICK_RETENTION_INTERVAL_MS: time between two looks for events that are due to expire by a retention policy; 0: never.
   * Default 600,000.
   */
  retentionIntervalMs: number
  /** KILLICK_RETENTION_EVENTS: most events that one look lets expire by each policy, in one order, and about as many that it drops. Default 10,000. */
  retentionEvents: number
}

export type AnchorConfig = {
  /**
   * KILLICK_TARGETS: file with a JSON array of targets, which are where checkpoints are anchored; src/anchor/settings.ts has
   * their settings. Default: the one target that the environment describes, or none.
   */
  targets: TargetSettings[]
  /**
   * KILLICK_WORKER: `inline` anchors in the service's process, `off` leaves it to `killick-anchor-service worker`. Default
   * inline.
   */
  worker: 'inline' | 'off'
  /**
   * KILLICK_WORKER_PORT: port on which `killick-anchor-service worker` answers /healthz, /readyz and /metrics, on HOST; 0
   * takes a free one. Default: it does not listen.
   */
  workerPort: number | null
}

/**
 * The configuration from environment variables.
 * @throws StartError that names every fault at once, never the value of a secret
 */
export function loadConfig(given: Readonly<Record<string, string | undefined>> = process.env): Config {
  const faults: string[] = []
  // What is asked for is a setting, so there is no second list of them.
  const asked = new Set<string>()
  const env = new Proxy(given, {
    get(variables, name: string) {
      asked.add(name)
      return variables[name]
    },
  })
  const fault = (name: string, why: string): void => void faults.push(`${name} ${why}`)
  const text = (name: string): string | null => env[name]?.trim() || null

  function integer(name: string, fallback: number, min: number, max: number): number {
    const value = text(name)
    if (value === null) return fallback
    const isValid = /^\d{1,15}$/.test(value) && Number(value) >= min && Number(value) <= max
    if (!isValid) fault(name, `must be an integer from ${min} to ${max}`)
    return Number(value)
  }
  function choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const value = text(name)
    const chosen = choices.find((known) => known === value)
    if (value !== null && chosen === undefined) fault(name, `must be one of ${choices.join(', ')}`)
    return chosen ?? choices[0]
  }
  function url(name: string, ...schemes: string[]): string | null {
    const value = text(name)
    if (value !== null && !(URL.canParse(value) && schemes.includes(new URL(value).protocol))) {
      fault(name, `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`)
    }
    return value
  }
  function token(name: string): string | null {
    const value = text(name)
    if (value !== null && !/^\S{16,}$/.test(value)) fault(name, 'must have at least 16 characters and no white space')
    return value
  }
  function proxies(): string[] {
    const given = text('KILLICK_TRUST_PROXY')?.split(/[\s,]+/) ?? []
    const isNetwork = (each: string) => {
      const [address, bits, ...more] = each.split('/')
      const width = isIP(address!) === 4 ? 32 : 128
      const hasBits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width)
      return isIP(address!) !== 0 && hasBits && more.length === 0
    }
    if (!given.every(isNetwork)) fault('KILLICK_TRUST_PROXY', 'must be IP addresses or networks such as 10.0.0.0/8')
    return given
  }
  function origin(): string {
    const value = text('KILLICK_ORIGIN') ?? 'localhost/killick'
    // It names the key in signed notes, so it takes what C2SP allows there; https:// would be noise.
    if (!/^[^\s+]{1,128}$/.test(value) || value.includes('://')) {
      fault('KILLICK_ORIGIN', 'must be a name such as log.example.com/audit: no scheme, white space or "+"')
    }
    return value
  }

  const dataFolder = resolve(text('KILLICK_DATA') ?? 'data')
  function keyFile(name: string, file: string): string {
    const path = text(name) ?? join(dataFolder, 'keys', file)
    // Readers name what they pin by the same variable. Taken for a path, it would begin another log, under a new key.
    if (/^[^\s+]+\+[0-9a-f]{8}\+/.test(path)) fault(name, 'must be the path of a private key, and is a verifier key')
    else if (/^[{["]/.test(path)) fault(name, 'must be the path of a private key, and is no path but JSON')
    return resolve(path)
  }
  const config: Config = {
    databaseUrl: url('DATABASE_URL', 'postgres:', 'postgresql:'),
    redisUrl: url('REDIS_URL', 'redis:', 'rediss:'),
    dataFolder,
    host: text('HOST') ?? '127.0.0.1',
    port: integer('PORT', 8787, 0, 65_535),
    origin: origin(),
    logKeyFile: keyFile('KILLICK_LOG_KEY', 'log.json'),
    systemKeyFile: keyFile('KILLICK_SYSTEM_KEY', 'system.json'),
    adminToken: token('KILLICK_ADMIN_TOKEN'),
    readerToken: token('KILLICK_READER_TOKEN'),
    eraserToken: token('KILLICK_ERASER_TOKEN'),
    erasers: loadErasers(env, fault),
    confirmMs: integer('KILLICK_CONFIRM_MS', 259_200_000, 1000, 2_592_000_000),
    tiles: choice('KILLICK_TILES', ['public', 'private']),
    rateLimit: integer('KILLICK_RATE_LIMIT', 12_000, 0, 1e9),
    trustProxy: proxies(),
    maxConnections: integer('KILLICK_MAX_CONNECTIONS', 20_000, 1, 1e6),
    silenceGraceMs: integer('KILLICK_SILENCE_GRACE_MS', 10_000, 0, 86_400_000),
    requestTimeout: integer('KILLICK_REQUEST_TIMEOUT_MS', 60_000, 100, 3_600_000),
    checkingThreads: integer('KILLICK_CHECKING_THREADS', availableParallelism(), 1, 1024),
    logLevel: choice('KILLICK_LOG_LEVEL', ['info', 'silent', 'error', 'warn', 'debug']),
    published: loadPublished(env, fault),
    anchor: {
      targets: loadTargets(env, fault),
      worker: choice('KILLICK_WORKER', ['inline', 'off']),
      workerPort: text('KILLICK_WORKER_PORT') === null ? null : integer('KILLICK_WORKER_PORT', 0, 0, 65_535),
    },
    audit: loadAudit(env, { integer, url }, fault),
    bundles: loadBundles(integer),
    retentionIntervalMs: integer('KILLICK_RETENTION_INTERVAL_MS', 600_000, 0, 86_400_000),
    retentionEvents: integer('KILLICK_RETENTION_EVENTS', 10_000, 1, 100_000),
  }
  for (const [name, meant] of misspelt(given, asked)) fault(name, `is not a setting; did you mean ${meant}?`)
  if (faults.length > 0)
    throw new StartError(`The configuration has faults:\n${faults.map((f) => `- ${f}`).join('\n')}`)
  return config
}

const PREFIX = 'KILLICK_'
/** What Kubernetes sets in every pod for a Service whose name begins with "killick". */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)|_PORT_\d+_[A-Z]+/

/**
 * Variables that are no settings, and the settings that they were probably meant to be: some, such as the log's name, cannot be
 * changed once a service has started without them. What is near to none belongs to another program.
 */
function misspelt(given: Readonly<Record<string, string | undefined>>, settings: ReadonlySet<string>) {
  const known = [...settings].filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length))
  return Object.entries(given).flatMap(([name, value]): [name: string, meant: string][] => {
    const isOurs = name.startsWith(PREFIX) && !settings.has(name) && value?.trim()
    if (!isOurs || SERVICE_LINK.test(name) || /^(tcp|udp|sctp):/.test(value!)) return []
    const own = name.slice(PREFIX.length)
    // Some settings have the names that every service has: DATABASE_URL, PORT.
    if (settings.has(own)) return [[name, own]]
    // As other programs name what says where something is.
    const bare = own.replace(/_(FILE|PATH|FOLDER|DIR|DIRECTORY)$/, '')
    const meant = known.includes(bare) ? bare : nearest(own, known)
    return meant === null ? [] : [[name, PREFIX + meant]]
  })
}
