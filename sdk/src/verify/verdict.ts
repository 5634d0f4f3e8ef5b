/** The verifier's answer, check by check. */
import type { JsonObject } from '../core/json.ts'

/** How far up the ladder every check of every rung below passed. */
export type Level = 'none' | 'signed' | 'logged' | 'anchored' | 'final'

export type CheckStatus = 'passed' | 'failed' | 'skipped'

export type Check = {
  /** Stable name, e.g. `event.signature`, `anchor.0.contract`. */
  readonly id: string
  /** The question, in words. */
  readonly title: string
  readonly status: CheckStatus
  /** What was found, or why it was skipped. */
  readonly detail: string
}

export type Verdict = {
  /**
   * `failed`: something does not hold. `verified`: nothing failed, the anchor was read from the chain, and source key,
   * log key and contract are all ones that the verifier pinned. `undecided`: nothing failed, but that was not enough
   * to tell.
   */
  readonly outcome: 'verified' | 'failed' | 'undecided'
  readonly level: Level
  readonly checks: readonly Check[]
  /** Whose word the answer rests on where nothing was pinned; empty when everything was. */
  readonly restsOn: readonly string[]
  /** What is still missing for `verified`; empty otherwise. */
  readonly missing: readonly string[]
  /** What was recorded, as far as the proof discloses it. Null when not even that could be read. */
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
  } | null
  /** The event existed by then: block time of the earliest anchor that the chain confirmed, ISO 8601. */
  readonly anchoredAt: string | null
}
