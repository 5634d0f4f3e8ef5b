/** What a walk through `log.txt` works with, and the batch that it is in. */
import type { BatchHeader } from '../core/batch.ts'
import type { ParsedEvent } from '../core/event.ts'
import type { Hash } from '../core/hash.ts'
import type { Primitives } from '../core/primitives.ts'
import type { ScopeWatch } from './completeness.ts'
import type { ErasureWatch, Lacking } from './erasures.ts'
import type { GrowingTree } from './growing-tree.ts'
import type { BundleKeys } from './keys.ts'
import type { CheckSignature, MaybeSigned } from './reading.ts'
import type { PromiseWatch } from './silence.ts'
import type { BundleFault, Few } from './verdict.ts'

export type WalkParts = {
  readonly primitives: Primitives
  readonly checkSignature: CheckSignature
  readonly keys: BundleKeys
  readonly watch: ScopeWatch
  readonly silence: PromiseWatch
  readonly erasures: ErasureWatch
  readonly faults: Few<BundleFault>
  /** Null: nobody wants to see the events. */
  readonly onEvent: ((event: ParsedEvent, logIndex: number) => void) | null
  /** Sizes at which the root is wanted. */
  readonly edges: ReadonlySet<number>
  /** Entries of the log that a confirmed anchor covers, of those that count. */
  readonly anchored: number
}

/** A batch whose lines are being read. */
export type OpenBatch = {
  readonly header: BatchHeader
  readonly logIndex: number
  readonly line: number
  readonly tree: GrowingTree
  /** Whether its signature verifies, as far as somebody has looked. */
  readonly signed: MaybeSigned
  /** How many lines it has, and the leaf hash of the event read last; null behind events that are not carried. */
  lines: number
  before: Hash | null
  /** The event read last, if it shows fewer fields than it has; null behind any other line. */
  lacking: Lacking | null
  /** Its only event, if it is one of the ledger's own stream: it may register something. */
  own: { readonly event: ParsedEvent; readonly signed: MaybeSigned } | null
}
