import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Ledger, openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { SEQUENCER_LIMITS } from '../../../anchor-service/src/ledger/sequencer.ts'
import { logSigner, nextBatch, ORIGIN, systemSigner, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

let it: TestLedger
let narrow: Ledger

beforeAll(async () => {
  it = await testLedger()
  const limits = { ...SEQUENCER_LIMITS, queued: 3 }
  narrow = await openLedger({ pool: it.pool, origin: ORIGIN, logSigner, systemSigner, limits })
  // Until then a batch waits before it gets to the queue.
  await narrow.registry.catchUp(it.pool)
})
afterAll(() => it.close())

test('batches that do not fit the queue are refused at once; the others are accepted, and close waits for them', async () => {
  const blocker = new pg.Client({ connectionString: it.databaseUrl })
  await blocker.connect()
  // A lock on a table that the commit writes stalls the commit, as a slow disk would.
  await blocker.query('begin; lock table killick.batches in exclusive mode')
  const batches = await Promise.all(Array.from({ length: 6 }, () => nextBatch(new Producer('billing', newSigner()))))
  const settled = Promise.allSettled(batches.slice(0, 1).map((batch) => narrow.submit(batch)))
  await expect.poll(() => narrow.depth()).toBe(0)
  const waiting = Promise.allSettled(batches.slice(1).map((batch) => narrow.submit(batch)))
  expect(narrow.depth()).toBe(3)
  const closed = narrow.close()
  await blocker.query('rollback')
  await blocker.end()
  await closed

  const results = [...(await settled), ...(await waiting)]
  expect(results.map(({ status }) => status)).toEqual([
    ...['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'],
    ...['rejected', 'rejected'],
  ])
  const refusals = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []))
  expect(refusals).toEqual(['overloaded', 'overloaded'])
  await expect(narrow.submit(batches[5]!)).rejects.toMatchObject({ code: 'overloaded' })
  expect((await it.ledger.submit(batches[5]!)).isNew).toBe(true)
})
