/** What a check found: how it ended, a code for the reason, and the values for a sentence about it. */
import type { CheckName, CheckValues, NoValues } from './values.ts'

/** How a check ended. `skipped` means that it was not made; it never counts as passed. */
export type CheckStatus = 'passed' | 'failed' | 'skipped'

/**
 * Why a check ended as it did: a closed set, stable across releases. docs/PROTOCOL.md lists what each means, and
 * `@killick/sdk/words` makes sentences of them.
 */
export type Reason =
  /** It holds. */
  | 'ok'
  /** A part of the proof cannot be read. */
  | 'malformed'
  /** A part that this rests on cannot be read, or does not hold itself. */
  | 'part_unreadable'
  /** The proof does not hold the key that is named. */
  | 'key_absent'
  /** The keys in the proof are not those that signed, or not of the algorithm that is named. */
  | 'key_mismatch'
  /** A signature does not verify. */
  | 'signature_invalid'
  /** The source signs batches and not single events. */
  | 'batch_signed'
  /** Event, batch or log are not the ones that this place belongs to. */
  | 'place_mismatch'
  /** A path does not lead to the root that is named. */
  | 'path_invalid'
  /** Nothing was pinned to hold it against. */
  | 'not_pinned'
  /** It is not what was pinned. */
  | 'pin_mismatch'
  /** It was used outside the time for which it was pinned. */
  | 'pin_expired'
  /** Whether it was used within the time for which it was pinned cannot be told. */
  | 'pin_time_open'
  /** Another anchor of this proof is the pinned one. */
  | 'other_pinned'
  /** The log succeeds a pinned one, on the word of who holds the log's key. */
  | 'succeeded'
  /** It says that it succeeds a pinned log, and that does not hold. */
  | 'succession_invalid'
  /** Not every field is shown. */
  | 'fields_hidden'
  /** Fields were erased, by an order in the log. */
  | 'fields_erased'
  /** Fields have expired, by a retention policy that an order in the log names. */
  | 'fields_expired'
  /** An erasure in the proof does not hold. */
  | 'erasure_invalid'
  /** The ledger no longer holds every field that it accepted. */
  | 'fields_missing'
  /** A claimed time lies outside what the anchors allow. */
  | 'time_outside'
  /** No anchor bounds the time. */
  | 'time_unbounded'
  /** The proof carries no registration. */
  | 'registration_absent'
  /** A registration in the proof does not hold. */
  | 'registration_invalid'
  /** The key was not registered before it was used. */
  | 'registration_late'
  /** A registration between those that the proof carries is missing. */
  | 'registration_gap'
  /** The key was used outside the time for which it was registered. */
  | 'registration_expired'
  /** The event is not anchored yet. */
  | 'not_anchored'
  /** No node was asked. */
  | 'not_asked'
  /** The node gave no usable answer. */
  | 'node_unreadable'
  /** The code at the address is not the published contract. */
  | 'code_foreign'
  /** The contract does not hold this root. */
  | 'not_held'
  /** The block is not the one that is named. */
  | 'block_mismatch'
  /** The node no longer has the block. */
  | 'block_pruned'
  /** The earlier anchor is not earlier. */
  | 'order_mismatch'
  /** The block is not final yet. */
  | 'not_final'

/** What the check named N found: how it ended, why, and the values that belong to this reason. */
export type Finding<N extends CheckName> = {
  [R in keyof CheckValues[N] & Reason]: {
    readonly status: R extends 'ok' ? 'passed' : Exclude<CheckStatus, 'passed'>
    readonly reason: R
    readonly values: CheckValues[N][R]
  }
}[keyof CheckValues[N] & Reason]

type Ended<S extends CheckStatus, R extends Reason, V> = {
  readonly status: S
  readonly reason: R
  readonly values: V
}

export function pass(): Ended<'passed', 'ok', NoValues>
export function pass<const V>(values: V): Ended<'passed', 'ok', V>
export function pass(values: unknown = {}): Ended<'passed', 'ok', unknown> {
  return { status: 'passed', reason: 'ok', values }
}

export function fail<R extends Reason>(reason: R): Ended<'failed', R, NoValues>
export function fail<R extends Reason, const V>(reason: R, values: V): Ended<'failed', R, V>
export function fail(reason: Reason, values: unknown = {}): Ended<'failed', Reason, unknown> {
  return { status: 'failed', reason, values }
}

export function skip<R extends Reason>(reason: R): Ended<'skipped', R, NoValues>
export function skip<R extends Reason, const V>(reason: R, values: V): Ended<'skipped', R, V>
export function skip(reason: Reason, values: unknown = {}): Ended<'skipped', Reason, unknown> {
  return { status: 'skipped', reason, values }
}
