// The events that everything here is measured on, made before the clock runs: signed, chained, batched and compressed.
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import {
  batchRoot,
  type EventInput,
  type Hash,
  leafHash,
  parseHash,
  printBatch,
  type Signer,
  signBatchHeader,
  utf8,
} from '@killick/sdk'
import { draftEvent, sealEvent } from '../../sdk/src/client/capture.ts'
import { saltText, uuidv7 } from '../../sdk/src/client/random.ts'

/** One stream's batches in order, as they go over the wire (zstd), and their events. */
export type Load = { source: string; stream: string; batches: { body: Buffer; tokens: string[]; ids: string[] }[] }

export type LoadSize = { streams: number; batches: number; events: number }

export function sampleEvent(i: number): EventInput {
  return {
    action: ['invoice.approve', 'invoice.create', 'user.login', 'user.update', 'report.export'][i % 5]!,
    actor: { type: 'user', id: `u-${i % 997}`, name: 'Ada Lovelace' },
    targets: [{ type: 'invoice', id: `inv-${i}` }],
    outcome: 'success',
    context: { ip: `192.0.2.${i % 256}`, requestId: `req-${i}` },
    changes: [{ path: '/status', before: 'open', after: 'approved' }],
  }
}

/** New streams of a source; without `signEvents` only the batch headers are signed. */
export async function makeLoads(source: string, signer: Signer, size: LoadSize, signEvents = true): Promise<Load[]> {
  const loads: Load[] = []
  for (let s = 0; s < size.streams; s++) {
    const load: Load = { source, stream: randomUUID(), batches: [] }
    let last: { event: string | null; header: Hash | undefined } = { event: null, header: undefined }
    for (let b = 0; b < size.batches; b++) last = await addBatch(load, signer, size.events, signEvents, b, last)
    loads.push(load)
  }
  return loads
}

async function addBatch(
  load: Load,
  signer: Signer,
  n: number,
  signEvents: boolean,
  b: number,
  last: { event: string | null; header: Hash | undefined },
) {
  const { source, stream } = load
  const tokens: string[] = []
  const ids: string[] = []
  const leaves: Hash[] = []
  let prev = last.event
  for (let seq = b * n; seq < (b + 1) * n; seq++) {
    const time = Date.now()
    const draft = draftEvent(sampleEvent(seq), { id: uuidv7(time), time, salt: saltText })
    const { token, leafHash: hash } = await sealEvent(draft, { source, stream, seq, prev }, signEvents ? signer : null)
    tokens.push(token)
    ids.push(draft.id)
    leaves.push(parseHash(hash)!)
    prev = hash
  }
  const fields = { source, stream, seq: b * n, n, root: batchRoot(leaves), prev: last.header, time: Date.now() }
  const header = await signBatchHeader(fields, signer)
  const body = await promisify(zstdCompress)(Buffer.from(printBatch(header, tokens)))
  load.batches.push({ body, tokens, ids })
  return { event: prev, header: leafHash(utf8(header)) }
}
