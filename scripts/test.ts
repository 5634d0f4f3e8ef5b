// `npm test`: everything. The Solidity tests on Hardhat, then all the others on Vitest; the last line counts both.
//
//   npm test                       all of them
//   npm test -- test/sdk/core      passes the arguments to Vitest, without the Solidity tests
//
// A suite whose program is missing is skipped, with a line on how to install it. With CI set, a skip is a failure.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bold, yellow } from './lib/report.ts'
import { findTool, TOOLS } from './lib/tools.ts'

export interface Tally {
  passed: number
  failed: number
  skipped: number
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** A runner that fails without a failed test (it crashed, or a file did not load) counts as one failure. */
export function settle(tally: Tally | null, exitCode: number): Tally {
  const known = tally ?? { passed: 0, failed: 0, skipped: 0 }
  return exitCode !== 0 && known.failed === 0 ? { ...known, failed: 1 } : known
}

export function summary({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** The counts from Vitest's JSON report; a file that did not load has no tests, and counts as one failure. */
export function readVitest(report: {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: { status: string; assertionResults: unknown[] }[]
}): Tally {
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.length,
  )
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

/** Runs a Node program on this terminal. Returns its exit code, and a tally if it sends one over IPC. */
function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; message: Tally | null }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ...env },
    })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
    let message: Tally | null = null
    child.on('message', (tally: Tally) => {
      message = tally
    })
    child.on('close', (code) => resolve({ code: code ?? 1, message }))
  })
}

async function runSolidity(): Promise<Tally> {
  const { code, message } = await run([join(root, 'scripts/lib/solidity-tests.ts')])
  return settle(message, code)
}

async function runVitest(args: string[]): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-test-'))
  const file = join(folder, 'vitest.json')
  const vitest = createRequire(import.meta.url)
    .resolve('vitest/package.json')
    .replace(/package\.json$/, 'vitest.mjs')
  try {
    // Many tests wait for other processes, so two workers are useful even on one core.
    const workers = `--maxWorkers=${Math.max(2, availableParallelism())}`
    const reports = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    // The tests start hundreds of processes with the same modules; a shared compile cache makes each start cheaper:
    // docs/decisions/0010-tests-on-all-cores.md.
    const env = { NODE_COMPILE_CACHE: join(folder, 'compiled') }
    const { code } = await run([vitest, 'run', workers, ...reports, ...args], env)
    try {
      return settle(readVitest(JSON.parse(readFileSync(file, 'utf8'))), code)
    } catch {
      return settle(null, code || 1)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

if (import.meta.main) {
  const args = process.argv.slice(2)
  const missing = (Object.keys(TOOLS) as (keyof typeof TOOLS)[]).filter((tool) => findTool(tool) === null)
  const tallies: Tally[] = []
  if (args.length === 0) {
    console.log(bold('Solidity tests'))
    tallies.push(await runSolidity())
    console.log(bold('\nTypeScript tests'))
  }
  tallies.push(await runVitest(args))

  const sum = (key: keyof Tally) => tallies.reduce((total, tally) => total + tally[key], 0)
  const total = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
  const strict = Boolean(process.env.CI)
  for (const tool of missing) {
    console.log(yellow(`${tool} is missing, so the tests that need it were skipped: ${TOOLS[tool].install}`))
  }
  if (strict && total.skipped > 0) console.log(yellow('With CI set, no test may be skipped.'))
  console.log(summary(total))
  process.exitCode = total.failed > 0 || total.passed === 0 || (strict && total.skipped > 0) ? 1 : 0
}
