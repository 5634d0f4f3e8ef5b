// Recorders without a disk: batches of one event, over many connections at once.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { startNode } from '../lib/processes.ts'
import { type BenchPlan, type BenchRow, ms, perSecond } from './plan.ts'
import { type Running, startService } from './service.ts'
import type { SingleFlow } from './single-sender.ts'
import { medianRound } from './stats.ts'

const SENDER = fileURLToPath(new URL('single-sender.ts', import.meta.url))
const SHAPES = [
  { kind: 'unsigned', streams: 64, target: 5000 },
  { kind: 'unsigned', streams: 256, target: 5000 },
  { kind: 'signed', streams: 64, target: 4000 },
  { kind: 'signed', streams: 256, target: 4000 },
  { kind: 'signed', streams: 1024, target: null },
] as const
type Shape = { kind: 'unsigned' | 'signed'; streams: number; target: number | null }

/** Rounds of each kind that are sent before anything is measured. */
const WARMING = 2

/** Of one core, in a second. `/proc` counts in these (`man 5 proc`, CLK_TCK). */
const TICKS = 100

/** `serviceUs`: CPU of the service's process for each batch, PostgreSQL's apart. */
type Round = SingleFlow & { serviceUs: number }

/** @param folder for what the service keeps; it has the rate limit that operators have */
export async function measureSingle(folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const service = await startService(folder, { KILLICK_RATE_LIMIT: '' })
  const rows: BenchRow[] = []
  // V8 compiles for a minute before a service takes what it takes from then on: without this, the first rows would tell of that.
  for (const kind of ['unsigned', 'signed'] as const)
    for (let i = 0; i < WARMING; i++) await sendAll(service, { kind, streams: 256, target: null }, plan)
  for (const shape of SHAPES)
    rows.push(rowOf(shape, await medianRound(plan.rounds, () => sendAll(service, shape, plan))))
  await service.child.stop()
  return rows
}

async function sendAll({ url, child }: Running, { kind, streams }: Shape, { events }: BenchPlan): Promise<Round> {
  // A quarter: one in a batch takes many times as long as one of a thousand, and some twenty rounds are sent, each signed before it begins.
  const batches = Math.max(1, Math.round(events / 4 / streams))
  const sender = await startNode([SENDER, url, String(streams), String(batches), kind])
  await sender.printed(/ready/, 120_000)
  const before = await cpuOf(child.pid)
  sender.process.send('go')
  const [, text] = await sender.printed(/sent (.*)\n/, 120_000)
  const serviceUs = ((await cpuOf(child.pid)) - before) / batches / streams
  return { ...(JSON.parse(text!) as SingleFlow), serviceUs }
}

/** CPU that a process has taken, µs. */
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11)
  return ((Number(user) + Number(system)) * 1e6) / TICKS
}

function rowOf({ kind, streams, target }: Shape, { rate, p50, p99, ownUs, serviceUs, refused }: Round): BenchRow {
  const cpu = `${Math.round(serviceUs)} µs of CPU each, ${Math.round(ownUs)} to send it`
  return {
    what: `batches of one ${kind} event, one stream on each of ${streams.toLocaleString('en')} connections`,
    figure: `${perSecond(rate)}, receipt p50 ${ms(p50)}, p99 ${ms(p99)}, ${cpu}, ${refused.toLocaleString('en')} refused`,
    beside: target === null ? 'target: none refused' : `target: ${perSecond(target)}, p99 under 60 ms, none refused`,
    ...(target !== null && { ratio: rate / target }),
  }
}
