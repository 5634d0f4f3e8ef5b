// The relay for PostgreSQL beside pgbouncer, which relays too and records nothing: pgbench's select statements through each, by turns.
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { startCluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { startBouncer } from '../lib/pgbouncer.ts'
import { type ChildHandle, startNode } from '../lib/processes.ts'
import { type BenchPlan, type BenchRow, KEY, perSecond } from './plan.ts'
import { median } from './stats.ts'

const GATEWAY = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const CLIENTS = 16
const SHARE = 0.6
const STRICT_RATE = 5_000
const ALLOWED_MS = 1

const run = promisify(execFile)

export async function measurePostgres(folder: string, { rounds, seconds }: BenchPlan): Promise<BenchRow[]> {
  const home = join(folder, 'postgres-relay')
  const cluster = await startCluster(home)
  try {
    const direct = await cluster.databaseUrl('bench')
    await run('pgbench', ['-i', '-q', '-s', '10', direct])
    const bouncer = await startBouncer(direct, 'session')
    const [strict, observe] = [await startRelay(home, direct, 'strict'), await startRelay(home, direct, 'observe')]
    const time = Math.max(3, Math.min(seconds, 10))
    const rates = { direct: [] as number[], bouncer: [] as number[], observe: [] as number[], strict: [] as number[] }
    const [alone, added]: [number[], number[]] = [[], []]
    const ways = { direct, bouncer: bouncer.url, observe: observe.url, strict: strict.url }
    for (let i = -1; i < rounds; i++) {
      for (const [way, url] of Object.entries(ways) as [keyof typeof ways, string][]) {
        const rate = await tps(url, time)
        // The first round warms up.
        if (i >= 0) rates[way].push(rate)
      }
      const without = await medianMs(direct)
      const more = (await medianMs(strict.url)) - without
      if (i < 0) continue
      alone.push(without)
      added.push(more)
    }
    for (const each of [bouncer, strict, observe]) await each.child.stop()
    const of = (way: keyof typeof rates) => median(rates[way])
    const load = `pgbench -S, ${CLIENTS} clients`
    return [
      {
        what: `PostgreSQL relay, observe: ${load}`,
        figure: perSecond(of('observe')),
        beside: `${perSecond(of('bouncer'))} pgbouncer, session pooling (target ${SHARE}); ${perSecond(of('direct'))} without either`,
        ratio: of('observe') / of('bouncer'),
      },
      {
        what: `PostgreSQL relay, strict: ${load}, each with a signed, durable intent`,
        figure: perSecond(of('strict')),
        beside: `${perSecond(STRICT_RATE)} that it must do; pgbouncer as above`,
        ratio: of('strict') / STRICT_RATE,
      },
      {
        what: 'PostgreSQL relay, strict: what it adds to a select (median), one client',
        figure: `${median(added).toFixed(2)} ms`,
        beside: `${ALLOWED_MS} ms that it may add; without it a select takes ${median(alone).toFixed(2)} ms`,
        ratio: ALLOWED_MS / median(added),
      },
    ]
  } finally {
    await cluster.close()
  }
}

/** Select statements a second. */
async function tps(url: string, seconds: number): Promise<number> {
  const { stdout } = await run('pgbench', ['-n', '-S', '-c', `${CLIENTS}`, '-T', `${seconds}`, url])
  return Number(/tps = ([\d.]+)/.exec(stdout)![1])
}

/** Median time of a select, one after the other, ms. */
async function medianMs(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const times: number[] = []
  for (let i = 0; i < 1_000; i++) {
    const start = performance.now()
    await client.query(`select abalance from pgbench_accounts where aid = ${1 + ((i * 7919) % 1_000_000)}`)
    times.push(performance.now() - start)
  }
  await client.end()
  return median(times.slice(200))
}

type Way = { child: ChildHandle; url: string }

/** Nobody takes its events: what is measured is the way to the disk, and the ledger is another machine. */
async function startRelay(home: string, direct: string, mode: 'strict' | 'observe'): Promise<Way> {
  const own = join(home, mode)
  await mkdir(own)
  await writeFile(join(own, 'key.json'), JSON.stringify(KEY), { mode: 0o600 })
  const url = new URL(direct)
  const config = {
    ...{ url: 'http://127.0.0.1:9', source: 'bench', key: 'key.json', spool: 'spool', mode, listen: { port: 0 } },
    server: { host: url.hostname, port: Number(url.port) },
    limits: { drainMs: 0, spoolBytes: 64 * 2 ** 30 },
  }
  const file = join(own, 'postgres.json')
  await writeFile(file, JSON.stringify(config))
  const child = await startNode([GATEWAY, 'postgres', '--config', file])
  url.host = (await child.printed(/listens on (\S+)/))[1]!
  return { child, url: url.href }
}
