import { asHash, type BatchHeader, equalBytes, fromUtf8, type Hash, printHash, type TimeAt } from '@killick/sdk/core'
import type { Tuples } from '../../database/copy.ts'
import { Refusal } from '../../errors.ts'

/** What a batch requires of its source's registration. */
export type Demands = {
  /** The keys that signed it, by kid, each with the first line that it signed. */
  readonly kids: ReadonlyMap<string, number>
  /** The line of the first event that is not signed, and of the first that does not disclose all of its digests. */
  readonly unsignedLine: number | null
  readonly hiddenLine: number | null
  /** The earliest and the latest of its events by their time of recording. */
  readonly earliest: TimeAt
  readonly latest: TimeAt
}

/** A batch whose keys, signatures, chain and root have been checked. */
export type CheckedBatch = {
  readonly header: BatchHeader
  /** `prev` of its first event. */
  readonly eventPrev: Hash | undefined
  /** Leaf hashes of its events, 32 bytes each. */
  readonly eventLeaves: Uint8Array
  /** Nodes of the tree over these, as `treeOver` keeps them. */
  readonly eventNodes: Uint8Array
  /** The earliest and the latest time of recording of its events, ms since 1970. */
  readonly earliest: number
  readonly latest: number
  /** Rows of its events, without number and log index. */
  readonly rows: Tuples
  /** Their search keys: a row for each of `rows`, without its number. */
  readonly keyRows: Tuples
  /**
   * What it requires of its source's registration, and the hash of the newest registration by which that was judged (null: there
   * was none); `catalogue`: that of the catalogue that it was held to, if it was. Null if the ledger itself made the batch.
   */
  readonly judged: (Demands & { readonly registered: string | null; readonly catalogue: string | null }) | null
}

export function eventLeaf({ eventLeaves }: CheckedBatch, i: number): Hash {
  return asHash(eventLeaves.subarray(32 * i, 32 * i + 32))
}

/** The end of a stream: the next batch must start at `seq`, name `batch` as its prev and chain its first event to `event`. */
export type StreamHead = { seq: number; batch: Hash; event: Hash }

/** An accepted batch as the ledger keeps it. */
export type KeptBatch = {
  logIndex: number
  seq: number
  n: number
  header: string
  leafHash: Hash
  eventLeaves: readonly Hash[]
}

/** What the recorder needs to go on: the place, and the hashes that its next header and event must name. */
function expected(head: StreamHead | null): Record<string, unknown> {
  if (head === null) return { expected: { seq: 0 } }
  return { expected: { seq: head.seq, prev: printHash(head.batch), eventPrev: printHash(head.event) } }
}

/** Why the batch does not continue the stream; null if it does. */
export function refusalAtHead({ header, eventPrev }: CheckedBatch, head: StreamHead | null): Refusal | null {
  const next = head?.seq ?? 0
  if (header.seq > next) {
    return new Refusal('stream_gap', `The stream continues at ${next}, the batch starts at ${header.seq}.`, {
      ...expected(head),
      line: 1,
    })
  }
  if (head !== null && !equalBytes(header.prev!, head.batch)) {
    return new Refusal('stream_fork', 'The header does not name the previous batch.', { ...expected(head), line: 1 })
  }
  if (head !== null && !equalBytes(eventPrev!, head.event)) {
    return new Refusal('stream_fork', 'The first event does not name the previous event.', {
      ...expected(head),
      line: 2,
    })
  }
  return null
}

/** The header without its signature, since ECDSA signs the same batch differently each time. */
const signedPart = (header: string) => header.slice(0, header.lastIndexOf('.'))

export function isSameBatch(batch: Pick<CheckedBatch, 'header'>, kept: KeptBatch): boolean {
  return fromUtf8(batch.header.signature.input) === signedPart(kept.header)
}

/**
 * The refusal of a batch for a place that another batch has taken. Other events there are equivocation. The same events cut into
 * other batches are only a recorder that has lost its state.
 */
export function refusalBehindHead(batch: CheckedBatch, kept: KeptBatch, head: StreamHead): Refusal {
  const skip = batch.header.seq - kept.seq
  const overlap = Math.min(kept.n - skip, batch.header.n)
  for (let i = 0; i < overlap; i++) {
    if (!equalBytes(eventLeaf(batch, i), kept.eventLeaves[skip + i]!)) {
      return new Refusal('equivocation', `The stream has another event at ${batch.header.seq + i}.`, {
        ...expected(head),
        line: i + 2,
        accepted: kept.header,
        refused: batch.header.text,
      })
    }
  }
  return new Refusal('stream_fork', 'The ledger already has these events, in another batch.', {
    ...expected(head),
    line: 1,
  })
}
