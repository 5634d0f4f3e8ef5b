// The measurements, each a list of rows; bench.ts prints them.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateKey, openAuditLog, publicJwk, signerOf } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'
import { type Load, makeLoads, sampleEvent } from './events.ts'
import { signingRate, verifyingRate } from './limits.ts'
import { hypercoreRate, postgresRate, redisRate } from './peers.ts'
import { measureProofs } from './proofs.ts'
import { handIn, handInPaced, type Running, register, startService, TOKEN } from './service.ts'
import { median, medianRound } from './stats.ts'

export type Row = { what: string; figure: string; beside: string; ratio?: number }

/** How much is measured. `growth`: sizes of the ledger, in events, at which intake is measured again. */
export type Plan = { rounds: number; events: number; growth: readonly number[] }

export const KEY = generateKey()
export const SIGNER = signerOf(KEY)
const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))

export const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`
export const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
export const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`

function against(what: string, rate: number, limit: number, of: string, more = ''): Row {
  return { what, figure: `${perSecond(rate)}${more}`, beside: `${perSecond(limit)} ${of}`, ratio: rate / limit }
}

/** A source of its own for each measurement, so that streams never meet. */
export async function newSource(url: string, eventSignatures: 'required' | 'optional' = 'required'): Promise<string> {
  const source = `bench-${randomUUID().slice(0, 8)}`
  await register(url, source, publicJwk(KEY), eventSignatures)
  return source
}

export async function measureRecord(folder: string, { rounds, events }: Plan): Promise<Row[]> {
  const { rate, limit } = await medianRound(rounds, async () => {
    // Nobody listens there: what is measured is the way to the disk, not the sending behind it.
    const log = await openAuditLog({
      ...{ url: 'http://127.0.0.1:9', source: 'bench', key: KEY, spool: join(folder, `spool-${randomUUID()}`) },
      onError: () => {},
    })
    const start = performance.now()
    let next = 0
    const worker = async () => {
      while (next < events) await log.record(sampleEvent(next++))
    }
    await Promise.all(Array.from({ length: 512 }, worker))
    const rate = (events * 1000) / (performance.now() - start)
    await log.close({ timeoutMs: 0 })
    return { rate, limit: signingRate(1000) }
  })
  return [against('record(): signed, chained, fsynced', rate, limit, 'Ed25519 signatures of one thread (node:crypto)')]
}

const STREAMS = [
  { streams: 1, events: 1000 },
  { streams: 8, events: 1000 },
  { streams: 64, events: 125 },
]

export async function measureIntake(
  service: Running,
  plan: Plan,
): Promise<{ rows: Row[]; loads: Load[]; rate: number }> {
  const rows: Row[] = []
  let loads: Load[] = []
  let best = 0
  for (const { streams, events } of STREAMS) {
    const batches = Math.max(1, Math.round(plan.events / streams / events))
    const round = await medianRound(plan.rounds, async () => {
      const source = await newSource(service.url)
      const load = await makeLoads(source, SIGNER, { streams, batches, events })
      loads = loads.length === 0 ? load : loads
      const limit = await verifyingRate(1000)
      return { ...(await handIn([service.url], load)), limit }
    })
    best = Math.max(best, round.rate)
    const latency = `, receipt p50 ${ms(round.p50)}, p99 ${ms(round.p99)}`
    const what = `intake over HTTP, signed events, ${streams} stream${streams > 1 ? 's' : ''} × ${events} a batch`
    rows.push(against(what, round.rate, round.limit, 'verifications of all cores (libsodium)', latency))
  }
  const half = await medianRound(plan.rounds, async () => {
    const size = { streams: 8, batches: Math.max(2, Math.round(plan.events / 1600)), events: 100 }
    return handInPaced(service.url, await makeLoads(await newSource(service.url), SIGNER, size), best / 2)
  })
  rows.push({
    what: 'receipts at half of that load, 8 streams × 100 a batch',
    figure: `p50 ${ms(half.p50)}, p99 ${ms(half.p99)} at ${perSecond(half.rate)}`,
    beside: 'target: p99 under 150 ms',
  })
  return { rows, loads, rate: best }
}

export async function measureUnsigned(service: Running, folder: string, plan: Plan): Promise<Row[]> {
  const size = { streams: 8, batches: Math.max(1, Math.round(plan.events / 8000)), events: 1000 }
  const peers: Record<'postgres' | 'hypercore' | 'redis', number[]> = { postgres: [], hypercore: [], redis: [] }
  const round = await medianRound(plan.rounds, async () => {
    const loads = await makeLoads(await newSource(service.url, 'optional'), SIGNER, size, false)
    const flow = await handIn([service.url], loads)
    const batches = loads.flatMap((load) => load.batches.map(({ tokens }) => tokens))
    peers.postgres.push(await postgresRate(folder, batches))
    peers.hypercore.push(await hypercoreRate(folder, batches))
    const redis = await redisRate(folder, batches)
    if (redis !== null) peers.redis.push(redis)
    return flow
  })
  const what = 'intake over HTTP, unsigned events in signed batches, 8 streams × 1000'
  const more = `, receipt p50 ${ms(round.p50)}, p99 ${ms(round.p99)}`
  const beside = [
    ['hypercore 10.38: append in batches of 1000 (no fsync)', peers.hypercore],
    ['PostgreSQL: plain multi-row insert of 1000 (fsync)', peers.postgres],
    ['Redis Streams: XADD, appendfsync always, pipelines of 1000', peers.redis],
  ] as const
  return beside
    .filter(([, rates]) => rates.length > 0)
    .map(([name, rates], i) =>
      against(i === 0 ? what : 'the same', round.rate, median(rates), name, i === 0 ? more : ''),
    )
}

/** Two services on one database, beside one. */
export async function measureTwo(service: Running, folder: string, plan: Plan, alone: number): Promise<Row[]> {
  const second = await startService(folder)
  const size = { streams: 8, batches: Math.max(1, Math.round(plan.events / 8000)), events: 1000 }
  const { rate } = await medianRound(plan.rounds, async () =>
    handIn([service.url, second.url], await makeLoads(await newSource(service.url), SIGNER, size)),
  )
  await second.child.stop()
  return [against('intake by two processes on one database, signed, 8 streams', rate, alone, 'by one process')]
}

export async function measureReading(service: Running, loads: readonly Load[], plan: Plan): Promise<Row[]> {
  const ids = loads.flatMap(({ batches }) => batches.flatMap((batch) => batch.ids))
  const wanted = ids.filter((_, i) => i % Math.ceil(ids.length / (200 * plan.rounds)) === 0)
  const proofs = await measureProofs(service.url, wanted)
  const audit = await auditRate(service.url)
  const limit = await verifyingRate(1000)
  return [
    {
      what: 'proofs built and served',
      figure: perSecond(proofs.perSecond),
      beside: `p99 ${ms(proofs.p99)}, ${proofs.bytes} bytes`,
    },
    {
      what: 'proofs parsed and verified in Node, portable code',
      figure: perSecond(proofs.verifiedPerSecond),
      beside: 'one thread',
    },
    against(
      'killick audit: everything downloaded and checked again',
      audit,
      limit,
      'verifications of all cores (libsodium)',
    ),
  ]
}

async function auditRate(url: string): Promise<number> {
  const start = performance.now()
  const env = { ...process.env, KILLICK_URL: url, KILLICK_TOKEN: TOKEN }
  const child = await startNode([CLI, 'audit', '--no-chain', '--json'], { env })
  const { code } = await child.exited
  const result = JSON.parse(/\{[\s\S]*\}/.exec(child.output())?.[0] ?? '{}') as { events?: number }
  if (code !== 0 || result.events === undefined) throw new Error(`killick audit: ${child.output()}`)
  return (result.events * 1000) / (performance.now() - start)
}
