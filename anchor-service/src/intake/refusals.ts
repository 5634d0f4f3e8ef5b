import { Refusal, type ServiceCode } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'

/** The last batch of a stream that was refused for its place: it left a gap, forked the stream, or contradicted it. */
export type RefusedPlace = {
  source: string
  stream: string
  code: ServiceCode
  /** Where the batch starts, and where the stream went on. */
  seq: number
  expected: number
  at: Date
  /** Refusals of this stream since the process began. */
  times: number
}

const CODES: readonly ServiceCode[] = ['stream_gap', 'stream_fork', 'equivocation']
/** Streams that are remembered; those refused longest ago are forgotten first. */
const MAX_STREAMS = 200

/**
 * Remembers, in this process alone, which streams were refused for their place. A refused batch leaves no trace in the
 * ledger, so that a sender who repeats it cannot make the ledger grow; only a registered key gets this far.
 */
export function rememberRefusals(now: () => number = Date.now) {
  const kept = new Map<string, RefusedPlace>()
  const since = new Date(now())

  function remember({ header: { source, stream, seq } }: CheckedBatch, { code, details }: Refusal): void {
    const name = `${source}/${stream}`
    const times = (kept.get(name)?.times ?? 0) + 1
    const expected = (details.expected as { seq: number }).seq
    // Inserted again, so that the map's order is least recently refused first.
    kept.delete(name)
    kept.set(name, { source, stream, code, seq, expected, at: new Date(now()), times })
    if (kept.size > MAX_STREAMS) kept.delete(kept.keys().next().value!)
  }

  return {
    /** Since when: earlier ones are not known. */
    since,
    /** Newest first. */
    list: (): RefusedPlace[] => [...kept.values()].reverse(),
    /** The ledger's `submit`, watched. */
    watch:
      (submit: Ledger['submit']): Ledger['submit'] =>
      async (batch) => {
        try {
          return await submit(batch)
        } catch (error) {
          if (error instanceof Refusal && CODES.includes(error.code)) remember(batch, error)
          throw error
        }
      },
  }
}

export type Refusals = ReturnType<typeof rememberRefusals>
