// `npm run check`: everything that can be checked without running the code. One line per check; a failed check shows its output,
// and the others still run.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { column, dim, duration, MARK } from './lib/report.ts'

interface Check {
  name: string
  /** What a passed check means; absent if the script prints a line of its own. */
  says?: string
  run: string[]
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** One checker: each of several makes the types of libraries once more for itself, and another check runs beside. */
const TSC = [bin('typescript', 'tsc'), '--noEmit', '--checkers', '1', '-p']

const CHECKS: Check[] = [
  { name: 'types', says: 'tsc, strict', run: [...TSC, '.'] },
  {
    name: 'web types',
    says: 'tsc, strict, for browsers',
    run: [...TSC, 'anchor-service/web'],
  },
  { name: 'style', says: 'biome: lint and format', run: [bin('@biomejs/biome', 'biome'), 'ci', '--colors=off', '.'] },
  { name: 'docs', run: ['scripts/docstrings.ts'] },
  {
    name: 'api',
    says: 'typedoc: every member has a docstring, every type is exported',
    run: ['scripts/docs.ts', '--api'],
  },
  { name: 'imports', run: ['scripts/imports.ts'] },
  { name: 'names', run: ['scripts/names.ts'] },
  { name: 'dead code', says: 'knip', run: [bin('knip', 'knip'), '--no-progress', '--treat-config-hints-as-errors'] },
  { name: 'size', run: ['scripts/size.ts'] },
  { name: 'published', run: ['scripts/published.ts'] },
  { name: 'contract', says: 'AnchorLog.json is what the sources compile to', run: ['scripts/artifact.ts', '--check'] },
]

/** The JavaScript file behind a package's command, so that no shell or shim comes between. */
function bin(name: string, command: string): string {
  const manifest = join(root, 'node_modules', name, 'package.json')
  const { bin } = createRequire(import.meta.url)(manifest) as { bin: string | Record<string, string> }
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[command]!)
}

function run(check: Check): Promise<{ passed: boolean; output: string; ms: number }> {
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, check.run, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
    child.on('close', (code) => resolve({ passed: code === 0, output: output.trim(), ms: performance.now() - started }))
  })
}

function firstLines(text: string, most: number): string {
  const lines = text.split('\n')
  return lines.length <= most ? text : [...lines.slice(0, most), `… ${lines.length - most} more lines`].join('\n')
}

const queue = [...CHECKS]
const failed: string[] = []
async function work() {
  for (let check = queue.shift(); check; check = queue.shift()) {
    const { passed, output, ms } = await run(check)
    const note = passed ? (check.says ?? output.split('\n').at(-1) ?? '') : ''
    console.log(
      `${passed ? MARK.good : MARK.bad} ${column(check.name, 10)}${column(dim(duration(ms)), 8)}${dim(note)}`.trimEnd(),
    )
    if (!passed) {
      failed.push(check.name)
      console.log(firstLines(output, 80).replace(/^/gm, '    '))
    }
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work))

console.log(failed.length === 0 ? `${CHECKS.length} checks passed` : `failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
