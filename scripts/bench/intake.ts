// Intake over HTTP: everything checked, durable, found by searches, and answered with an inclusion proof.
import { join } from 'node:path'
import { type Load, makeLoads } from './events.ts'
import { hypercoreRate, postgresRate, redisRate } from './peers.ts'
import { against, type BenchPlan, type BenchRow, besideLimit, ms, newSource, perSecond, SIGNER } from './plan.ts'
import { type Flow, handIn, handInPaced, type Running, startService } from './service.ts'
import { median, medianRound } from './stats.ts'

/** Streams at once, and events of a batch. */
const STREAMS = [
  { streams: 1, events: 1000 },
  { streams: 8, events: 1000 },
  { streams: 64, events: 125 },
]
type Shape = (typeof STREAMS)[number]

const batchesOf = ({ streams, events }: Shape, plan: BenchPlan) =>
  Math.max(1, Math.round(plan.events / streams / events))
const latency = ({ p50, p99 }: Flow) => `, receipt p50 ${ms(p50)}, p99 ${ms(p99)}`
const shapeName = ({ streams, events }: Shape) => `${streams} stream${streams > 1 ? 's' : ''} × ${events} a batch`

async function loadsOf(service: Running, shape: Shape, plan: BenchPlan, signEvents: boolean): Promise<Load[]> {
  const source = await newSource(service.url, signEvents ? 'required' : 'optional')
  return makeLoads(source, SIGNER, { ...shape, batches: batchesOf(shape, plan) }, signEvents)
}

/** @returns also some events that are in the ledger then */
export async function measureIntake(service: Running, plan: BenchPlan): Promise<{ rows: BenchRow[]; loads: Load[] }> {
  const rows: BenchRow[] = []
  let loads: Load[] = []
  let best = 0
  for (const shape of STREAMS) {
    const round = await medianRound(plan.rounds, async () => {
      loads = await loadsOf(service, shape, plan, true)
      return besideLimit(() => handIn([service.url], loads))
    })
    best = Math.max(best, round.rate)
    const what = `intake over HTTP, signed events, ${shapeName(shape)}`
    rows.push(against(what, round.rate, round.limit, 'verifications of all cores (libsodium)', latency(round)))
  }
  const shape = { streams: 8, events: 100 }
  const half = await medianRound(plan.rounds, async () =>
    handInPaced(service.url, await loadsOf(service, shape, { ...plan, events: plan.events / 2 }, true), best / 2),
  )
  rows.push({
    what: `receipts at half of that load, ${shapeName(shape)}`,
    figure: `p50 ${ms(half.p50)}, p99 ${ms(half.p99)} at ${perSecond(half.rate)}`,
    beside: 'target: p99 under 150 ms',
  })
  return { rows, loads }
}

/** The same for events that only their batch's signature speaks for, beside what else could take them. */
export async function measureUnsigned(service: Running, folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  const peers: Record<'postgres' | 'hypercore' | 'redis', number[]> = { postgres: [], hypercore: [], redis: [] }
  let best = 0
  for (const shape of STREAMS) {
    const round = await medianRound(plan.rounds, async () => {
      // Twice as many, for they take less than half the time.
      const loads = await loadsOf(service, shape, { ...plan, events: 2 * plan.events }, false)
      const flow = await handIn([service.url], loads)
      if (shape.streams !== 8) return flow
      const batches = loads.flatMap((load) => load.batches.map(({ tokens }) => tokens))
      peers.postgres.push(await postgresRate(folder, batches))
      peers.hypercore.push(await hypercoreRate(folder, batches))
      const redis = await redisRate(folder, batches)
      if (redis !== null) peers.redis.push(redis)
      return flow
    })
    best = Math.max(best, round.rate)
    rows.push({
      what: `intake over HTTP, unsigned events in signed batches, ${shapeName(shape)}`,
      figure: `${perSecond(round.rate)}${latency(round)}`,
      beside: 'target: 25,000/s',
      ratio: round.rate / 25_000,
    })
  }
  const beside = [
    ['PostgreSQL: plain multi-row insert of 1000, one index (fsync)', peers.postgres],
    ['Redis Streams: XADD, appendfsync always, pipelines of 1000', peers.redis],
    ['hypercore 10.38: append in batches of 1000, in its own process, without fsync', peers.hypercore],
  ] as const
  for (const [name, rates] of beside)
    if (rates.length > 0) rows.push(against('the fastest of these', best, median(rates), name))
  return rows
}

/** Two services on one database beside one, each with one checking thread, so that one alone leaves cores to spare. */
export async function measureTwo(folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const env = { KILLICK_CHECKING_THREADS: '1' }
  const first = await startService(join(folder, 'two'), env)
  const shape = { streams: 8, events: 1000 }
  const rate = async (...urls: string[]) =>
    (await medianRound(plan.rounds, async () => handIn(urls, await loadsOf(first, shape, plan, true)))).rate
  const alone = await rate(first.url)
  const second = await startService(join(folder, 'two'), env)
  const both = await rate(first.url, second.url)
  await second.child.stop()
  await first.child.stop()
  const what = 'intake by two processes on one database, one checking thread each, signed, 8 streams'
  return [against(what, both, alone, 'by one such process')]
}
