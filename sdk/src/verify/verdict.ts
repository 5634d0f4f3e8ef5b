/** The verifier's answer, check by check. */
import type { JsonObject } from '../core/json.ts'
import type { CheckStatus, Reason } from './finding.ts'
import type { CheckName, CheckValues, ErasureWord } from './values.ts'

/**
 * The highest level up to which every check passed. `signed`: by the source. `logged`: in the log, under a checkpoint
 * that its key signed. `anchored`: on chain. `final`: in a block that can no longer be reorganised away.
 */
export type Level = 'none' | 'signed' | 'logged' | 'anchored' | 'final'

/**
 * One check of a verdict: what was asked (`id`, e.g. `event.signature`, `anchor.0.contract`), how it ended (`status`), why
 * (`reason`: a stable code), and what was found (`values`, which belong to check and reason). It holds no sentences:
 * `@killick/sdk/words` makes them, or you do.
 */
export type Check<N extends CheckName = CheckName> = {
  [Name in N]: {
    [R in keyof CheckValues[Name] & Reason]: {
      readonly id: Name extends `anchor.${infer Rest}` ? `anchor.${number}.${Rest}` : Name
      readonly status: R extends 'ok' ? 'passed' : Exclude<CheckStatus, 'passed'>
      readonly reason: R
      readonly values: CheckValues[Name][R]
    }
  }[keyof CheckValues[Name] & Reason]
}[N]

/**
 * What is still missing for `verified`. `anchor`: the event is not anchored yet. `chain`: an answer from the chain about an
 * anchor. `source_key`, `log_key`: a pinned key. `key_time`: anchors that tell whether the key was used in its time. `contract`:
 * a pinned contract and log, confirmed by the chain.
 */
export type Missing = 'anchor' | 'chain' | 'source_key' | 'key_time' | 'log_key' | 'contract'

/**
 * What a verdict takes on somebody's word. The operator's: `source_key`, which key is the source's; `key_time`, when it was used;
 * `history`, that the past was not rewritten. The proof's own: `log`, which log this is; `contract`, which one to ask. The
 * publisher's: `succession`, that this log succeeds the pinned one.
 */
export type RestsOn = 'source_key' | 'key_time' | 'log' | 'history' | 'contract' | 'succession'

/** When an event was recorded: what is claimed, and what the anchors allow. Times are ISO 8601 in UTC. */
export type Times = {
  /** From the recorder's clock: a claim. */
  readonly recordedAt: string
  /** Block time of the last anchor that does not cover the event: the log that was anchored then did not hold it yet. */
  readonly after: string | null
  /** Block time of the first anchor that covers it: it was in the log by then. */
  readonly by: string | null
  /** On which side a claimed time lies outside these bounds by more than the tolerance; null if it does not, or without bounds. */
  readonly outside: 'before' | 'after' | null
  readonly toleranceMs: number
}

/** What one registration in the log says about one key. */
export type KeyWord = {
  /** Log entry that holds the registration. */
  readonly logIndex: number
  readonly kid: string
  /** ISO 8601, UTC; null: without limit. */
  readonly notBefore: string | null
  readonly notAfter: string | null
  /** Block time of the earliest confirmed anchor of the proof that covers it; null: none does. */
  readonly anchoredAt: string | null
}

/**
 * What `verifyProof` answers, as data: programs go by `outcome`, `level`, and the `reason` of each check; `inWords` of
 * `@killick/sdk/words` makes sentences for people.
 */
export type Verdict = {
  /**
   * `failed`: something does not hold. `verified`: nothing failed, the anchor was read from the chain, and source key,
   * log key and contract are all ones that the verifier pinned. `undecided`: nothing failed, but that was not enough
   * to tell.
   */
  readonly outcome: 'verified' | 'failed' | 'undecided'
  readonly level: Level
  readonly checks: readonly Check[]
  /** Whose word was taken for what was not pinned; empty if everything was pinned. */
  readonly restsOn: readonly RestsOn[]
  /** What is still missing for `verified`; empty otherwise. */
  readonly missing: readonly Missing[]
  /** What was recorded, as far as the proof discloses it. Null if the event could not be read. */
  readonly event: {
    readonly id: string
    readonly leafHash: string
    readonly source: string
    readonly stream: string
    readonly seq: number
    /** ISO 8601, from the recorder's clock. */
    readonly recordedAt: string
    readonly fields: JsonObject
    /** How many fields exist that this proof does not show. */
    readonly hiddenFields: number
    /** How many of those the ledger itself no longer holds, by its operator's word. */
    readonly missingFields: number
    /** How many of those were erased by orders in the log, and what these say; none if a check failed. */
    readonly erasedFields: number
    readonly erasures: readonly ErasureWord[]
  } | null
  /** Null if the event could not be read, or if a check failed. */
  readonly times: Times | null
  /** What the log says of the keys of this source, in order, as far as the proof carries it and it was checked. */
  readonly registrations: readonly KeyWord[]
  /** The event existed by then: block time of the earliest anchor that the chain confirmed, ISO 8601. */
  readonly anchoredAt: string | null
}
