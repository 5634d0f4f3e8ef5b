// The events that everything here is measured on, made before the clock runs: signed, chained, batched and compressed.
import { randomUUID } from 'node:crypto'
import {
  type EventInput,
  type Hash,
  leafHash,
  nodePrimitives,
  parseHash,
  type Signer,
  signBatchHeader,
  treeRoot,
  utf8,
} from '@killick/sdk/core'
import { draftEvent, placeEvent } from '../../sdk/src/client/capture.ts'
import { saltText, uuidv7 } from '../../sdk/src/client/random.ts'
import { compressBatch } from '../../sdk/src/client/transport.ts'

/** One stream's batches in order, as they go over the wire (zstd), and their events. */
export type Load = {
  source: string
  stream: string
  batches: { body: Buffer; tokens: string[]; ids: string[] }[]
  /** Where the stream goes on: number of its next event, hashes of its last event and its last header. */
  head: { seq: number; event: string | null; header: Hash | undefined }
}

export type LoadSize = { streams: number; batches: number; events: number }

/** An event, and when it was recorded (ms). */
export type Sample = { input: EventInput; time: number }

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

export const newLoad = (source: string): Load => ({
  ...{ source, stream: randomUUID(), batches: [] },
  head: { seq: 0, event: null, header: undefined },
})

/** New streams of a source; without `signEvents` only the batch headers are signed. */
export async function makeLoads(source: string, signer: Signer, size: LoadSize, signEvents = true): Promise<Load[]> {
  const loads: Load[] = []
  for (let s = 0; s < size.streams; s++) {
    const load = newLoad(source)
    for (let b = 0; b < size.batches; b++) {
      const samples = Array.from({ length: size.events }, (_, i) => b * size.events + i)
      await addBatch(
        load,
        signer,
        samples.map((i) => ({ input: sampleEvent(i), time: Date.now() })),
        signEvents,
      )
    }
    loads.push(load)
  }
  return loads
}

/** Adds the stream's next batch. */
export async function addBatch(
  load: Load,
  signer: Signer,
  samples: readonly Sample[],
  signEvents: boolean,
): Promise<void> {
  const { source, stream, head } = load
  const tokens: string[] = []
  const ids: string[] = []
  const leaves: Hash[] = []
  let prev = head.event
  for (const [i, { input, time }] of samples.entries()) {
    const draft = draftEvent(input, { id: uuidv7(time), time, salt: saltText })
    const place = { source, stream, seq: head.seq + i, prev }
    const { token, leafHash: hash } = await placeEvent(draft, place, signEvents ? signer : null)
    tokens.push(token)
    ids.push(draft.id)
    leaves.push(parseHash(hash)!)
    prev = hash
  }
  const n = samples.length
  const fields = {
    source,
    stream,
    seq: head.seq,
    n,
    root: treeRoot(leaves, nodePrimitives.nodeHash),
    prev: head.header,
    time: Date.now(),
  }
  const header = await signBatchHeader(fields, signer)
  const body = await compressBatch(header, tokens, 'zstd')
  load.batches.push({ body, tokens, ids })
  load.head = { seq: head.seq + n, event: prev, header: leafHash(utf8(header)) }
}
