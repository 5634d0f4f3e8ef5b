// Bundles: how fast `killick bundle` writes one of a whole source, and how fast `killick verify` checks it, each in its own process.
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publicJwk } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'
import { makeLoads } from './events.ts'
import { verifyingRate } from './limits.ts'
import { type BenchPlan, type BenchRow, KEY, mebibytes, newSource, perSecond, SIGNER } from './plan.ts'
import { handIn, startService, TOKEN } from './service.ts'

const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))
const STREAMS = 8
const BATCH = 1000
/** What an audit and a bundle are to reach of the machine's own rate. */
const TARGET = 0.4

export async function measureBundles(folder: string, { audited }: BenchPlan): Promise<BenchRow[]> {
  await mkdir(folder, { recursive: true })
  const service = await startService(folder)
  try {
    const source = await newSource(service.url)
    for (let done = 0; done < audited; done += 2 * STREAMS * BATCH) {
      const batches = Math.max(1, Math.min(2, Math.round((audited - done) / STREAMS / BATCH)))
      await handIn([service.url], await makeLoads(source, SIGNER, { streams: STREAMS, batches, events: BATCH }))
    }
    const file = join(folder, 'source.bundle')
    const key = join(folder, 'key.json')
    await writeFile(key, JSON.stringify(publicJwk(KEY)))
    const { vkey } = (await (await fetch(`${service.url}/v1/log`)).json()) as { vkey: string }
    const env = { ...process.env, KILLICK_URL: service.url, KILLICK_TOKEN: TOKEN }
    const limit = await verifyingRate(1000)
    const written = await run(['bundle', '--source', source, '--out', file, '--json'], env, [0])
    const { events } = JSON.parse(written.output) as { events: number }
    // Without a chain it ends undecided.
    const pins = ['--log-key', vkey, '--source-key', `${source}=${key}`]
    const checked = await run(['verify', file, '--json', ...pins], env, [3])
    const { faultCount, completeness } = JSON.parse(checked.output)
    if (faultCount > 0 || completeness.verdict !== 'complete')
      throw new Error(`the bundle is not complete: ${checked.output}`)
    const bytes = (await stat(file)).size
    const what = `${events.toLocaleString('en')} signed events of a source`
    return [
      {
        what: `killick bundle: ${what} into a file`,
        figure: `${perSecond(events / written.seconds)}, ${Math.round(bytes / events).toLocaleString('en')} bytes an event`,
        beside: 'read over HTTP as any reader does',
      },
      {
        what: `killick verify: the same file, genuine and complete`,
        figure: `${perSecond(events / checked.seconds)}, memory at most ${mebibytes(checked.memory)}`,
        beside: `${perSecond(limit)} verifications of all cores (libsodium; target: ${TARGET} of them)`,
        ratio: events / checked.seconds / limit,
      },
    ]
  } finally {
    await service.child.stop()
  }
}

/** The time of a whole process, and the most memory that it had. */
async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  codes: readonly number[],
): Promise<{ output: string; seconds: number; memory: number }> {
  const start = performance.now()
  const child = await startNode([CLI, ...args], { env })
  let memory = 0
  const timer = setInterval(async () => {
    memory = Math.max(memory, await residentBytes(child.pid))
  }, 200)
  const { code } = await child.exited
  clearInterval(timer)
  const seconds = (performance.now() - start) / 1000
  const output = /\{[\s\S]*\}/.exec(child.output())?.[0] ?? ''
  if (!codes.includes(code ?? -1)) throw new Error(`killick ${args[0]} ended with ${code}: ${child.output()}`)
  return { output, seconds, memory }
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
}
