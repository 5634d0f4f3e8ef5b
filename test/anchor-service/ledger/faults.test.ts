import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { nextBatch, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

/** Breaks the connection at the n-th statement of a transaction: before it is sent, or after it was done. */
type Fault = { statement: number; when: 'before' | 'after' }

type Breakable = pg.ClientBase & { connection: { stream: { destroy(): void } } }

/** Real connections to the real server, with a wire that can be cut. */
function cutWires(pool: pg.Pool, next: () => Fault | null): void {
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
    let fault: Fault | null = null
    let count = 0
    client.query = (async (...args: unknown[]) => {
      if (args[0] === 'begin') {
        fault = next()
        count = 0
      }
      const isHit = fault !== null && count++ === fault.statement
      if (!isHit) return query(...args)
      const { when } = fault!
      fault = null
      if (when === 'after') await query(...args)
      ;(client as Breakable).connection.stream.destroy()
      // A COPY is told by pg itself that its connection is gone.
      if (typeof args[0] === 'object') return when === 'before' ? query(...args) : undefined
      throw new Error('Connection terminated unexpectedly')
    }) as typeof client.query
  })
}

// begin, lock, head, stream heads, frontier, batches, events, details, tiles, checkpoint, receipt's nodes, commit
const STATEMENTS = 12

let it: TestLedger
let fault: Fault | null = null

beforeAll(async () => {
  it = await testLedger(undefined, (pool) =>
    cutWires(pool, () => {
      const now = fault
      fault = null
      return now
    }),
  )
})
afterAll(() => it.close())

describe.each(['before', 'after'] as const)('the connection breaks %s', (when) => {
  test.each(Array.from({ length: STATEMENTS }, (_, i) => i))('statement %i of a commit', async (statement) => {
    const producer = new Producer('billing', newSigner())
    const batch = await nextBatch(producer, 2)
    fault = { statement, when }
    await expect(it.ledger.submit(batch)).rejects.toMatchObject({ code: 'unavailable' })

    const stored = () =>
      queryAsOwner(it.databaseUrl, 'select from killick.batches where stream = $1', [producer.stream])
    const isCommitted = statement === STATEMENTS - 1 && when === 'after'
    expect(await stored()).toHaveLength(isCommitted ? 1 : 0)

    const { receipt, isNew } = await it.ledger.submit(batch)
    expect(isNew).toBe(!isCommitted)
    expect(await stored()).toHaveLength(1)
    expect((await it.ledger.submit(batch)).receipt).toEqual(receipt)
    expect((await it.ledger.submit(await nextBatch(producer))).receipt.logIndex).toBe(receipt.logIndex + 1)
  })
})

test('in one transaction, a submission that is refused leaves the others alone', async () => {
  const good = new Producer('billing', newSigner())
  const late = new Producer('billing', newSigner())
  await nextBatch(late)
  const [first, second, gap] = [await nextBatch(good), await nextBatch(good), await nextBatch(late)]
  const failing = { action: 'test.fail', actor: { type: 'test', id: 'test' }, targets: [] }
  const { size } = (await it.ledger.head())!
  const results = await Promise.allSettled([
    it.ledger.submit(first),
    it.ledger.submit(gap),
    it.ledger.record(failing, () => Promise.reject(new Error('no'))),
    it.ledger.submit(second),
    it.ledger.submit(first),
  ])
  expect(results.map((result) => result.status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'fulfilled',
    'fulfilled',
  ])
  const sizes = await queryAsOwner(it.databaseUrl, 'select size from killick.checkpoints where size > $1', [size])
  expect(sizes).toEqual([{ size: String(size + 2) }])
})

test('a recorded root that nobody signed never leads to a checkpoint, whatever the tiles say', async () => {
  const producer = new Producer('billing', newSigner())
  await it.ledger.submit(await nextBatch(producer))
  const { size, root } = (await it.ledger.head())!
  const setRoot = (hex: string) =>
    queryAsOwner(
      it.databaseUrl,
      `alter table killick.checkpoints disable trigger all;
       update killick.checkpoints set root = decode('${hex}', 'hex') where size = ${size}`,
    )
  await setRoot('00'.repeat(32))
  await expect(it.ledger.submit(await nextBatch(producer))).rejects.toThrow(/not one that this log's key has signed/)
  await setRoot(Buffer.from(root).toString('hex'))
  expect((await it.ledger.head())!.size).toBe(size)
})

test('tampered tiles never lead to a checkpoint', async () => {
  const producer = new Producer('billing', newSigner())
  await it.ledger.submit(await nextBatch(producer))
  const { size } = (await it.ledger.head())!
  await queryAsOwner(
    it.databaseUrl,
    `alter table killick.tiles disable trigger all;
     update killick.tiles set hashes = decode(repeat('00', 32), 'hex') where start = 0`,
  )
  await expect(it.ledger.submit(await nextBatch(producer))).rejects.toThrow(/do not hash to the root/)
  expect((await it.ledger.head())!.size).toBe(size)
})
