// Checks that an auditor may add to those of every audit.
import type { BatchHeader } from '../core/batch.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import type { JsonValue } from '../core/json.ts'
import type { AuditReason } from './codes.ts'
import type { Fault } from './findings.ts'
import type { Prefix } from './prefix.ts'

/** An additional check of an audit. If it throws, the audit ends undecided. */
export type OwnCheck = {
  /** Its stable name in the result, and a sentence that says what holds if it passes. */
  readonly id: string
  readonly title: string
  /**
   * Called for each batch, in the order of the log; the next call may begin before the last has answered. What must be had of a batch is
   * asked for before it answers.
   */
  batch?(batch: WalkedBatch): Promise<readonly Fault[]>
  /** Called for each batch, one after another: the next call begins when this one has answered. */
  entry?(batch: WalkedEntry): Promise<readonly Fault[]>
  /**
   * Called after the last batch, unless batches are missing and the check is not one apart. `skipped`: why it could not be checked, by code and in words;
   * `detail`: what was checked.
   */
  finish(): Promise<{
    readonly faults: readonly Fault[]
    readonly detail: string
    readonly skipped?: { readonly reason: AuditReason; readonly detail: string } | null
  }>
  /** Whether it looks at nothing of the log, and so is made even of one that cannot be read. Default false. */
  readonly isApart?: boolean
  /** How it goes on where an earlier audit ended. An audit that keeps how far it has come takes no check without it. */
  readonly resumes?: Resumes
}

/** How a check goes on at a place of the log, without the entries before it. */
export type Resumes = {
  /** Whether its `entry` is given the ledger's own entries before the place once more. Their `root` cannot be asked for. */
  readonly again: boolean
  /** What else it has to know of what came before the place. */
  save?(): Iterable<JsonValue>
  /**
   * Takes one of the values that were saved, in their order, before any entry.
   * @param isSame whether it is the same audit that goes on; if not, a next one begins, which counts anew
   */
  load?(value: JsonValue, isSame: boolean): void
  /** Called when all is loaded, before the first entry behind the place. It may hold the log up to there against what it knows. */
  begin?(before: Prefix): Promise<readonly Fault[]>
}

/** A batch of the walk: entry `logIndex` of the log, from 0. */
export type WalkedBatch = {
  readonly logIndex: number
  /** How many events come before it in the log. */
  readonly firstEvent: number
  readonly header: BatchHeader
  /** Whether all of it can be read, and hashes to its root. If not, and it was not dropped, the audit reports it. */
  readonly isWhole: boolean
  /**
   * Leaf hashes of its events, in their order, which make its root, if the service shows nothing else of them; else null. That a retention policy
   * has dropped them is what the check `retention` holds against the log.
   */
  readonly dropped: readonly Hash[] | null
  /** Null if it is not whole. They are parsed when they are asked for first: who needs only some of them asks for these. */
  readonly events: readonly ParsedEvent[] | null
  /** What `AuditOptions.readers` noted of its events; null: nothing, and who needs it parses the events. */
  readonly noted: Uint8Array | null
  /** One of its events, from 0; null if the batch is not whole, or has no such event. */
  event(i: number): ParsedEvent | null
}

/** A batch at its turn in the log. */
export type WalkedEntry = WalkedBatch & {
  /** Whether it stands before the place where this audit goes on, and is one of the ledger's own that are given once more. */
  readonly isEarlier: boolean
  /** Root of the log up to and including this entry. */
  root(): Hash
}
