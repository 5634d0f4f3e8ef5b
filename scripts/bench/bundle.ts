// Bundles: how fast `killick bundle` writes one of a whole source, and how fast `killick verify` checks it, each in its own process; and how fast
// `verifyBundle` does, in a process that measures itself.
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publicJwk } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'
import { makeLoads } from './events.ts'
import { type BenchPlan, type BenchRow, besideLimit, KEY, mebibytes, newSource, perSecond, SIGNER } from './plan.ts'
import { handIn, startService, TOKEN } from './service.ts'
import { medianRound } from './stats.ts'
import type { Verified } from './verifying.ts'

const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))
const VERIFYING = fileURLToPath(new URL('verifying.ts', import.meta.url))
const STREAMS = 8
const BATCH = 1000
/** What an audit and a bundle are to reach 0.4 of. */
const LIMIT = 'verifications of all cores (libsodium; target: 0.40 of them)'

export async function measureBundles(folder: string, { audited, rounds }: BenchPlan): Promise<BenchRow[]> {
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
    const written = await run(['bundle', '--source', source, '--out', file, '--json'], env, [0])
    const { events } = JSON.parse(written.output) as { events: number }
    const bytes = (await stat(file)).size
    // A stream has an eighth of all.
    const part = join(folder, 'stream.bundle')
    const { events: rows } = (await asked(`${service.url}/v1/events?limit=1&source=${source}`)) as {
      events: { stream: string }[]
    }
    await run(['bundle', '--source', source, '--stream', rows[0]!.stream, '--out', part, '--json'], env, [0])
    // Without a chain it ends undecided.
    const pins = ['--log-key', vkey, '--source-key', `${source}=${key}`]
    const whole = await medianRound(rounds, async () => {
      const { seconds, limit } = await besideLimit(() => run(['verify', file, '--json', ...pins], env, [3]))
      return { rate: events / seconds, limit }
    })
    const verify = (path: string, threads: number) =>
      medianRound(rounds, async () => {
        const took = await besideLimit(() =>
          verifying([path, String(threads), vkey, source, JSON.stringify(publicJwk(KEY))]),
        )
        return { ...took, rate: took.events / took.seconds }
      })
    const what = `${events.toLocaleString('en')} signed events of a source`
    const cores = availableParallelism()
    const rowOf = ({ events, rate, limit, cpuSeconds, memory }: Awaited<ReturnType<typeof verify>>, by: string) => ({
      what: `verifyBundle: ${events.toLocaleString('en')} events, ${by}`,
      figure: `${perSecond(rate)}, ${((100_000 * cpuSeconds) / events).toFixed(2)} s of CPU per 100,000 events, memory at most ${mebibytes(memory)}`,
      beside: `${perSecond(limit)} ${LIMIT}`,
      ratio: rate / limit,
    })
    return [
      {
        what: `killick bundle: ${what} into a file`,
        figure: `${perSecond(events / written.seconds)}, ${Math.round(bytes / events).toLocaleString('en')} bytes an event`,
        beside: 'read over HTTP as any reader does',
      },
      {
        what: 'killick verify: the same file, genuine and complete; with the start of its process',
        figure: perSecond(whole.rate),
        beside: `${perSecond(whole.limit)} ${LIMIT}`,
        ratio: whole.rate / whole.limit,
      },
      rowOf(await verify(file, cores), `${cores} threads`),
      rowOf(await verify(part, cores), `${cores} threads`),
      rowOf(await verify(file, 0), 'the calling thread alone'),
    ]
  } finally {
    await service.child.stop()
  }
}

const asked = async (url: string): Promise<unknown> =>
  (await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })).json()

/** The time of a whole process. */
async function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  codes: readonly number[],
): Promise<{ output: string; seconds: number }> {
  const start = performance.now()
  const child = await startNode([CLI, ...args], { env })
  const { code } = await child.exited
  const seconds = (performance.now() - start) / 1000
  const output = /\{[\s\S]*\}/.exec(child.output())?.[0] ?? ''
  if (!codes.includes(code ?? -1)) throw new Error(`killick ${args[0]} ended with ${code}: ${child.output()}`)
  return { output, seconds }
}

/** A check that measures itself. */
async function verifying(args: readonly string[]): Promise<Verified> {
  const child = await startNode([VERIFYING, ...args], {})
  const verified = new Promise<Verified>((resolve) => {
    child.process.once('message', (message) => resolve((message as { verified: Verified }).verified))
  })
  const failed = child.exited.then(() => Promise.reject(new Error(`the check ended: ${child.output()}`)))
  return Promise.race([verified, failed]).finally(() => failed.catch(() => {}))
}
