import { asHash, type BatchHeader } from '@killick/sdk/core'
import type { CheckedBatch } from '../ledger/packs/checked-batch.ts'

/**
 * A small checked batch on its way from one thread to another, its bytes in one piece: each piece that crosses costs about as much
 * as a thousand bytes, and a batch of one event has ten.
 */
export type Crossing = Pick<CheckedBatch, 'earliest' | 'latest' | 'judged'> & {
  header: Omit<BatchHeader, 'root' | 'prev' | 'leafHash' | 'signature'> & Pick<BatchHeader['signature'], 'alg' | 'kid'>
  starts: { rows: number[]; keyRows: number[] }
  bytes: Uint8Array
  /** Where each piece ends; one that is absent is empty. */
  ends: number[]
}

export function pack({ header, rows, keyRows, ...batch }: CheckedBatch): Crossing {
  const { root, prev, leafHash, signature, ...plain } = header
  const { alg, kid, input, bytes: signed } = signature
  const { eventPrev, eventLeaves, eventNodes, earliest, latest, judged } = batch
  const before = [root, prev, leafHash, input, signed, eventPrev, eventLeaves, eventNodes]
  const pieces = [...before, rows.bytes, keyRows.bytes]
  const ends: number[] = []
  let end = 0
  for (const piece of pieces) {
    end += piece?.length ?? 0
    ends.push(end)
  }
  const bytes = new Uint8Array(end)
  for (const [i, piece] of pieces.entries()) if (piece !== undefined) bytes.set(piece, ends[i]! - piece.length)
  return {
    header: { ...plain, alg, kid },
    starts: { rows: [...rows.starts], keyRows: [...keyRows.starts] },
    ...{ earliest, latest, judged, bytes, ends },
  }
}

export function unpack({ header, starts, bytes, ends, ...batch }: Crossing): CheckedBatch {
  let i = 0
  const next = () => bytes.subarray(ends[i - 1] ?? 0, ends[i++])
  const nextHash = () => asHash(next())
  const hashOrNone = () => (ends[i] === ends[i - 1] ? void i++ : nextHash())
  const { alg, kid, ...plain } = header
  return {
    header: {
      ...plain,
      root: nextHash(),
      prev: hashOrNone(),
      // A copy: the ledger keeps it, and must not keep all of the bytes alive.
      leafHash: asHash(next().slice()),
      signature: { alg, kid, input: next(), bytes: next() },
    },
    ...batch,
    eventPrev: hashOrNone(),
    eventLeaves: next(),
    eventNodes: next(),
    rows: { bytes: next(), starts: Uint32Array.from(starts.rows) },
    keyRows: { bytes: next(), starts: Uint32Array.from(starts.keyRows) },
  }
}
