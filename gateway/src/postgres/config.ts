import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { JsonValue } from '@killick/sdk/core'
import { checkAuthorities } from '../certificates.ts'
import { readConfigFile } from '../config-file.ts'
import { MAX_BYTES, MAX_MS, type Members, members } from '../members.ts'
import { DETAILS } from '../sessions/event.ts'
import {
  type RecorderLimits,
  type RecorderSettings,
  recorderLimitsOf,
  recorderSettingsOf,
  throwFaults,
} from '../sessions/settings.ts'
import { type PostgresPolicy, policyOf } from './effects/index.ts'

/** Fields of their own beside those of the protocol, so that an event can be shown without them. */
export const POSTGRES_FIELDS = ['statement', 'parameters', 'error'] as const

/**
 * Everything that can be set for `killick-gateway postgres`, from one JSON file. This is the manual, with that of `RecorderSettings`. Paths
 * are relative to the file's folder; a member that is not listed here or there is a fault. Default of `actor`:
 * `{ "type": "database-user", "id": <the user that the server has let in> }`.
 */
export type PostgresConfig = RecorderSettings & {
  /** Where clients connect. `host`: default `127.0.0.1`. `port`: default 6432; 0 for any that is free. */
  listen: { host: string; port: number }
  /** The server whose sessions are recorded. `port`: default 5432. */
  server: {
    host: string
    port: number
    /**
     * TLS to the server. `ca`: file with the certificates that may have signed the server's, PEM; default: those that Node trusts. `name`: the
     * name in the server's certificate; default `host`. `verify`: false: any certificate will do; default true. Absent: without TLS.
     */
    tls: { ca: string | null; name: string; verify: boolean } | null
  }
  /**
   * TLS of clients. `cert` and `key`: files in PEM; TLS ends here, and they are looked into again every 30 s (`files`: where they are).
   * `require`: connections without TLS are refused; default false.
   * `passthrough`: true: TLS goes through to the server, and of such a connection only its beginning and end are recorded. Absent:
   * clients connect without TLS.
   */
  tls: { cert: string; key: string; require: boolean; files: { cert: string; key: string } } | 'passthrough' | null
  /**
   * Where the name that a session gives in `SET killick.actor` stands: in `context.claimedActor`, or as the event's actor, of the type
   * `claimed-user`, with the database's user beside it. It is the session's own word. Default `context`.
   */
  claimedActor: 'context' | 'actor'
  /** Which statements are denied: src/postgres/effects has its members. Default: none. */
  policy: PostgresPolicy
  /** Address for `/metrics`, `/readyz` and `/healthz`. `host`: default `127.0.0.1`. Absent: none. */
  admin: { host: string; port: number } | null
  limits: PostgresLimits
}

/** Bounds on what the relay keeps and how long it waits. */
export type PostgresLimits = RecorderLimits & {
  /** Largest message of a client that holds a statement or its parameters, in bytes; a longer one is refused. 1,024 to 1 GiB, default 16 MiB. */
  statementBytes: number
  /**
   * Such messages in memory, of all sessions together, in bytes: while they are not complete, and beyond 64 KiB until the server has taken
   * them. Beyond it what begins to come is refused. Default 256 MiB.
   */
  heldBytes: number
  /** Sessions at a time. Default 1,000. */
  sessions: number
  /** Connections at a time that have not said yet what they want; the oldest gives way to one more. Default 256. */
  halfOpen: number
  /** How long a connection has to say what it wants, the server to be reached, and it to take a request to cancel, ms. Default 10,000. */
  startupMs: number
  /** How long a client has to authenticate, ms. Default 60,000. */
  authenticationMs: number
  /** How long sessions have to end what they are in when the relay is stopped, ms. Default 10,000. */
  graceMs: number
}

/**
 * The configuration in a file.
 * @throws GatewayStartError `gateway_config_invalid` with every fault at once, each with the place of its member as a JSON pointer
 */
export function readPostgresConfig(file: string): PostgresConfig {
  return checkPostgresConfig(readConfigFile(file), dirname(file))
}

/** The same, of what the file holds. @param folder what paths are relative to */
export function checkPostgresConfig(value: JsonValue, folder: string = process.cwd()): PostgresConfig {
  const faults: string[] = []
  const root = members(value, '', faults)
  const config: PostgresConfig = {
    ...recorderSettingsOf(root, folder, faults, { fields: [...POSTGRES_FIELDS, DETAILS], rules: [SQL_PASSWORD] }),
    listen: root.has('listen') ? addressOf(root.object('listen'), 6432) : { host: '127.0.0.1', port: 6432 },
    server: serverOf(root.object('server'), folder, faults),
    tls: root.has('tls') ? tlsOf(root.object('tls'), folder, faults) : null,
    claimedActor: root.choice('claimedActor', ['context', 'actor']),
    policy: policyOf(root.object('policy'), faults),
    admin: root.has('admin') ? addressOf(root.object('admin'), 9187) : null,
    limits: limitsOf(root.object('limits')),
  }
  root.done()
  throwFaults(faults)
  return config
}

/**
 * Passwords in the text of a statement: behind PASSWORD, as `CREATE ROLE` and the options of `CREATE USER MAPPING` have it, whatever is a space to the
 * server and however the text is quoted; and in texts that tell how to connect, as `CREATE SUBSCRIPTION` and dblink have them.
 */
const SQL_PASSWORD = {
  name: 'sql-password',
  values: [
    // A backslash may be one before a quote or no more than itself: that is a setting. A text may go on in the next line. Without a space the quote
    // may be the end of a text; not where it is the first one of CREATE ROLE. In a text that is executed quotes are doubled, or doubled twice, or
    // have a backslash; before a space or another end two quotes are an empty password.
    /\bpassword(?:"?(?:\s|--[^\n]{0,200}\n|\/\*[^*]{0,200}\*\/){1,100}|(?<=\b(?:role|user|group)\s[^']{0,1000}password)(?='))(?:(?:E|U&)?(?:''(?=[^\s;,)'])(?:[^']|''''){0,1000}''|''''(?=[^\s;,)'])[^']{0,1000}''''|\\'[^'\\]{0,1000}\\')|(?:(?:E|U&)?'(?:[^'\\]|''|\\.){0,1000}'|(?:U&)?'(?:[^']|''){0,1000}')(?:\s{1,100}'(?:[^'\\]|''|\\.){0,1000}'){0,20}|\$(\w{0,60})\$[\s\S]{0,1000}?\$\1\$)/iu,
    // Spaces behind = are matched in one way only: in two, a few empty values in a row would take minutes.
    /\bpassword(?<='(?:\w{1,40}\s{0,9}=(?:\s{0,9}(?:''[^']{0,200}''|[^\s'=]{1,200})\s{1,9}|\s{1,18})){0,30}password)\s{0,9}=\s{0,9}(?:''(?:[^'\\]|\\.){0,1000}''|[^\s']{1,1000})/iu,
  ],
}

function addressOf(listen: Members, port: number): { host: string; port: number } {
  const made = {
    host: listen.text('host', /./, 'must be a text', '127.0.0.1'),
    port: listen.integer('port', port, 0, 65_535),
  }
  listen.done()
  return made
}

function serverOf(server: Members, folder: string, faults: string[]): PostgresConfig['server'] {
  const host = server.text('host')
  const made = {
    host,
    port: server.integer('port', 5432, 1, 65_535),
    tls: server.has('tls') ? serverTlsOf(server.object('tls'), host, folder, faults) : null,
  }
  server.done()
  return made
}

function serverTlsOf(tls: Members, host: string, folder: string, faults: string[]): PostgresConfig['server']['tls'] {
  const ca = tls.optional('ca')
  const made = {
    ca: ca === null ? null : textOf(resolve(folder, ca), '/server/tls/ca', faults, checkAuthorities),
    name: tls.optional('name') ?? host,
    verify: !tls.has('verify') || tls.flag('verify'),
  }
  tls.done()
  return made
}

function tlsOf(tls: Members, folder: string, faults: string[]): PostgresConfig['tls'] {
  const isPassed = tls.flag('passthrough')
  if (isPassed) {
    tls.done()
    return 'passthrough'
  }
  const files = { cert: resolve(folder, tls.text('cert')), key: resolve(folder, tls.text('key')) }
  const cert = textOf(files.cert, '/tls/cert', faults)
  const key = textOf(files.key, '/tls/key', faults)
  const made = { cert, key, require: tls.flag('require'), files }
  tls.done()
  if (cert !== '' && key !== '') {
    try {
      createSecureContext({ cert, key })
    } catch (error) {
      faults.push(`/tls/cert and /tls/key do not belong together: ${(error as Error).message}`)
    }
  }
  return made
}

/** What a file holds. */
function textOf(file: string, at: string, faults: string[], check?: (text: string) => void): string {
  try {
    const text = readFileSync(file, 'utf8')
    check?.(text)
    return text
  } catch (error) {
    faults.push(`${at} cannot be read: ${(error as Error).message}`)
    return ''
  }
}

function limitsOf(limits: Members): PostgresLimits {
  const made: PostgresLimits = {
    ...recorderLimitsOf(limits),
    statementBytes: limits.integer('statementBytes', 16 << 20, 1024, 2 ** 30),
    heldBytes: limits.integer('heldBytes', 256 << 20, 1 << 20, MAX_BYTES),
    sessions: limits.integer('sessions', 1_000, 1, 1e6),
    halfOpen: limits.integer('halfOpen', 256, 1, 1e6),
    startupMs: limits.integer('startupMs', 10_000, 1, MAX_MS),
    authenticationMs: limits.integer('authenticationMs', 60_000, 1, MAX_MS),
    graceMs: limits.integer('graceMs', 10_000, 0, MAX_MS),
  }
  limits.done()
  return made
}
