// `npm test`: everything. The Solidity tests on Hardhat and, at the same time, all the others on Vitest; the last line counts both.
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
import { makeMemoryFolder } from './lib/memory-folder.ts'
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

interface Ended {
  code: number
  /** What the program sent over IPC. */
  message: Tally | null
  /** What it printed, where that was kept. */
  output: string
}

/** Runs a Node program. It prints to this terminal, or what it prints is kept. */
function run(args: string[], env: NodeJS.ProcessEnv = {}, print: 'inherit' | 'pipe' = 'inherit'): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', print, print, 'ipc'],
      env: { ...process.env, ...env },
    })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    let message: Tally | null = null
    child.on('message', (tally: Tally) => {
      message = tally
    })
    child.on('close', (code) => resolve({ code: code ?? 1, message, output }))
  })
}

/** Beside Vitest, so what it says is kept for the end. */
async function runSolidity(): Promise<{ tally: Tally; output: string }> {
  const colour: NodeJS.ProcessEnv = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
  const { code, message, output } = await run([join(root, 'scripts/lib/solidity-tests.ts')], colour, 'pipe')
  return { tally: settle(message, code), output }
}

async function runVitest(args: string[]): Promise<Tally> {
  const memory = makeMemoryFolder()
  const folder = mkdtempSync(join(memory ?? tmpdir(), 'killick-test-'))
  const file = join(folder, 'vitest.json')
  const vitest = createRequire(import.meta.url)
    .resolve('vitest/package.json')
    .replace(/package\.json$/, 'vitest.mjs')
  try {
    // Many tests wait for other processes: docs/decisions/0010-more-test-workers-than-cores.md.
    const workers = `--maxWorkers=${Math.ceil(availableParallelism() * 1.5)}`
    const reports = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    // The tests start hundreds of processes with the same modules; a shared compile cache makes each start cheaper.
    const env = { NODE_COMPILE_CACHE: join(folder, 'compiled'), ...(memory !== null && { TMPDIR: memory }) }
    const { code } = await run([vitest, 'run', workers, ...reports, ...args], env)
    try {
      return settle(readVitest(JSON.parse(readFileSync(file, 'utf8'))), code)
    } catch {
      return settle(null, code || 1)
    }
  } finally {
    for (const each of [folder, memory ?? folder]) rmSync(each, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const args = process.argv.slice(2)
  const missing = (Object.keys(TOOLS) as (keyof typeof TOOLS)[]).filter((tool) => findTool(tool) === null)
  const solidity = args.length === 0 ? runSolidity() : null
  const tallies = [await runVitest(args)]
  if (solidity !== null) {
    const { tally, output } = await solidity
    console.log(`\n${bold('Solidity tests')}\n${output.trim()}\n`)
    tallies.push(tally)
  }

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
