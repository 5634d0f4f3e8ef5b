// The service's audit reads the rows of many batches at a time. It takes few queries, and still misses nothing.

import type { WalkedBatch } from '@killick/sdk/audit'
import { MAX_BATCH_EVENTS, nodePrimitives, parseBatch, parseBatchHeader, printBatch, utf8 } from '@killick/sdk/core'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkColumns } from '../../../anchor-service/src/audit/columns.ts'
import { exportBatches } from '../../../anchor-service/src/ledger/read/batches.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { nextBatch, registerSource, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

/** The ledger's own two batches, 230 of one event, and two that each fill a page alone. */
const SMALL = 230
const LARGE = 6_000
let store: TestLedger
const walked: WalkedBatch[] = []

beforeAll(async () => {
  store = await testLedger()
  const producer = new Producer('billing', newSigner())
  await registerSource(store, producer)
  for (let i = 0; i < SMALL; i++) await store.ledger.submit(await nextBatch(producer))
  for (let i = 0; i < 2; i++) await store.ledger.submit(await nextBatch(producer, LARGE))
  for (let from = 0, firstEvent = 0; ; ) {
    const parts: Uint8Array[] = []
    for await (const part of exportBatches(store.pool, from, 1_000)) parts.push(part)
    const lines = Buffer.concat(parts).toString('latin1').split('\n').slice(0, -1)
    if (lines.length === 0) break
    while (lines.length > 0) {
      const header = parseBatchHeader(lines.shift()!)
      const { events } = parseBatch(utf8(printBatch(header.text, lines.splice(0, header.n))), nodePrimitives)
      walked.push({
        logIndex: from++,
        firstEvent,
        header,
        isWhole: true,
        dropped: null,
        noted: null,
        events,
        event: (i) => events[i] ?? null,
      })
      firstEvent += header.n
    }
  }
}, 60_000)
afterAll(() => store.close())

/** Walks the log as an audit does, with two batches under way at a time. */
async function check() {
  let queries = 0
  let most = 0
  const db = {
    async query(sql: string, values: unknown[]) {
      const result = await store.pool.query(sql, values)
      queries += 1
      const packs = result.rows.reduce((sum: number, row: { packs?: unknown[] }) => sum + (row.packs?.length ?? 0), 0)
      most = Math.max(most, packs)
      return result
    },
    connect: () => store.pool.connect(),
  } as unknown as pg.Pool
  const columns = checkColumns(db)
  const found: { logIndex: number | undefined; message: string }[] = []
  let last: Promise<unknown> = Promise.resolve()
  for (const batch of walked) {
    const checked = columns.batch!(batch).then((faults) => {
      for (const { place, message } of faults) found.push({ logIndex: place?.logIndex, message })
    })
    await last
    last = checked
  }
  await last
  const { faults } = await columns.finish()
  expect(faults).toEqual([])
  return { queries, most, found }
}

test('in an unaltered log nothing is found, with few queries', async () => {
  expect(walked.length).toBe(SMALL + 4)
  const { queries, most, found } = await check()
  expect(found).toEqual([])
  // Three pages of small batches, one for each large batch, and the queries for the index and at the end.
  expect(queries).toBeLessThan(20)
  expect(most).toBeLessThanOrEqual(MAX_BATCH_EVENTS)
})

test('an alteration on either side of a page boundary is found, and nothing else', async () => {
  const altered: [at: number, sql: string, message: string][] = [
    [
      99,
      'update killick.pack_keys set keys = reverse(keys) where first_event = (select first_event from killick.batches where log_index = 99)',
      'pack_keys.keys',
    ],
    [100, 'update killick.batches set n = 3 where log_index = 100', 'batches.n'],
    [101, 'update killick.batches set first_event = first_event - 50 where log_index = 101', 'batches.first_event'],
    [150, 'update killick.packs set log_index = 151 where log_index = 150', 'packs.log_index'],
    [199, 'delete from killick.batches where log_index = 199', 'batches.log_index'],
    [200, 'update killick.batches set first_event = 9007199254740993 where log_index = 200', 'batches.first_event'],
    [233, 'update killick.packs set times = times || times where log_index = 233 and pos > 5000', 'packs.times'],
  ]
  // Without the constraints that would refuse such a row.
  const sql = [
    'set session_replication_role = replica',
    'alter table killick.batches drop constraint batches_check',
    `create function pg_temp.reverse(bytes bytea) returns bytea language sql as $$ select substring(bytes from 9) || substring(bytes from 1 for 8) $$`,
    ...altered.map(([, text]) => text.replace('reverse(', 'pg_temp.reverse(')),
  ]
  await queryAsOwner(store.databaseUrl, sql.join(';'))
  const { found } = await check()
  expect([...new Set(found.map(({ logIndex }) => logIndex))].sort((a, b) => a! - b!)).toEqual(altered.map(([at]) => at))
  for (const [at, , message] of altered)
    expect(found.filter(({ logIndex }) => logIndex === at).map((fault) => fault.message.split(':')[0])).toContain(
      message,
    )
})
