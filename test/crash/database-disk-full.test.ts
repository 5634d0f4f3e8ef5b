import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import pg from 'pg'
import { afterAll, expect, onTestFailed, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../anchor-service/support/producer.ts'
import { ADMIN, call, READER, register } from '../anchor-service/support/service.ts'
import { type ChildHandle, startNode } from '../support/processes.ts'
import { smallDisk } from '../support/small-disk.ts'

const MAIN = fileURLToPath(new URL('../../anchor-service/src/main.ts', import.meta.url))
const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))
/** Of the metrics that count it. */
const counted = async (url: string, name: string) =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec((await call(url, '/metrics')).text)?.[1] ?? 0)

const disk = smallDisk(200)
const elsewhere = mkdtempSync(join(tmpdir(), 'killick-spool-'))
let service: ChildHandle | undefined
afterAll(async () => {
  disk.free()
  await service?.stop()
  disk.remove()
  rmSync(elsewhere, { recursive: true })
})

/** PostgreSQL ends itself when it needs another file for its log of changes and there is no room for one. */
async function breakPostgres(folder: string): Promise<void> {
  const { port, password } = JSON.parse(readFileSync(join(folder, 'postgres.json'), 'utf8'))
  const client = new pg.Client({ host: '127.0.0.1', port, password, user: 'killick', database: 'killick' })
  let isGone = false
  client.on('error', () => {})
  client.on('end', () => {
    isGone = true
  })
  await client.connect()
  for (let i = 0; i < 100 && !isGone; i++)
    await client.query(`select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()`).catch(() => {})
  expect(isGone).toBe(true)
  // It may have come up again by itself; one that is gone altogether cannot, while the disk is full or after.
  const [pid] = readFileSync(join(folder, 'postgres', 'postmaster.pid'), 'utf8').split('\n')
  process.kill(Number(pid), 'SIGKILL')
}

test('a full disk under the database refuses cleanly, and once there is room everything recorded arrives', {
  timeout: 120_000,
}, async () => {
  const data = join(disk.folder, 'data')
  const env = {
    PATH: process.env.PATH ?? '',
    KILLICK_DATA: data,
    KILLICK_ADMIN_TOKEN: ADMIN,
    KILLICK_READER_TOKEN: READER,
    KILLICK_LOG_LEVEL: 'error',
    KILLICK_AUDIT_INTERVAL_MS: '0',
    PORT: '0',
  }
  service = await startNode([MAIN], { env })
  // What stood in the way of a database that did not come back.
  onTestFailed(() => {
    const log = readFileSync(join(data, 'postgres', 'server.log'), 'utf8')
      .trim()
      .split('\n')
      .slice(-40)
    console.error([service?.output(), ...log].join('\n'))
  })
  const [, url] = (await service.printed(/listens on (\S+)/, 60_000)) as unknown as [string, string]
  const key = generateKey()
  const signer = newSigner()
  await register(url, 'recorded', [{ jwk: publicJwk(key) }])
  await register(url, 'refused', [{ jwk: signer.jwk }])

  const recorder = { url, source: 'recorded', key, spool: join(elsewhere, 'spool'), onError: () => {} }
  const open = () => openAuditLog({ ...recorder, batch: { maxEvents: 20, maxAgeMs: 20 } })
  let log = await open()
  const names: string[] = []
  let isOver = false
  const recording = (async () => {
    for (; !isOver; await sleep(5)) {
      const { id, seq } = await log.record({ ...sampleEvent(names.length), metadata: { pad: 'x'.repeat(2000) } })
      expect(seq).toBe(names.length)
      names.push(id)
    }
  })()
  await expect.poll(() => log.status.accepted, { timeout: 20_000 }).toBeGreaterThan(50)

  disk.fill()
  // PostgreSQL has room within its own files for a while.
  await expect.poll(async () => (await call(url, '/readyz')).json.writable, { timeout: 30_000 }).toBe(false)
  expect((await call(url, '/readyz')).status).toBe(503)
  const producer = new Producer('refused', signer)
  const batch = await producer.batch(Array.from({ length: 200 }, (_, i) => sampleEvent(i)))
  expect(await post(url, batch.body)).toMatchObject({ status: 503, json: { code: 'unavailable' } })
  // Its peers are told that it is unavailable; whoever runs it, why.
  await expect.poll(() => service!.output()).toMatch(/"cause":".*No space left on device/)
  expect((await call(url, '/healthz', null)).status).toBe(200)

  await breakPostgres(data)
  expect(await post(url, batch.body)).toMatchObject({ status: 503, json: { code: 'unavailable' } })
  expect(await counted(url, 'killick_refusals_total\\{code="unavailable"\\}')).toBeGreaterThan(0)
  const accepted = log.status.accepted

  disk.free()
  await expect.poll(async () => (await call(url, '/readyz')).json.database, { timeout: 30_000 }).toBe(true)
  isOver = true
  await recording
  expect(names.length).toBeGreaterThan(accepted)
  // A recorder that starts sends at once; the one that waits would, later.
  await log.close({ timeoutMs: 0 })
  log = await open()
  await log.flush()
  expect(log.status.accepted).toBe(names.length)
  await log.close()
  expect((await post(url, batch.body)).status).toBe(201)

  expect((await call(url, '/readyz')).json).toMatchObject({ status: 'ready', writable: true })
  expect(await counted(url, 'killick_commit_failures_total')).toBeGreaterThan(0)
  expect(await counted(url, 'killick_postgres_restarts_total')).toBeGreaterThan(0)
  expect(service.process.exitCode).toBe(null)
  expect(await eventsOf(url, 'recorded')).toEqual(names)

  const { vkey } = (await call(url, '/v1/log', null)).json
  const audit = await startNode([CLI, 'audit', '--no-chain', '--registered-keys', '--log-key', vkey], {
    env: { ...env, KILLICK_URL: url, KILLICK_TOKEN: READER },
  })
  expect(await audit.exited, audit.output()).toEqual({ code: 0, signal: null })
})

/** Names of all events of a source, oldest first. */
async function eventsOf(url: string, source: string): Promise<string[]> {
  const ids: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = `/v1/events?source=${source}&limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const { events, next } = (await call(url, page)).json as { events: { id: string }[]; next: string | null }
    ids.push(...events.map(({ id }) => id))
    cursor = next
  }
  return ids.reverse()
}
