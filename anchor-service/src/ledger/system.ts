import { randomBytes } from 'node:crypto'
import {
  type EventInput,
  makeEvent,
  parseBatchHeader,
  parseEvent,
  type Signer,
  SYSTEM,
  signBatchHeader,
} from '@killick/sdk/core'
import type { CheckedBatch, StreamHead } from './packs/checked-batch.ts'
import { packBatch } from './packs/packer.ts'
import { batchRoot } from './tree/merkle-tree.ts'

/** A batch of one event that continues the system stream. */
export async function makeSystemBatch(
  { event, id }: { event: EventInput; id: string },
  head: StreamHead | null,
  signer: Signer,
  time: number,
): Promise<CheckedBatch> {
  const position = { ...SYSTEM, seq: head?.seq ?? 0, ...(head && { prev: head.event }) }
  const mint = { id, time, salt: () => new Uint8Array(randomBytes(16)) }
  const { token, leafHash } = await makeEvent(event, position, mint, signer)
  const fields = { ...SYSTEM, seq: position.seq, n: 1, root: batchRoot([leafHash]), time }
  const header = await signBatchHeader({ ...fields, ...(head && { prev: head.batch }) }, signer)
  return packBatch({ header: parseBatchHeader(header), events: [parseEvent(token)] })
}
