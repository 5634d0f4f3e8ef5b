// The recorder of changes beside pgbench at its full speed on the same machine: how far behind it is when pgbench ends, and how much
// memory it takes, there and for one large transaction: `--events 1000000` for one of a million rows.
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { type ChildHandle, startNode } from '../lib/processes.ts'
import { type BenchPlan, type BenchRow, KEY, mebibytes, perSecond } from './plan.ts'
import { median } from './stats.ts'

const GATEWAY = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const ALLOWED_LAG_MS = 5_000
const ALLOWED_BYTES = 2 ** 30
const CLIENTS = 8

type Group = 'auto' | 'row' | 'transaction'

const run = promisify(execFile)

export async function measureChanges(folder: string, { rounds, events, seconds }: BenchPlan): Promise<BenchRow[]> {
  const home = join(folder, 'changes')
  await (await startCluster(home)).close()
  appendFileSync(join(home, 'postgres', 'postgresql.auto.conf'), "wal_level = 'logical'\n")
  const cluster = await startCluster(home)
  try {
    const url = await cluster.databaseUrl('bench')
    await run('pgbench', ['-i', '-q', '-s', '10', url])
    const alone = await tps(url, seconds)
    const rows: BenchRow[] = []
    for (const group of ['auto', 'row', 'transaction'] as const) {
      const measured: Awaited<ReturnType<typeof besidePgbench>>[] = []
      for (let i = 0; i < rounds; i++) measured.push(await besidePgbench(home, url, group, seconds))
      const lag = median(measured.map(({ lagMs }) => lagMs))
      const held = (of: 'early' | 'late') => mebibytes(median(measured.map((each) => each[of])))
      rows.push({
        what: `changes beside pgbench (TPC-B, ${CLIENTS} clients, ${seconds} s), group: ${group}: lag at the end`,
        figure: `${(lag / 1000).toFixed(2)} s at ${perSecond(median(measured.map((each) => each.tps)))} transactions; memory ${held('early')} after a third, ${held('late')} at the end, ${mebibytes(Math.max(...measured.map(({ peak }) => peak)))} at most`,
        beside: `5 s that it may have; pgbench alone does ${perSecond(alone)}`,
        ratio: ALLOWED_LAG_MS / lag,
      })
    }
    const { ms, peak } = await oneTransaction(home, url, events)
    rows.push({
      what: `changes: one transaction of ${events.toLocaleString('en')} rows, memory at most`,
      figure: `${mebibytes(peak)}, ${perSecond((events / ms) * 1000)} rows`,
      beside: `${mebibytes(ALLOWED_BYTES)} that it may take`,
      ratio: ALLOWED_BYTES / peak,
    })
    return rows
  } finally {
    await cluster.close()
  }
}

/** Transactions a second. */
async function tps(url: string, seconds: number): Promise<number> {
  const { stdout } = await run('pgbench', ['-n', '-c', `${CLIENTS}`, '-T', `${seconds}`, url])
  return Number(/tps = ([\d.]+)/.exec(stdout)![1])
}

async function besidePgbench(home: string, url: string, group: Group, seconds: number) {
  const recorder = await startRecorder(home, url, group)
  const third = sleep((seconds * 1_000) / 3).then(() => recorder.usage().now)
  const rate = await tps(url, seconds)
  const lagMs = await recorder.caughtUp()
  const { now: late, peak } = recorder.usage()
  await recorder.stop()
  return { tps: rate, lagMs, peak, early: await third, late }
}

async function oneTransaction(home: string, url: string, rows: number): Promise<{ ms: number; peak: number }> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('create table if not exists big (id bigint primary key, name text, amount numeric)')
  const recorder = await startRecorder(home, url, 'auto')
  await client.query(`insert into big select i, 'row ' || i, i * 1.5 from generate_series(1, ${rows}) i`)
  const ms = await recorder.caughtUp()
  const { peak } = recorder.usage()
  await recorder.stop()
  await client.query('truncate big')
  await client.end()
  return { ms, peak }
}

/** Nobody takes its events: what is measured is the way to the disk, and the ledger is another machine. */
async function startRecorder(home: string, url: string, group: Group) {
  const own = join(home, `recorder-${randomUUID()}`)
  await mkdir(own)
  await writeFile(join(own, 'key.json'), JSON.stringify(KEY), { mode: 0o600 })
  const slot = `bench_${randomUUID().slice(0, 8)}`
  const limits = { drainMs: 0, spoolBytes: 64 * 2 ** 30 }
  const config = {
    url: 'http://127.0.0.1:9',
    source: 'bench',
    key: 'key.json',
    spool: 'spool',
    database: url,
    slot,
    group,
    limits,
  }
  const file = join(own, 'changes.json')
  await writeFile(file, JSON.stringify(config))
  const set = await startNode([GATEWAY, 'changes', 'setup', '--force', '--config', file])
  await set.exited
  const child: ChildHandle = await startNode([GATEWAY, 'changes', '--config', file])
  await child.printed(/records the changes/)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const until = async (sql: string, values: unknown[]) => {
    while (!(await client.query(sql, values)).rows[0]?.ok) await sleep(20)
  }
  await until('select active as ok from pg_replication_slots where slot_name = $1', [slot])
  return {
    /** Until everything that is committed now is durable, ms. */
    async caughtUp(): Promise<number> {
      const start = performance.now()
      const { rows } = await client.query('select pg_current_wal_flush_lsn()::text as lsn')
      await until('select confirmed_flush_lsn >= $2::pg_lsn as ok from pg_replication_slots where slot_name = $1', [
        slot,
        rows[0].lsn,
      ])
      return performance.now() - start
    },
    /** Memory now and at most, bytes. */
    usage() {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      const of = (name: string) => 1024 * Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1])
      return { now: of('VmRSS'), peak: of('VmHWM') }
    },
    async stop() {
      await child.stop()
      await client.query('select pg_drop_replication_slot($1)', [slot])
      await client.end()
    },
  }
}
