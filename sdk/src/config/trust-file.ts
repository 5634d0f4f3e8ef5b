// What a verifier pins, as JSON: trust.json beside a verification page, `killick verify --trust`, and `pins` of killick.json.
import { KillickError } from '../core/errors.ts'
import { isCount, isSourceName } from '../core/event.ts'
import { isObject } from '../core/json.ts'
import { parsePublicJwk } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import { type PinnedKey, type PinnedLog, parsePinnedLog, parsePinTime } from '../verify/trust.ts'
import { type Fail, membersOf, textOf, urlOf } from './members.ts'

/** Pins as a file gives them. Kinds that it leaves out are empty. */
export type TrustFile = {
  /** Whose word they are, where somebody publishes them. */
  readonly publisher?: string
  readonly sourceKeys: readonly PinnedKey[]
  /** C2SP verifier keys. */
  readonly logKeys: readonly string[]
  readonly logs: readonly PinnedLog[]
  /** JSON-RPC endpoints of nodes to ask. */
  readonly rpcs: readonly string[]
  readonly confirmations?: number
  /** Seconds that a claimed time may lie outside what the anchors allow. */
  readonly timeTolerance?: number
}

export const TRUST_MEMBERS = [
  ...['publisher', 'sourceKeys', 'logKeys', 'logs', 'rpcs'],
  ...['confirmations', 'timeTolerance'],
] as const

/**
 * Reads pins strictly: a slip in a name or a key must not read as something left out.
 * @param path of the object, with a `.` at its end, or empty
 */
export function parseTrust(value: unknown, path: string, fail: Fail, more: readonly string[] = []): TrustFile {
  const pins = membersOf(value, path, [...TRUST_MEMBERS, ...more], fail)
  const list = <T>(name: string, read: (item: unknown, at: string) => T): T[] => {
    const given = pins[name]
    const items = given === undefined ? [] : Array.isArray(given) ? given : [given]
    return items.map((item, i) => read(item, `${path}${name}.${i}`))
  }
  const count = (name: string, min: number) => {
    const given = pins[name]
    if (given !== undefined && !(isCount(given) && given >= min))
      throw fail(`${path}${name} must be a whole number from ${min}`, path + name)
    return given
  }
  const publisher = textOf(pins.publisher, `${path}publisher`, 'a name', fail)
  const confirmations = count('confirmations', 1)
  const timeTolerance = count('timeTolerance', 0)
  return {
    ...(publisher !== undefined && { publisher }),
    sourceKeys: list('sourceKeys', (item, at) => parseSourceKey(item, at, fail)),
    logKeys: list('logKeys', (item, at) => parseLogKey(item, at, fail)),
    logs: list('logs', (item, at) => {
      membersOf(item, `${at}.`, ['chainId', 'contract', 'logId'], fail)
      return explained(at, fail, () => parsePinnedLog(item))
    }),
    rpcs: list('rpcs', (item, at) => urlOf(item ?? '', at, fail)!),
    ...(confirmations !== undefined && { confirmations }),
    ...(timeTolerance !== undefined && { timeTolerance }),
  }
}

const PIN_MEMBERS = ['source', 'jwk', 'notBefore', 'notAfter']

/** A public JWK, by itself or with its source and the time in which it counts. */
export function parseSourceKey(item: unknown, at: string, fail: Fail): PinnedKey {
  if (isObject(item) && 'kty' in item) {
    // Among the members of a key they would be left out, and the key would count for every source, and for ever.
    const stray = PIN_MEMBERS.find((name) => name in item)
    if (stray !== undefined)
      throw fail(`${at}.${stray} stands in the key, which goes into a jwk beside it`, `${at}.${stray}`)
    return { jwk: explained(at, fail, () => parsePublicJwk(item)) }
  }
  const { source, jwk, ...period } = membersOf(item, `${at}.`, PIN_MEMBERS, fail)
  if (source !== undefined && !isSourceName(source))
    throw fail(`${at}.source is not the name of a source`, `${at}.source`)
  const limits = (['notBefore', 'notAfter'] as const).flatMap((name) => {
    const time = period[name]
    if (time === undefined || time === null) return []
    explained(`${at}.${name}`, fail, () => parsePinTime(time as string))
    return [[name, time as string]]
  })
  return {
    ...(source !== undefined && { source }),
    jwk: explained(`${at}.jwk`, fail, () => parsePublicJwk(jwk)),
    ...Object.fromEntries(limits),
  }
}

/** A C2SP verifier key; one of another type than Ed25519 is kept, and whoever uses it says that it is skipped. */
export function parseLogKey(item: unknown, at: string, fail: Fail): string {
  const vkey = textOf(item ?? '', at, 'a verifier key', fail)!
  try {
    parseVkey(vkey)
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    if (error.code !== 'vkey_unsupported') throw fail(`${at}: ${error.message}`, at)
  }
  return vkey
}

function explained<T>(at: string, fail: Fail, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof KillickError) throw fail(`${at}: ${error.message}`, at)
    throw error
  }
}
