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
 * A contract and the log in it that the verifier means to rely on. `chainId` is a whole number from 1, `contract` 0x and 40,
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
 * Reads a contract and log to pin, from wherever somebody wrote them down; other members are passed over.
 * @returns it with digits in lower case
 * @throws KillickError `trust_invalid`: `details.member` is the one at fault, `details.form` what it must be
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

/** What a node answered about one anchor; in `unreadable`, why it did not, and as data in `fault`, where `readAnchors` made it. */
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
      /** The block has the anchor's time and holds its transaction; null where the node no longer has the block. */
      readonly located: boolean | null
      /** Blocks on top of and including the anchor's. */
      readonly confirmations: number
      /** The chain's own finality covers the anchor; null where the chain has none. */
      readonly finalized: boolean | null
    }
)

/** The answer that counts, of several about one anchor: a denial before a confirmation before none at all. */
export function weightiest<A extends NodeAnswer>(answers: readonly A[]): A | undefined {
  const denies = (answer: NodeAnswer) =>
    'anchored' in answer && !(answer.anchored && answer.genuineCode && answer.located !== false)
  return answers.find(denies) ?? answers.find((answer) => 'anchored' in answer) ?? answers[0]
}

/**
 * A key known to belong to a source; without a name, to whichever source the event is of. `notBefore` and `notAfter`
 * (RFC 3339 in UTC, such as `2026-11-26T12:00:00Z`) bound when its signatures count. They are held against the times of the
 * anchors around the entry, never against what the event claims; where those leave it open, the key does not count as trusted.
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
  /** By how many seconds a claimed time may lie outside what the anchors allow, unremarked. Default 3,600. */
  readonly timeTolerance?: number
}

/** Of the forms that RFC 3339 allows, those of a pin: UTC, to the millisecond at most. */
const PIN_FORM = /^[^.]*T[^.]*(\.\d{1,3})?Z$/

/**
 * The time of a pinned key: ms since 1970; null, without limit, of undefined.
 * @param text RFC 3339 in UTC, such as `2026-11-26T12:00:00Z`, to the millisecond
 * @throws KillickError `trust_invalid`
 */
export function parsePinTime(text: string | undefined): number | null {
  if (text === undefined) return null
  const time = typeof text === 'string' && PIN_FORM.test(text) ? parseTime(text) : null
  if (time === null) throw new KillickError('trust_invalid', 'A time of a pinned key is not RFC 3339 in UTC')
  return time
}

/**
 * Refuses trust that could only ever fail: a slip in a pinned key or address must not read as a forged proof.
 * @throws KillickError key_invalid | vkey_invalid | trust_invalid
 */
export function checkTrust(trust: Trust): void {
  for (const { jwk, notBefore, notAfter } of trust.sourceKeys ?? []) {
    parsePublicJwk(jwk)
    parsePinTime(notBefore)
    parsePinTime(notAfter)
  }
  splitVkeys(trust.logKeys ?? [])
  for (const log of trust.logs ?? []) parsePinnedLog(log)
  // With none asked for, an anchor in no block at all would be final.
  if (trust.confirmations !== undefined && !(isCount(trust.confirmations) && trust.confirmations > 0)) {
    throw new KillickError('trust_invalid', 'The number of confirmations must be an integer from 1')
  }
  if (trust.timeTolerance !== undefined && !isCount(trust.timeTolerance)) {
    throw new KillickError('trust_invalid', 'The tolerance for times must be a whole number of seconds')
  }
}

/** Confirmations that count as final where `Trust.confirmations` is not given. */
export const DEFAULT_CONFIRMATIONS = 12
/** Seconds that count where `Trust.timeTolerance` is not given. */
export const DEFAULT_TIME_TOLERANCE = 3600
