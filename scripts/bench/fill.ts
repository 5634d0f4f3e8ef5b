// A long ledger for readers: many sources and streams, recorded over a year, and handed in like any other.
import { publicJwk } from '@killick/sdk'
import { addBatch, type Load, newLoad, type Sample } from './events.ts'
import { KEY, SIGNER } from './plan.ts'
import { hand, register } from './service.ts'

/** Events of a batch. */
const BATCH = 100
export const SOURCES = 20
export const STREAMS = 10
/** The first event was recorded so long ago, the last one now. */
export const AGE_MS = 365 * 86_400_000

const ACTIONS = ['invoice.approve', 'invoice.create', 'user.login', 'user.update', 'report.export']

export const sourceName = (i: number) => `bench-${String(i % SOURCES).padStart(2, '0')}`

/** One actor in 100,000 is rare, the others come again every 997 events; every event has a target of its own and a shared one. */
const sampleAt = (i: number, time: number): Sample => ({
  input: {
    action: ACTIONS[i % 5]!,
    actor: { type: 'user', id: i % 100_000 === 0 ? 'rare' : `u-${i % 997}` },
    targets: [
      { type: 'invoice', id: `inv-${i}` },
      { type: 'account', id: `shared-${i % 50}` },
    ],
  },
  time,
})

export type Filled = {
  events: number
  /** When the last event was recorded, ms. */
  until: number
  /** Ids of some events. */
  ids: string[]
  streams: { source: string; stream: string; events: number }[]
}

/** @param wantedIds of how many events the id is to be told */
export async function fillLedger(url: string, events: number, wantedIds: number): Promise<Filled> {
  const loads: Load[] = []
  for (let s = 0; s < SOURCES; s++) {
    await register(url, sourceName(s), publicJwk(KEY), 'optional')
    for (let k = 0; k < STREAMS; k++) loads.push(newLoad(sourceName(s)))
  }
  const ids: string[] = []
  const until = Date.now()
  const timeOf = (i: number) => Math.round(until - AGE_MS * (1 - i / events))
  const handed = new Map<Load, Promise<unknown>>()
  for (let b = 0; b * BATCH < events; b++) {
    // Neighbours are of different sources, as they are in a log that many hand in to.
    const load = loads[(b % SOURCES) * STREAMS + (Math.floor(b / SOURCES) % STREAMS)]!
    const samples = Array.from({ length: BATCH }, (_, i) => sampleAt(b * BATCH + i, timeOf(b * BATCH + i)))
    await handed.get(load)
    await addBatch(load, SIGNER, samples, false)
    const [batch] = load.batches.splice(0)
    handed.set(load, hand(url, batch!.body))
    if (ids.length < wantedIds * (((b + 1) * BATCH) / events)) ids.push(batch!.ids[b % BATCH]!)
  }
  await Promise.all(handed.values())
  const begun = loads.filter(({ head }) => head.seq > 0)
  const streams = begun.map(({ source, stream, head }) => ({ source, stream, events: head.seq }))
  return { events, until, ids, streams }
}
