/** What a verifier brings along. Nothing in here comes from the proof. */

import { KillickError } from '../core/errors.ts'
import { isCount } from '../core/event.ts'
import { isObject } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk } from '../core/jwk.ts'
import { splitVkeys } from '../core/note.ts'
import type { Anchor } from '../core/proof.ts'
import { parseTime } from '../core/time.ts'
import type { NoAnswer } from './rpc.ts'

/**
 * A contract and the log in it that the verifier relies on. `chainId` is a whole number from 1, `contract` 0x and 40,
 * `logId` 0x and 64 hex digits of either case, as wallets print addresses.
 */
export type PinnedLog = { readonly chainId: number; readonly contract: string; readonly logId: string }

const LOG_FORMS = {
  chainId: ['a whole number from 1', (value: unknown) => isCount(value) && value > 0],
  contract: [
    '0x and 40 hex digits',
    (value: unknown) => typeof value === 'string' && /^0x[0-9a-fA-F]{40}$/.test(value),
  ],
  logId: ['0x and 64 hex digits', (value: unknown) => typeof value === 'string' && /^0x[0-9a-fA-F]{64}$/.test(value)],
} as const

/**
 * Reads a contract and log to pin, from wherever somebody wrote them down; other members are ignored.
 * @returns the same, with digits in lower case
 * @throws KillickError `trust_invalid`: `details.member` is the member at fault, `details.form` what it must be
 */
export function parsePinnedLog(value: unknown): PinnedLog {
  const log = isObject(value) ? value : {}
  for (const [member, [form, fits]] of Object.entries(LOG_FORMS)) {
    if (fits(log[member])) continue
    const given = log[member] === undefined ? `lacks ${member}` : `has a ${member} that is not ${form}`
    throw new KillickError('trust_invalid', `A pinned log ${given}`, { member, form })
  }
  const { chainId, contract, logId } = log as PinnedLog
  return { chainId, contract: contract.toLowerCase(), logId: logId.toLowerCase() }
}

/**
 * What a node said about one anchor of a proof. Made by `readAnchors`, or by any other means the verifier has of
 * knowing the chain.
 */
export type AnchorFact = Pick<
  Anchor,
  'chainId' | 'contract' | 'logId' | 'size' | 'root' | 'time' | 'transaction' | 'block'
> &
  NodeAnswer

/**
 * What a node answered about one anchor. If it gave no usable answer, `unreadable` says why, and so does `fault`, as data, if
 * `readAnchors` made the fact.
 */
export type NodeAnswer = {
  /** Which node answered, as a label to show. */
  readonly node: string
} & (
  | { readonly unreadable: string; readonly fault?: NoAnswer | null }
  | {
      /** The contract holds (size, root, time) in this log. */
      readonly anchored: boolean
      /** The code at the address is the published one. */
      readonly genuineCode: boolean
      /** The block has the anchor's time and holds its transaction; null if the node no longer has the block. */
      readonly located: boolean | null
      /** Blocks on top of and including the anchor's. */
      readonly confirmations: number
      /** The chain's own finality covers the anchor; null if the chain has none. */
      readonly finalized: boolean | null
    }
)

/**
 * The answer that counts among several about one anchor: a denial, else the confirmation that calls it the least final, else one without
 * an answer. So one honest node is enough, whatever another says.
 */
export function weightiest<A extends NodeAnswer>(answers: readonly A[]): A | undefined {
  const denies = (answer: NodeAnswer) =>
    'anchored' in answer && !(answer.anchored && answer.genuineCode && answer.located !== false)
  const confirms = answers.filter((answer) => 'anchored' in answer)
  const leastFinal = confirms.sort((a, b) => finalityOf(a) - finalityOf(b))[0]
  return answers.find(denies) ?? leastFinal ?? answers[0]
}

/** How final a node calls an anchor, to compare. Without finality and without the block it cannot tell, so that the others have the word. */
function finalityOf(answer: NodeAnswer): number {
  if (!('anchored' in answer)) return Number.MAX_VALUE
  const { finalized, located, confirmations } = answer
  if (finalized === null) return located === true ? confirmations : Number.MAX_VALUE
  return finalized ? Number.MAX_SAFE_INTEGER : -1
}

/**
 * A key that is known to belong to a source; without `source`, to the source of whichever event is verified. `notBefore` and
 * `notAfter` (RFC 3339 in UTC, such as `2026-11-26T12:00:00Z`) bound when its signatures count. They are compared with the times
 * of the anchors around the entry, never with what the event claims; if these leave it open, the key does not count as trusted.
 */
export type PinnedKey = {
  readonly source?: string | undefined
  readonly jwk: PublicJwk
  readonly notBefore?: string | undefined
  readonly notAfter?: string | undefined
}

/**
 * What a verifier relies on, beside the proof. All of it may be left out; then the verdict says what it rests on instead, and is
 * never `verified`.
 */
export type Trust = {
  /** Keys that sources are known to sign with. */
  readonly sourceKeys?: readonly PinnedKey[]
  /** Verifier keys (C2SP vkeys) of the log. Those of other types than Ed25519 are skipped, and the verdict names them. */
  readonly logKeys?: readonly string[]
  /** Contracts to rely on, and the log in each. */
  readonly logs?: readonly PinnedLog[]
  /** What the chain says, from `readAnchors`. */
  readonly facts?: readonly AnchorFact[]
  /** How many confirmations count as final on a chain without finality of its own; at least 1, default 12. */
  readonly confirmations?: number
  /** How many seconds a claimed time may lie outside what the anchors allow before it is reported. Default 3,600. */
  readonly timeTolerance?: number
}

/** The forms of RFC 3339 that a pin may have: UTC, with milliseconds at most. */
const PIN_FORM = /^[^.]*T[^.]*(\.\d{1,3})?Z$/

/**
 * The time of a pinned key, in ms since 1970; null (no limit) for undefined.
 * @param text RFC 3339 in UTC, such as `2026-11-26T12:00:00Z`, to the millisecond
 * @throws KillickError `trust_invalid`
 */
export function parsePinTime(text: string | undefined): number | null {
  if (text === undefined) return null
  const time = typeof text === 'string' && PIN_FORM.test(text) ? parseTime(text) : null
  if (time === null) throw new KillickError('trust_invalid', 'A time of a pinned key is not RFC 3339 in UTC')
  return time
}

const LISTS = ['sourceKeys', 'logKeys', 'logs', 'facts'] as const
const NAMES: readonly (keyof Trust | keyof PinnedKey)[] = [
  ...[...LISTS, 'confirmations', 'timeTolerance'],
  ...['source', 'jwk', 'notBefore', 'notAfter'],
] as const

const invalid = (message: string) => new KillickError('trust_invalid', message)
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z]|s$/g, '')

/**
 * A bound with a misspelt name would be none: in another case, with dashes, or one in place of many. Other slips the compiler finds; what
 * is no name of ours may be the caller's own.
 */
function refuseMisspelt(given: Iterable<string>): void {
  for (const member of given) {
    const meant = NAMES.find((name) => plain(name) === plain(member))
    if (meant !== undefined && meant !== member) throw invalid(`What is trusted misspells ${meant}`)
  }
}

/** @throws KillickError trust_invalid */
export function requireTrust(trust: unknown): void {
  if (!isObject(trust)) throw invalid('What is trusted, and each key in it, must be an object')
}

/**
 * Refuses malformed trust, since a slip in a pinned key or address must not look like a forged proof.
 * @throws KillickError key_invalid | vkey_invalid | trust_invalid
 */
export function checkTrust(trust: Trust): void {
  requireTrust(trust)
  for (const member of LISTS) if (!Array.isArray(trust[member] ?? [])) throw invalid(`${member} must be a list`)
  const keys = trust.sourceKeys ?? []
  keys.forEach(requireTrust)
  refuseMisspelt(new Set([trust, ...keys].flatMap(Object.keys)))
  for (const { jwk, notBefore, notAfter } of keys) {
    parsePublicJwk(jwk)
    parsePinTime(notBefore)
    parsePinTime(notAfter)
  }
  splitVkeys(trust.logKeys ?? [])
  for (const log of trust.logs ?? []) parsePinnedLog(log)
  // With 0, an anchor in no block at all would be final.
  if (trust.confirmations !== undefined && !(isCount(trust.confirmations) && trust.confirmations > 0)) {
    throw new KillickError('trust_invalid', 'The number of confirmations must be an integer from 1')
  }
  if (trust.timeTolerance !== undefined && !isCount(trust.timeTolerance)) {
    throw new KillickError('trust_invalid', 'The tolerance for times must be a whole number of seconds')
  }
}

/** The default of `Trust.confirmations`. */
export const DEFAULT_CONFIRMATIONS = 12
/** The default of `Trust.timeTolerance`, in seconds. */
export const DEFAULT_TIME_TOLERANCE = 3600
