// This checkout beside another one: both services run at the same time, and each takes the same load in turn, so that whatever
// else the machine does meets both alike.
import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { openAuditLog } from '@killick/sdk'
import { makeLoads } from './events.ts'
import { type BenchPlan, type BenchRow, newSource, perSecond, SIGNER } from './plan.ts'
import { recordRound } from './record.ts'
import { handIn, startService } from './service.ts'
import { median } from './stats.ts'

/** What issues ask of a change is three rounds; a pair is short, so there are more of them. */
const PAIRS = 3

/** @param other folder of the other checkout, with its dependencies installed */
export async function measureBeside(other: string, folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const theirs = resolve(other)
  const ours = fileURLToPath(new URL('../../', import.meta.url))
  const rows: BenchRow[] = []

  const clients = await Promise.all([ours, theirs].map((checkout) => clientOf(checkout)))
  rows.push(
    await inPairs('record(): signed, chained, fsynced', plan, async (side) => {
      const { rate } = await recordRound(join(folder, `spool-${randomUUID()}`), plan.events, clients[side]!)
      return rate
    }),
  )

  const services = [
    await startService(join(folder, 'ours'), {}, ours),
    await startService(join(folder, 'theirs'), {}, theirs),
  ]
  for (const signed of [true, false]) {
    const shape = { streams: 8, events: 1000, batches: Math.max(1, Math.round(plan.events / 8000)) }
    const what = `intake over HTTP, ${signed ? 'signed events' : 'unsigned events in signed batches'}, 8 streams × 1000`
    rows.push(
      await inPairs(what, plan, async (side) => {
        const { url } = services[side]!
        const source = await newSource(url, signed ? 'required' : 'optional')
        return (await handIn([url], await makeLoads(source, SIGNER, shape, signed))).rate
      }),
    )
  }
  for (const { child } of services) await child.stop()
  return rows
}

/** Ours, theirs, theirs, ours: who is first changes, so that it helps nobody. */
async function inPairs(what: string, plan: BenchPlan, rateOf: (side: 0 | 1) => Promise<number>): Promise<BenchRow> {
  for (const side of [0, 1] as const) await rateOf(side)
  const rates: [number[], number[]] = [[], []]
  for (let pair = 0; pair < PAIRS * plan.rounds; pair++)
    for (const side of pair % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) rates[side].push(await rateOf(side))
  const ratios = rates[0].map((rate, i) => rate / rates[1][i]!)
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)]
  return {
    what,
    figure: `${perSecond(median(rates[0]))}, ratio ${least.toFixed(2)} to ${most.toFixed(2)} in ${ratios.length} pairs`,
    beside: `${perSecond(median(rates[1]))} of the other checkout`,
    ratio: median(ratios),
  }
}

async function clientOf(checkout: string): Promise<typeof openAuditLog> {
  return (await import(pathToFileURL(join(checkout, 'sdk/src/client/index.ts')).href)).openAuditLog
}
