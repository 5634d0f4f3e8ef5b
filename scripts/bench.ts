// `npm run bench`: one table, every figure beside its limit or a peer measured in the same run.
//
//   npm run bench                       medians of three rounds; some minutes
//   npm run bench -- --quick            one small round, to see that all of it works
//   npm run bench -- --growth 10000000  grows the ledger on to so many events; default 1,000,000
//   npm run bench -- --events 8000      events per round, default 64,000; --rounds 1 for one round instead of three
//   npm run bench -- --seconds 60       of each round with pgbench, default 10; with --quick 3
//   npm run bench -- --audit 20000      events that are audited, default 100,000; with --quick 5,000
//   npm run bench -- --beside ../before  record and intake of this checkout beside another's, by turns; writes no file
//   npm run bench -- --only record      one part: a name in PARTS below, which is also its section of docs/BENCHMARKS.md
//   npm run bench -- --no-publish       leaves docs/BENCHMARKS.md as it is; --quick does too
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureAudits } from './bench/audit.ts'
import { measureBeside } from './bench/beside.ts'
import { measureBundles } from './bench/bundle.ts'
import { measureChanges } from './bench/changes.ts'
import { measureCollector } from './bench/collector.ts'
import { measureErasure } from './bench/erasure.ts'
import { measureGrowth } from './bench/growth.ts'
import { measureHostile } from './bench/hostile.ts'
import { measureHttpProxy } from './bench/http-proxy.ts'
import { measureIntake, measureTwo, measureUnsigned } from './bench/intake.ts'
import { measureKit } from './bench/kit.ts'
import { measureMcp } from './bench/mcp.ts'
import type { BenchPlan, BenchRow } from './bench/plan.ts'
import { measurePostgres } from './bench/postgres.ts'
import { measureChecking } from './bench/proofs.ts'
import { publish, signingJustNow } from './bench/publish.ts'
import { measureLongReading } from './bench/reading.ts'
import { measureRecord } from './bench/record.ts'
import { startService } from './bench/service.ts'
import { measureSingle } from './bench/single.ts'
import { endClustersOnExit } from './lib/clusters.ts'
import { bold, column, dim } from './lib/report.ts'

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    growth: { type: 'string', default: '1000000' },
    events: { type: 'string', default: '64000' },
    rounds: { type: 'string', default: '3' },
    audit: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '10' },
    only: { type: 'string' },
    beside: { type: 'string' },
    publish: { type: 'boolean', default: true },
  },
})

const sizes = [10_000, 100_000, 1_000_000, 10_000_000].filter((size) => size <= Number(options.growth))
const plan: BenchPlan = options.quick
  ? { rounds: 1, events: 8000, growth: [10_000], audited: 5_000, seconds: 3 }
  : {
      ...{ rounds: Number(options.rounds), events: Number(options.events), growth: sizes },
      ...{ audited: Number(options.audit), seconds: Number(options.seconds) },
    }

/** Each part, in the order of the document. `alone`: only when it is asked for, because another part measures the same. */
const PARTS: { name: string; run: (folder: string) => Promise<BenchRow[]>; alone?: boolean }[] = [
  { name: 'record', run: (folder) => measureRecord(folder, plan) },
  { name: 'kit', run: () => measureKit(plan) },
  { name: 'collector', run: (folder) => measureCollector(folder, plan) },
  { name: 'mcp', run: (folder) => measureMcp(folder, plan) },
  { name: 'http-proxy', run: (folder) => measureHttpProxy(folder, plan) },
  { name: 'changes', run: (folder) => measureChanges(folder, plan) },
  { name: 'postgres', run: (folder) => measurePostgres(folder, plan) },
  { name: 'intake', run: measureIntakes },
  { name: 'single', run: (folder) => measureSingle(join(folder, 'single'), plan) },
  { name: 'audit', run: (folder) => measureAudits(join(folder, 'audit'), plan) },
  { name: 'bundle', run: (folder) => measureBundles(join(folder, 'bundle'), plan) },
  { name: 'erasure', run: (folder) => measureErasure(join(folder, 'erasure'), plan) },
  { name: 'hostile', run: (folder) => measureHostile(join(folder, 'hostile'), plan) },
  { name: 'reading', run: (folder) => measureLongReading(join(folder, 'reading'), plan) },
  { name: 'growth', run: (folder) => measureGrowth(join(folder, 'growth'), plan) },
  { name: 'proofs', run: (folder) => measureGrowth(join(folder, 'proofs'), plan, false), alone: true },
]

async function measureIntakes(folder: string): Promise<BenchRow[]> {
  const service = await startService(folder)
  const { rows, loads } = await measureIntake(service, plan)
  const checking = await measureChecking(service, loads, plan)
  const unsigned = await measureUnsigned(service, folder, plan)
  await service.child.stop()
  return [...rows, ...checking, ...unsigned, ...(await measureTwo(folder, plan))]
}

function report(rows: readonly BenchRow[]): void {
  for (const row of rows) {
    const ratio = row.ratio === undefined ? '     ' : row.ratio.toFixed(2).padStart(5)
    console.log(`${column(row.what, 68)} ${bold(ratio)}  ${row.figure}  ${dim(`beside ${row.beside}`)}`)
  }
}

const { only, beside } = options
const wanted = PARTS.filter(({ name, alone }) => (only === undefined ? beside === undefined && !alone : name === only))
if (only !== undefined && wanted.length === 0) {
  console.error(`--only takes one of ${PARTS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
const load = loadavg()[0]!.toFixed(1)
const folder = await mkdtemp(join(tmpdir(), 'killick-bench-'))
endClustersOnExit(folder)
try {
  for (const { name, run } of wanted) {
    const signing = signingJustNow()
    const rows = await run(folder)
    report(rows)
    const order = PARTS.map((part) => part.name)
    if (options.publish && !options.quick) await publish(name, rows, order, plan, { load, signing })
  }
  if (beside !== undefined) report(await measureBeside(beside, folder, plan))
  await rm(folder, { recursive: true, force: true })
} catch (error) {
  console.error(error)
  console.error(`What it was doing is in ${folder}`)
  process.exit(1)
}
