// What an auditor may check beyond what every audit does.
import type { BatchHeader } from '../core/batch.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { Fault } from './findings.ts'

/** One more check of an audit. What it throws ends the audit, undecided. */
export type OwnCheck = {
  /** Its stable name in the result, and in a sentence what holds when it passes. */
  readonly id: string
  readonly title: string
  /**
   * Of each batch, in the order of the log; the next may begin before the last one's answer.
   * @param events null where the batch is not whole, which the audit tells by itself
   */
  batch(batch: WalkedBatch): Promise<readonly Fault[]>
  /** After the last batch. `detail`: what was checked, told where nothing was wrong. */
  finish(): Promise<{ readonly faults: readonly Fault[]; readonly detail: string }>
}

export type WalkedBatch = {
  readonly logIndex: number
  /** How many events stand in the log before it. */
  readonly firstEvent: number
  readonly header: BatchHeader
  readonly events: readonly ParsedEvent[] | null
}
