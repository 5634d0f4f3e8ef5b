/** `killick.json`: where a project records, with what, and whom it trusts. Parsed here and nowhere else. */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { KillickError } from '../core/errors.ts'
import { isSourceName } from '../core/event.ts'
import { parseJson } from '../core/json.ts'
import { parseTime } from '../core/time.ts'
import { type Fail, membersOf, textOf, urlOf } from './members.ts'
import { parseLogKey, parseTrust, type TrustFile } from './trust-file.ts'

/** Name of the file, in the folder of the project. */
export const CONFIG_FILE = 'killick.json'

/** Members whose values stand by themselves; each may also come from the environment. */
export type ConfigSettings = {
  /** Base URL of the service. */
  readonly url?: string
  readonly source?: string
  /** Path of the private key. */
  readonly key?: string
  /** Path of the spool, or `memory` for none. */
  readonly spool?: string
  /** C2SP verifier key of the log. */
  readonly logKey?: string
}

/** When pins were taken from a service without another opinion, and from which. */
export type FirstUse = { readonly at: string; readonly from: string }

/** A killick.json. Paths in it are absolute here. */
export type KillickConfig = ConfigSettings & {
  /** Its own path, absolute. */
  readonly file: string
  readonly pins: (TrustFile & { readonly firstUse: FirstUse | null }) | null
}

/** In place of a spool's path: events wait in memory (`AuditLogOptions.spool`). A folder of this name is `./memory`. */
export const NO_SPOOL = 'memory'

const MEMBERS = ['url', 'source', 'key', 'spool', 'logKey', 'pins']
const MAX_BYTES = 256 << 10

/** What a member of the environment is called. */
export const VARIABLES = {
  url: 'KILLICK_URL',
  source: 'KILLICK_SOURCE',
  key: 'KILLICK_KEY',
  spool: 'KILLICK_SPOOL',
  logKey: 'KILLICK_LOG_KEY',
} as const satisfies Record<keyof ConfigSettings, string>

/**
 * Parses the text of a killick.json.
 * @param file its path: paths in it start from its folder
 * @throws KillickError `config_invalid`: `details` are `{ file, member, meant }`, the last two where they are known
 */
export function parseConfig(text: string, file: string): KillickConfig {
  const fail: Fail = (why, member, meant) =>
    new KillickError('config_invalid', `${file}: ${why}`, {
      file,
      ...(member !== undefined && { member }),
      ...(meant !== undefined && { meant }),
    })
  const value = json(text, fail)
  if (typeof value === 'object' && value !== null && 'token' in value)
    throw fail('a token must not be kept here: set KILLICK_TOKEN, or give it with --token', 'token')
  const { url, source, key, spool, logKey, pins } = membersOf(value, '', MEMBERS, fail)
  if (source !== undefined && !isSourceName(source))
    throw fail('source must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens', 'source')
  const path = (given: string) => resolve(dirname(file), given)
  const keyFile = textOf(key, 'key', 'the path of a private key', fail)
  const spoolFolder = textOf(spool, 'spool', 'the path of a folder, or memory', fail)
  const service = urlOf(url, 'url', fail)
  return {
    file: resolve(file),
    ...(service !== undefined && { url: service }),
    ...(source !== undefined && { source }),
    ...(keyFile !== undefined && { key: path(keyFile) }),
    ...(spoolFolder !== undefined && { spool: spoolFolder === NO_SPOOL ? NO_SPOOL : path(spoolFolder) }),
    ...(logKey !== undefined && { logKey: parseLogKey(logKey, 'logKey', fail) }),
    pins: pins === undefined ? null : parseConfigPins(pins, fail),
  }
}

function parseConfigPins(value: unknown, fail: Fail): KillickConfig['pins'] {
  const trust = parseTrust(value, 'pins.', fail, ['firstUse'])
  const { firstUse } = value as { firstUse?: unknown }
  if (firstUse === undefined) return { ...trust, firstUse: null }
  const { at, from } = membersOf(firstUse, 'pins.firstUse.', ['at', 'from'], fail)
  if (typeof at !== 'string' || parseTime(at) === null)
    throw fail('pins.firstUse.at must be an RFC 3339 time', 'pins.firstUse.at')
  return { ...trust, firstUse: { at, from: urlOf(from ?? '', 'pins.firstUse.from', fail)! } }
}

function json(text: string, fail: Fail): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof KillickError) throw fail(`it cannot be read as JSON: ${error.message}`)
    throw error
  }
}

/**
 * Reads a killick.json.
 * @param file its path
 * @returns null if there is none
 * @throws KillickError `config_invalid`
 */
export function loadConfig(file: string): KillickConfig | null {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw new KillickError('config_invalid', `${file} cannot be read: ${message}`, { file })
  }
  if (text.length > MAX_BYTES) throw new KillickError('config_invalid', `${file} is larger than 256 KiB`, { file })
  return parseConfig(text, file)
}

/** What recording needs of killick.json and the environment: options of `openAuditLog`. */
export type RecorderConfig = { url: string; source: string; key: string; spool: string; logKey?: string }

/**
 * Reads the options of `openAuditLog` from a killick.json, as `killick init` writes it. Each of KILLICK_URL, KILLICK_SOURCE,
 * KILLICK_KEY, KILLICK_SPOOL and KILLICK_LOG_KEY goes before the file, which need not exist if these say everything. Paths in the
 * file start from its folder.
 * @param file default: KILLICK_CONFIG, or else killick.json in the working directory
 * @throws KillickError `config_invalid`: a member is unknown (`details.meant` is the one that was probably meant), malformed or
 * missing
 * @example
 * const audit = await openAuditLog(readConfig())
 * const other = await openAuditLog({ ...readConfig('./audit/killick.json'), batch: { maxAgeMs: 200 } })
 */
export function readConfig(file?: string): RecorderConfig {
  const given = file ?? process.env.KILLICK_CONFIG
  const path = given || CONFIG_FILE
  const config = loadConfig(path)
  if (config === null && given)
    throw new KillickError('config_invalid', `${path} does not exist; killick init makes one`, { file: path })
  const setting = (name: keyof ConfigSettings) => process.env[VARIABLES[name]] || config?.[name]
  const needed = (name: keyof ConfigSettings): string => {
    const value = setting(name)
    if (value !== undefined) return value
    const why = config === null ? `there is no ${path}, and ${VARIABLES[name]} is not set` : `it lacks ${name}`
    throw new KillickError('config_invalid', `${path}: ${why}; killick init makes one`, { file: path, member: name })
  }
  const logKey = setting('logKey')
  return {
    ...{ url: needed('url'), source: needed('source'), key: needed('key'), spool: needed('spool') },
    ...(logKey !== undefined && { logKey }),
  }
}
