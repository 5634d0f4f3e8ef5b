// Any number of services build the index of keys behind the log, and any of them may fail or end.
import { auditLedger, openApi } from '@killick/sdk/audit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkColumns } from '../../../../anchor-service/src/audit/columns.ts'
import { openPool } from '../../../../anchor-service/src/database/pool.ts'
import { type IndexingFailure, keepIndex } from '../../../../anchor-service/src/ledger/index/indexing.ts'
import { RUN_EVENTS, readCoverage } from '../../../../anchor-service/src/ledger/index/runs.ts'
import { isRunRight } from '../../../../anchor-service/src/ledger/index/write-run.ts'
import { NEWEST } from '../../../../anchor-service/src/ledger/packs/filters.ts'
import { queryAsOwner } from '../../../support/postgres.ts'
import { newSigner, Producer, post, sampleEvent } from '../../support/producer.ts'
import { call, READER, register, type TestService, testService } from '../../support/service.ts'

const BATCH = 1000
const signer = newSigner()
let first: TestService
let second: TestService
let recorded = 0

beforeAll(async () => {
  first = await testService()
  second = await testService({}, first)
  for (const source of ['billing', 'crm'])
    await register(first.url, source, [{ jwk: signer.jwk }], { eventSignatures: 'optional' })
})
afterAll(async () => {
  await second.close()
  await first.stop()
})

const producers = { billing: new Producer('billing', signer), crm: new Producer('crm', signer) }

async function record({ url }: TestService, source: keyof typeof producers): Promise<{ target: string; leaf: string }> {
  const inputs = Array.from({ length: BATCH }, (_, i) => sampleEvent(recorded + i))
  const batch = await producers[source].batch(inputs, { eventSigner: null })
  expect((await post(url, batch.body)).status).toBe(201)
  batch.advance()
  recorded += BATCH
  return { target: `inv-${recorded - BATCH}`, leaf: Buffer.from(batch.leaves[0]!).toString('base64url') }
}

async function metric({ url }: TestService, name: string): Promise<number> {
  const { text } = await call(url, '/metrics')
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)![1])
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await isSo()); ) {
    if (Date.now() > end) throw new Error('it did not come to be so within 30 s')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function isFound({ url }: TestService, { target, leaf }: { target: string; leaf: string }): Promise<void> {
  const { json } = await call(url, `/v1/events?target=${target}`)
  expect(json.events.map(({ leafHash }: { leafHash: string }) => leafHash)).toEqual([leaf])
  for (const name of [leaf, json.events[0].id]) expect((await call(url, `/v1/proofs/${name}`)).status).toBe(200)
}

test('two services fill it together; events are found whether or not it holds them yet', async () => {
  const oldest = await record(first, 'billing')
  for (let i = 0; recorded < RUN_EVENTS[0]; i++)
    await record(i % 2 === 0 ? first : second, i % 2 === 0 ? 'crm' : 'billing')
  const newest = await record(second, 'crm')
  await until(async () => (await metric(first, 'killick_unindexed_events')) < RUN_EVENTS[0])
  for (const service of [first, second]) {
    await isFound(service, oldest)
    await isFound(service, newest)
    expect(await metric(service, 'killick_indexing_failures_total')).toBe(0)
  }
})

test('the audit compares it with what is signed', async () => {
  const pool = openPool(first.databaseUrl, true, 2)
  const audit = async () => {
    const pins = { logKeys: [], sourceKeys: [], logs: [], urls: [] }
    const { checks } = await auditLedger(openApi(first.url, READER), pins, { own: [checkColumns(pool)] })
    return checks.find(({ id }) => id === 'columns')
  }
  expect(await audit()).toMatchObject({ status: 'passed' })
  const tamper = (sql: string) =>
    queryAsOwner(first.databaseUrl, `set search_path = killick; set session_replication_role = replica; ${sql}`)
  await tamper(`create table kept as select * from key_blocks;
                update key_blocks set entries = substr(entries, 9) where first = (select max(first) from key_blocks)`)
  const detail = `key_blocks.entries: the events from 0 on, ${RUN_EVENTS[0]} of them, are not found by their keys`
  expect(await audit()).toMatchObject({ status: 'failed', detail })
  await tamper('delete from key_blocks; insert into key_blocks select * from kept; drop table kept')
  expect(await audit()).toMatchObject({ status: 'passed' })
  await pool.end()
})

test('a failed write is counted and tried again; meanwhile everything is found', async () => {
  await queryAsOwner(first.databaseUrl, 'revoke insert on killick.key_blocks from killick_ledger')
  const oldest = await record(first, 'billing')
  while (recorded < 2 * RUN_EVENTS[0]) await record(first, 'billing')
  await until(async () => (await metric(first, 'killick_indexing_failures_total')) > 0)
  expect(await metric(first, 'killick_unindexed_events')).toBeGreaterThanOrEqual(RUN_EVENTS[0])
  await isFound(first, oldest)
  await queryAsOwner(first.databaseUrl, 'grant insert on killick.key_blocks to killick_ledger')
  await until(async () => (await metric(first, 'killick_unindexed_events')) < RUN_EVENTS[0])
  await isFound(first, oldest)
})

test('a service that starts catches up with what was not done while none ran', async () => {
  await queryAsOwner(first.databaseUrl, 'revoke insert on killick.key_blocks from killick_ledger')
  while (recorded < 3 * RUN_EVENTS[0]) await record(first, 'crm')
  await second.close()
  await first.close()
  await queryAsOwner(first.databaseUrl, 'grant insert on killick.key_blocks to killick_ledger')
  first = await testService({}, first)
  second = await testService({}, first)
  await until(async () => (await metric(second, 'killick_unindexed_events')) < RUN_EVENTS[0])
  const pool = openPool(first.databaseUrl, true, 2)
  expect(await readCoverage(pool)).toEqual({ scheme: NEWEST, ends: [3 * RUN_EVENTS[0], 0] })
  for (const run of [0, 1, 2])
    expect(await isRunRight(pool, { scheme: NEWEST, level: 0, start: run * RUN_EVENTS[0] })).toBe(true)
  await pool.end()
})

test('a database that does not answer is reported with its code, and nothing runs after it is closed', async () => {
  const failures: IndexingFailure[] = []
  const nowhere = 'postgres://nobody@127.0.0.1:1/nothing'
  const database = { databaseUrl: nowhere, hasRole: false }
  const indexing = keepIndex(database, RUN_EVENTS[0], (failure) => failures.push(failure))
  await until(async () => failures.length > 0)
  expect(failures[0]).toMatchObject({ code: 'ECONNREFUSED' })
  await indexing.close()
  const told = failures.length
  indexing.grown(10 * RUN_EVENTS[0])
  // Longer than a thread that has ended, or a failure, is left alone.
  await new Promise((resolve) => setTimeout(resolve, 3000))
  expect(failures).toHaveLength(told)
})
