// The service under measurement: a process of its own with its own embedded PostgreSQL, as an operator runs it.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { BATCH_MEDIA_TYPE, type PublicJwk } from '@killick/sdk/core'
import { type ChildHandle, startNode } from '../lib/processes.ts'
import type { Load } from './events.ts'
import { quantile } from './stats.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const TOKEN = 'token-of-the-benchmarks'

export type Running = {
  url: string
  /** The reader's. */
  token: string
  child: ChildHandle
  /** From starting the process until /readyz says so, in ms. */
  readyMs: number
  /** Resident memory of the service's process, in bytes. */
  memory(): Promise<number>
}

/** @param checkout whose service, with its dependencies installed; by default this one's */
export async function startService(
  folder: string,
  env: Record<string, string> = {},
  checkout = ROOT,
): Promise<Running> {
  const start = performance.now()
  const child = await startNode([join(checkout, 'anchor-service/src/main.ts')], {
    env: {
      ...process.env,
      KILLICK_DATA: join(folder, 'data'),
      KILLICK_ADMIN_TOKEN: `${TOKEN}-admin`,
      KILLICK_READER_TOKEN: TOKEN,
      KILLICK_RATE_LIMIT: '0',
      // An audit beside a measurement would be measured with it.
      KILLICK_AUDIT_INTERVAL_MS: '0',
      KILLICK_LOG_LEVEL: 'error',
      PORT: '0',
      ...env,
    },
  })
  const [, url] = await child.printed(/listens on (http\S+)/, 120_000)
  while (!(await fetch(`${url}/readyz`)).ok);
  return {
    url: url!,
    token: TOKEN,
    child,
    readyMs: performance.now() - start,
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024
    },
  }
}

export async function register(
  url: string,
  source: string,
  jwk: PublicJwk,
  eventSignatures: 'required' | 'optional',
): Promise<void> {
  const response = await fetch(`${url}/v1/sources`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}-admin`, 'content-type': 'application/json' },
    body: JSON.stringify({ source, keys: [{ jwk }], eventSignatures }),
  })
  if (!response.ok) throw new Error(`registering ${source}: ${await response.text()}`)
}

// Not fetch: it takes more CPU, and the load shares the machine's cores with the service.
const agent = new Agent({ keepAlive: true })
const headers = { 'content-type': BATCH_MEDIA_TYPE, 'content-encoding': 'zstd' }

/** Hands in one batch. @returns how long the receipt took, in ms */
export async function hand(url: string, body: Buffer): Promise<number> {
  const start = performance.now()
  const request = httpRequest(`${url}/v1/batches`, {
    method: 'POST',
    agent,
    headers: { ...headers, 'content-length': body.length },
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const answer = await text(response)
  if (response.statusCode !== 201) throw new Error(`a batch was answered with ${response.statusCode}: ${answer}`)
  return performance.now() - start
}

export type Flow = { rate: number; p50: number; p99: number }

/** All streams at once, each handing in its batches one after another. `urls`: several services take turns. */
export async function handIn(urls: readonly string[], loads: readonly Load[]): Promise<Flow> {
  const latencies: number[] = []
  const start = performance.now()
  await Promise.all(
    loads.map(async ({ batches }, i) => {
      for (const { body } of batches) latencies.push(await hand(urls[i % urls.length]!, body))
    }),
  )
  return flowOf(loads, latencies, performance.now() - start)
}

/** The same at a given pace: streams start their batches on time, unless their last receipt is still to come. */
export async function handInPaced(url: string, loads: readonly Load[], eventsPerSecond: number): Promise<Flow> {
  const latencies: number[] = []
  const start = performance.now()
  await Promise.all(
    loads.map(async ({ batches }, i) => {
      const interval = (1000 * loads.length * batches[0]!.tokens.length) / eventsPerSecond
      for (const [b, { body }] of batches.entries()) {
        const due = start + interval * (b + i / loads.length)
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())))
        latencies.push(await hand(url, body))
      }
    }),
  )
  return flowOf(loads, latencies, performance.now() - start)
}

function flowOf(loads: readonly Load[], latencies: readonly number[], ms: number): Flow {
  const events = loads.flatMap(({ batches }) => batches).reduce((sum, { tokens }) => sum + tokens.length, 0)
  return { rate: (events * 1000) / ms, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}
