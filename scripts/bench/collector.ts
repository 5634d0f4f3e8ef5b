// The collector: from an emitter's request to an answer that says durable, beside record() in the same run, and beside a plain server
// that signs nothing and syncs nothing.
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeEmitterKey } from '@killick/gateway'
import { type ChildHandle, startNode } from '../lib/processes.ts'
import type { CollectorFlow } from './collector-sender.ts'
import { type BenchPlan, type BenchRow, KEY, ms, perSecond } from './plan.ts'
import { recordRound } from './record.ts'
import { medianRound } from './stats.ts'

const COLLECTOR = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const SENDER = fileURLToPath(new URL('collector-sender.ts', import.meta.url))
const PEER = fileURLToPath(new URL('append-server.ts', import.meta.url))
const CONNECTIONS = 64
/** Least share of record() that the collector must reach, and most time that an answer may take at half of that. */
const SHAPES = [
  { batch: 1, share: 0.35, what: 'single events' },
  { batch: 100, share: 0.7, what: 'arrays of 100' },
]
type Shape = (typeof SHAPES)[number]

export async function measureCollector(folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  for (const shape of SHAPES) {
    const round = async () => {
      const record = await recordRound(join(folder, `record-${randomUUID()}`), plan.events)
      const { key, entry } = makeEmitterKey()
      const collector = await startCollector(join(folder, `collector-${randomUUID()}`), entry)
      // This process is warm, so the others may be too.
      await send(collector, `Bearer ${key}`, shape, plan.events / 2, 0)
      const full = await send(collector, `Bearer ${key}`, shape, plan.events, 0)
      const half = await send(
        collector,
        `Bearer ${key}`,
        shape,
        plan.events / 2,
        (record.rate * shape.share) / 2 / shape.batch,
      )
      await collector.stop()
      const peer = await startNode([PEER, join(folder, `append-${randomUUID()}`)])
      await send(peer, 'none', shape, plan.events / 2, 0)
      const plain = await send(peer, 'none', shape, plan.events, 0)
      await peer.stop()
      return { rate: full.rate, full, half, record: record.rate, plain: plain.rate }
    }
    const { full, half, record, plain } = await medianRound(plan.rounds, round)
    const refused = full.refused + half.refused
    rows.push({
      what: `collector: ${shape.what} over ${CONNECTIONS} connections, each answered when durable`,
      figure: `${perSecond(full.rate)}, p99 ${ms(full.p99)}; at half the target p99 ${ms(half.p99)}; ${refused} refused`,
      beside: `${perSecond(record)} record() (target ${shape.share}, p99 under 50 ms at half of it); ${perSecond(plain)} fastify that appends to a file, unsigned, not synced`,
      ratio: full.rate / record,
    })
  }
  return rows
}

async function startCollector(folder: string, entry: string): Promise<ChildHandle> {
  await mkdir(folder)
  await writeFile(join(folder, 'key.json'), JSON.stringify(KEY), { mode: 0o600 })
  const config = {
    // Nobody listens there: what is measured is the way to the disk, not the sending behind it.
    ...{ url: 'http://127.0.0.1:9', source: 'bench', key: 'key.json', spool: 'spool', logLevel: 'silent' },
    ...{ listen: { port: 0 }, emitters: [{ name: 'bench', keys: [entry] }], limits: { drainMs: 0 } },
  }
  const file = join(folder, 'collector.json')
  await writeFile(file, JSON.stringify(config))
  return startNode([COLLECTOR, 'collect', '--config', file])
}

async function send(
  server: ChildHandle,
  authorization: string,
  { batch }: Shape,
  events: number,
  rate: number,
): Promise<CollectorFlow> {
  const [, url] = await server.printed(/listens on (\S+)/)
  const args = [url!, authorization, `${CONNECTIONS}`, `${Math.ceil(events / batch)}`, `${batch}`, `${rate}`]
  const sender = await startNode([SENDER, ...args])
  const [, text] = await sender.printed(/sent (.*)\n/, 300_000)
  await sender.exited
  return JSON.parse(text!) as CollectorFlow
}
