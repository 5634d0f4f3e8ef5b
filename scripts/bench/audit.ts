// What audits cost: the service's own, which reads its database too, and `killick audit`, which has HTTP alone.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publicJwk } from '@killick/sdk'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { openPool } from '../../anchor-service/src/database/pool.ts'
import { type Ledger, openLedger } from '../../anchor-service/src/ledger/ledger.ts'
import { loadSigner } from '../../anchor-service/src/ledger/signing-keys.ts'
import { startNode } from '../lib/processes.ts'
import type { Cost, Task, Took } from './auditing.ts'
import { makeLoads } from './events.ts'
import { verifyingRate } from './limits.ts'
import { type BenchPlan, type BenchRow, KEY, mebibytes, newSource, perSecond, SIGNER } from './plan.ts'
import { handIn, register, startService, TOKEN } from './service.ts'

const AUDITING = fileURLToPath(new URL('auditing.ts', import.meta.url))

const STREAMS = 8
const BATCH = 100
/** Of so many events one is a batch of its own, an event of the ledger itself, a registration, an anchor. */
const EACH = { single: 20, system: 10, source: 200, anchor: 200 }
/** Events that are made and handed in at a time. */
const CHUNK = 16_000

export async function measureAudits(folder: string, { audited }: BenchPlan): Promise<BenchRow[]> {
  const service = await startService(folder)
  const cluster = await startCluster(join(folder, 'data'))
  const databaseUrl = await cluster.databaseUrl('killick')
  const keys = join(folder, 'data', 'keys')
  const { vkey, origin } = (await (await fetch(`${service.url}/v1/log`)).json()) as { vkey: string; origin: string }
  const system = await loadSigner(join(keys, 'system.json'))
  try {
    await fillEvents(service.url, audited)
    await fillBeside({ databaseUrl, origin, keys }, service.url, audited)
    const place = { url: service.url, token: TOKEN, vkey, origin, systemKey: system.jwk, databaseUrl, keys }
    const task = { ...place, isProfiled: false }
    const limit = await verifyingRate(1000)
    const own = await twice({ ...task, audit: 'own' })
    const outside = await twice({ ...task, audit: 'outside' })
    await fillSystem({ databaseUrl, origin, keys }, audited * (1 - 1 / EACH.system))
    const walk = await run({ ...task, audit: 'registry' })
    return [
      ...rowsOf('own audit', own, limit),
      ...rowsOf('killick audit', outside, limit),
      {
        what: `the registry at the start: ${walk.events.toLocaleString('en')} events of the ledger itself, ${walk.size.toLocaleString('en')} registrations`,
        figure: `${per(walk.cpuSeconds, walk.events)} of CPU`,
        beside: `${walk.seconds.toFixed(2)} s in all, memory at most ${mebibytes(walk.memory)}`,
      },
    ]
  } finally {
    await cluster.close()
    await service.child.stop()
  }
}

/** Events of a source in batches of a hundred, and some in batches of their own. */
async function fillEvents(url: string, events: number): Promise<void> {
  const source = await newSource(url)
  for (let done = 0; done < events; done += CHUNK) {
    const size = Math.min(CHUNK, events - done)
    const batches = Math.ceil(size / BATCH / STREAMS)
    await handIn([url], await makeLoads(source, SIGNER, { streams: STREAMS, batches, events: BATCH }))
  }
  const batches = Math.ceil(events / EACH.single / STREAMS)
  await handIn([url], await makeLoads(source, SIGNER, { streams: STREAMS, batches, events: 1 }))
}

/** What the ledger keeps beside events of sources. */
async function fillBeside(place: Place, url: string, events: number): Promise<void> {
  await fillSystem(place, events / EACH.system)
  await inTurns(events / EACH.source, 4, () =>
    register(url, `bench-${randomUUID().slice(0, 8)}`, publicJwk(KEY), 'required'),
  )
  await planAnchors(place.databaseUrl, events / EACH.anchor)
}

/** Where a ledger is, and the folder of its keys. */
type Place = { databaseUrl: string; origin: string; keys: string }

/** Events of the ledger itself, each in a batch of its own. */
async function fillSystem({ databaseUrl, origin, keys }: Place, count: number): Promise<void> {
  const pool = openPool(databaseUrl, true, 4)
  const signer = (name: string) => loadSigner(join(keys, name))
  const ledger = await openLedger({
    ...{ pool, origin, logSigner: await signer('log.json'), systemSigner: await signer('system.json') },
  })
  try {
    await inTurns(count, 256, (i) => note(ledger, i))
  } finally {
    await ledger.close()
    await pool.end()
  }
}

const note = (ledger: Ledger, i: number) =>
  ledger.record({ action: 'bench.note', actor: { type: 'service', id: 'bench' }, targets: [], metadata: { i } })

async function inTurns(count: number, atATime: number, run: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await run(next++)
  }
  await Promise.all(Array.from({ length: atATime }, worker))
}

/** Anchors that were planned, of checkpoints that there are; none of them was ever sent. */
async function planAnchors(databaseUrl: string, count: number): Promise<void> {
  const pool = openPool(databaseUrl, true, 1)
  await pool.query(
    `with chosen as (
       select c.size, c.root, b.first_event + b.n as events, now() as at, row_number() over (order by c.size desc)
       from checkpoints c join batches b on b.log_index = c.size - 1 order by c.size desc limit $1),
     planned as (
       insert into anchors (target, chain_id, genesis, contract, log_id, size, events, root, planned_at)
       select 'bench', 1, '', '0x' || repeat('1', 40), '0x' || repeat('2', 64), size, events, root, at from chosen returning id, planned_at)
     insert into anchor_states (anchor, seq, state, recorded_at) select id, 0, 'planned', planned_at from planned`,
    [Math.ceil(count)],
  )
  await pool.end()
}

/** What it takes, and once more, what each check takes of it. */
async function twice(task: Task): Promise<Took> {
  const took = await run(task)
  return { ...took, costs: (await run({ ...task, isProfiled: true })).costs }
}

async function run(task: Task): Promise<Took> {
  const child = await startNode([AUDITING], { env: { ...process.env, KILLICK_BENCH: JSON.stringify(task) } })
  const took = new Promise<Took>((resolve) => {
    child.process.once('message', (message) => resolve((message as { took: Took }).took))
  })
  const failed = child.exited.then(() => Promise.reject(new Error(`the audit ended: ${child.output()}`)))
  return Promise.race([took, failed]).finally(() => failed.catch(() => {}))
}

const PER = 100_000
const per = (seconds: number, count: number) =>
  `${((seconds * PER) / count).toFixed(2)} s per ${PER.toLocaleString('en')}`

function rowsOf(
  who: string,
  { seconds, cpuSeconds, memory, memoryBefore, events, size, costs }: Took,
  limit: number,
): BenchRow[] {
  const whole = {
    what: `${who}: ${events.toLocaleString('en')} events in ${size.toLocaleString('en')} entries`,
    figure: `${perSecond(events / seconds)}, ${per(cpuSeconds, events)} events of CPU, memory at most ${mebibytes(memory)} (${mebibytes(memoryBefore)} before)`,
    beside: `${perSecond(limit)} verifications of all cores (libsodium)`,
    ratio: events / seconds / limit,
  }
  return [whole, ...Object.entries(costs).flatMap(([id, cost]) => rowOf(who, id, cost, events))]
}

/** What took no time to speak of, and asked nothing, is left out. */
function rowOf(who: string, id: string, { cpu, queries, rows, waited, detail }: Cost, events: number): BenchRow[] {
  if (cpu < 1 && queries === 0) return []
  const wait = per(waited / 1000, Math.max(1, rows))
  const asked = `; ${queries.toLocaleString('en')} queries gave ${rows.toLocaleString('en')} rows, after ${wait}`
  const figure = `${per(cpu / 1000, events)} events of CPU${queries === 0 ? '' : asked}`
  return [{ what: `${who}, ${id}`, figure, beside: detail || '-' }]
}
