// What an auditor may check beyond what every audit does.
import type { BatchHeader } from '../core/batch.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import type { Fault } from './findings.ts'

/** One more check of an audit. What it throws ends the audit, undecided. */
export type OwnCheck = {
  /** Its stable name in the result, and in a sentence what holds when it passes. */
  readonly id: string
  readonly title: string
  /**
   * Of each batch, in the order of the log; the next may begin before the last one's answer.
   * @param batch its events are null where it is not whole, which the audit tells by itself
   */
  batch?(batch: WalkedBatch): Promise<readonly Fault[]>
  /** Of each batch, one after another: the next begins when this one has answered. */
  entry?(batch: WalkedEntry): Promise<readonly Fault[]>
  /** After the last batch, unless batches are missing. `skipped`: why it could not be told; `detail`: what was checked. */
  finish(): Promise<{ readonly faults: readonly Fault[]; readonly detail: string; readonly skipped?: string | null }>
}

/** A batch that an audit comes to: entry `logIndex` of the log, from 0. */
export type WalkedBatch = {
  readonly logIndex: number
  /** How many events stand in the log before it. */
  readonly firstEvent: number
  readonly header: BatchHeader
  /** Null where the batch is not whole. */
  readonly events: readonly ParsedEvent[] | null
}

/** A batch at its turn in the log. */
export type WalkedEntry = WalkedBatch & {
  /** Root of the log up to this entry, which is the newest in it. */
  root(): Hash
}
