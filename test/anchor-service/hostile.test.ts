import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import { thumbprint } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Attack, besideAttack } from '../../scripts/bench/hostile.ts'
import { builtPage } from '../support/page.ts'
import { createDatabase } from '../support/postgres.ts'
import { type ChildHandle, startNode } from '../support/processes.ts'
import { sampleEvent } from './support/producer.ts'
import { ADMIN, call, READER, register } from './support/service.ts'

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))
const MEBIBYTE = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), 'killick-hostile-'))
const key = generateKey()
let service: ChildHandle
let url: string

beforeAll(async () => {
  await builtPage()
  const env = {
    PATH: process.env.PATH ?? '',
    DATABASE_URL: await createDatabase(),
    KILLICK_DATA: folder,
    KILLICK_ADMIN_TOKEN: ADMIN,
    KILLICK_READER_TOKEN: READER,
    KILLICK_REQUEST_TIMEOUT_MS: '1000',
    KILLICK_MAX_CONNECTIONS: '600',
    KILLICK_AUDIT_INTERVAL_MS: '0',
    KILLICK_LOG_LEVEL: 'silent',
    PORT: '0',
  }
  service = await startNode([MAIN], { env })
  url = (await service.printed(/listens on (\S+)/))[1]!
  await register(url, 'honest', [{ jwk: publicJwk(key) }])
})
afterAll(async () => {
  await service.stop()
  rmSync(folder, { recursive: true })
})

async function metric(name: string): Promise<number> {
  const { text } = await call(url, '/metrics')
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')[1] ?? 0,
  )
}
const memory = () => metric('process_resident_memory_bytes')

/** Runs four recorders for three seconds. @returns how many events they recorded, and how many the log has accepted */
async function record(): Promise<{ recorded: number; accepted: number }> {
  const each = async (i: number) => {
    const log = await openAuditLog({
      ...{ url, source: 'honest', key, spool: join(folder, `spool-${i}`), batch: { maxAgeMs: 50 } },
      onError: () => {},
    })
    for (const until = performance.now() + 3000; performance.now() < until; await sleep(10))
      await log.record(sampleEvent())
    await log.flush()
    const { recorded, accepted } = log.status
    await log.close()
    return { recorded, accepted }
  }
  const all = await Promise.all([0, 1, 2, 3].map(each))
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
  return { recorded: sum(all.map(({ recorded }) => recorded)), accepted: sum(all.map(({ accepted }) => accepted)) }
}

const cases: [Attack, refusals: Record<string, unknown>][] = [
  [{ kind: 'idle', connections: 500 }, { request_timeout: expect.toSatisfy((n: number) => n >= 500) }],
  [{ kind: 'trickle', connections: 20 }, { request_timeout: expect.toSatisfy((n: number) => n >= 20) }],
  [
    { kind: 'garbage', connections: 16 },
    {
      batch_malformed: expect.any(Number),
      signature_invalid: expect.any(Number),
      key_unknown: expect.any(Number),
      body_too_large: expect.any(Number),
    },
  ],
  [{ kind: 'unread', connections: 8 }, {}],
]

test.each(cases)('all honest streams get their receipts beside an attack: $kind', async (attack, refused) => {
  const before = await memory()
  const registered = { source: 'honest', kid: thumbprint(publicJwk(key)) }
  const {
    flow,
    memory: most,
    refusals,
  } = await besideAttack({ url, token: READER, memory }, attack, registered, record)
  expect(flow.recorded).toBeGreaterThan(100)
  expect(flow.accepted).toBe(flow.recorded)
  expect(refusals).toMatchObject(refused)
  expect(most - before).toBeLessThan(400 * MEBIBYTE)
})

test('a client that keeps asking without reading is cut off, and counted', async () => {
  const cut = () => metric('killick_connections_cut_total{reason="pipelined"}')
  const before = await cut()
  const registered = { source: 'honest', kid: thumbprint(publicJwk(key)) }
  await besideAttack({ url, token: READER, memory }, { kind: 'unread', connections: 8 }, registered, () =>
    expect.poll(cut, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 8),
  )
})

test('connections beyond the limit are closed and counted, and open ones continue', async () => {
  const registered = { source: 'honest', kid: thumbprint(publicJwk(key)) }
  const { flow } = await besideAttack(
    { url, token: READER, memory },
    { kind: 'idle', connections: 1000 },
    registered,
    async () => {
      // It takes a while until there are too many; then idle ones are cut off in time, and make room.
      await expect.poll(() => metric('killick_connections_dropped_total').catch(() => 0)).toBeGreaterThan(0)
      const health = async () => (await call(url, '/healthz', null).catch(() => null))?.status
      await expect.poll(health).toBe(200)
      return 'healthy'
    },
  )
  expect(flow).toBe('healthy')
})
