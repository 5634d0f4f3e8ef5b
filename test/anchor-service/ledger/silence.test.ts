import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { register } from '../../../anchor-service/src/ledger/register.ts'
import { type SilenceWatch, watchSilence } from '../../../anchor-service/src/ledger/silence.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { nextBatch, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

let ledger: TestLedger
beforeAll(async () => {
  ledger = await testLedger()
})
afterAll(() => ledger.close())

const silentOf = (watch: SilenceWatch) => watch.all().map(({ source }) => source)

test('who could not be heard while the database was down is not silent', async () => {
  const signer = newSigner()
  const keys = [{ jwk: signer.jwk, notBefore: null, notAfter: null }]
  const change = { source: 'shop', keys, heartbeat: 2 }
  await register(ledger.ledger, change, { type: 'test', id: 'test' })
  await ledger.ledger.submit(await nextBatch(new Producer('shop', signer)))
  const failures: unknown[] = []
  const onFailure = (error: unknown) => failures.push(error)
  const { pool, databaseUrl } = ledger
  let isTaking = true
  const watch = watchSilence(
    { db: pool, registry: ledger.ledger.registry },
    { graceMs: 250, onChange() {}, onFailure, isTaking: () => isTaking },
  )
  await watch.look()

  const name = new URL(databaseUrl).pathname.slice(1)
  const other = new URL(databaseUrl)
  other.pathname = '/postgres'
  const allow = (isAllowed: boolean) =>
    queryAsOwner(other.href, `alter database ${name} with allow_connections ${isAllowed}`)
  const began = performance.now()
  await allow(false)
  await queryAsOwner(other.href, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  await vi.waitUntil(() => failures.length > 0 && performance.now() - began > 3_000, { timeout: 20_000 })
  await allow(true)
  await watch.look()
  expect(silentOf(watch)).toEqual([])

  // Nor while the service takes no batch.
  isTaking = false
  await watch.look()
  const refused = performance.now()
  await vi.waitUntil(() => performance.now() - refused > 3_000, { timeout: 20_000 })
  await watch.look()
  isTaking = true
  await watch.look()
  expect(silentOf(watch)).toEqual([])

  // Nor while the process stood still.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_750)
  await watch.look()
  expect(silentOf(watch)).toEqual([])

  // It is silent once it has not been heard for as long as it promised.
  await vi.waitUntil(() => silentOf(watch).length > 0, { timeout: 20_000 })
  expect(silentOf(watch)).toEqual(['shop'])
  await watch.close()
})

test('looks that a database never answered are not made up for at the end', async () => {
  const sockets = new Set<Socket>()
  const hole = createServer((socket) => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await vi.waitUntil(() => hole.listening, { timeout: 20_000 })
  const { port } = hole.address() as { port: number }
  const pool = openPool(`postgres://a:b@127.0.0.1:${port}/c`, false)
  pool.options.connectionTimeoutMillis = 100
  const watch = watchSilence(
    { db: pool, registry: ledger.ledger.registry },
    { graceMs: 60_000, onChange() {}, onFailure() {}, isTaking: () => true },
  )
  await vi.waitUntil(() => sockets.size > 0, { timeout: 20_000 })
  for (let i = 0; i < 50; i++) void watch.look()
  await watch.close()
  expect(sockets.size).toBe(1)
  for (const socket of sockets) socket.destroy()
  hole.close()
  await pool.end()
})
