import type { Writable } from 'node:stream'
import { leafHash, treeRoot, utf8 } from '@killick/sdk/core'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryAsOwner } from '../../support/postgres.ts'
import { nextBatch, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

/** Breaks the connection at the n-th exchange of a transaction: before it is sent, halfway, or after it was answered. */
type Fault = { exchange: number; when: 'before' | 'within' | 'after' }

type Breakable = pg.ClientBase & { connection: { stream: Writable } }
type OwnQuery = { handleReadyForQuery(): void; handleError(error: Error): void }

/** Real connections to the real server, with a wire that can be cut. */
function cutWires(pool: pg.Pool, next: () => Fault | null): void {
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
    const { stream } = (client as Breakable).connection
    let fault: Fault | null = null
    let count = 0
    client.query = (async (...args: unknown[]) => {
      if (String(args[0]).startsWith('begin')) {
        fault = next()
        count = 0
      }
      const isHit = fault !== null && count++ === fault.exchange
      if (!isHit) return query(...args)
      const { when } = fault!
      fault = null
      const [own] = args as [OwnQuery | string]
      if (when === 'before') stream.destroy()
      if (when === 'within') cutWithin(stream)
      // pg tells it itself when its connection is gone.
      if (typeof own === 'object' && when === 'after') {
        own.handleReadyForQuery = () => {
          stream.destroy()
          own.handleError(new Error('Connection terminated unexpectedly'))
        }
      }
      if (typeof own === 'object') return query(...args)
      if (when !== 'before') await query(...args).catch(() => {})
      stream.destroy()
      throw new Error('Connection terminated unexpectedly')
    }) as typeof client.query
  })
}

/** Only the first half of what is written next gets through. */
function cutWithin(stream: Writable): void {
  const { write } = stream
  const parts: Uint8Array[] = []
  stream.write = ((bytes: Uint8Array) => {
    parts.push(bytes)
    if (parts.length === 1)
      process.nextTick(() => {
        const all = Buffer.concat(parts)
        stream.write = write
        stream.write(all.subarray(0, all.length >> 1), () => stream.destroy())
      })
    return true
  }) as typeof stream.write
}

// With what the commit before has left: lock and head, stream heads, all writes with the commit. Without it: the tiles too.
const EXCHANGES = { known: 3, unknown: 4 }

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

const table = (['known', 'unknown'] as const).flatMap((memory) =>
  (['before', 'within', 'after'] as const).flatMap((when) =>
    Array.from({ length: EXCHANGES[memory] }, (_, exchange) => ({ memory, when, exchange })),
  ),
)

test.each(table)(
  'the connection breaks $when exchange $exchange, the log $memory',
  async ({ memory, when, exchange }) => {
    const producer = new Producer('billing', newSigner())
    if (memory === 'unknown') {
      fault = { exchange: 0, when: 'before' }
      await expect(it.ledger.submit(await nextBatch(new Producer('billing', newSigner())))).rejects.toThrow()
    }
    const batch = await nextBatch(producer, 2)
    fault = { exchange, when }
    await expect(it.ledger.submit(batch)).rejects.toMatchObject({ code: 'unavailable' })
    expect(fault).toBeNull()

    const stored = () =>
      queryAsOwner(it.databaseUrl, 'select from killick.batches where stream = $1', [producer.stream])
    const isCommitted = exchange === EXCHANGES[memory] - 1 && when === 'after'
    expect(await stored()).toHaveLength(isCommitted ? 1 : 0)

    const { receipt, isNew } = await it.ledger.submit(batch)
    expect(isNew).toBe(!isCommitted)
    expect(await stored()).toHaveLength(1)
    expect((await it.ledger.submit(batch)).receipt).toEqual(receipt)
    expect((await it.ledger.submit(await nextBatch(producer))).receipt.logIndex).toBe(receipt.logIndex + 1)
  },
)

test('a refused submission does not affect others in the same transaction', async () => {
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

test('a root that nobody signed never leads to a checkpoint, whatever the tiles say', async () => {
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
  await expect(it.ledger.submit(await nextBatch(producer))).rejects.toMatchObject({ code: 'log_went_back' })
  // One that has just been opened finds no signed checkpoint under which the registry would be.
  const another = await testLedger(it.databaseUrl)
  const rejected = expect(another.ledger.submit(await nextBatch(producer))).rejects
  await rejected.toThrow(/is in no signed checkpoint/)
  await another.close()
  await setRoot(Buffer.from(root).toString('hex'))
  expect((await it.ledger.head())!.size).toBe(size)
})

test('altered tiles never lead to a checkpoint: memory is right, and what is read is checked', async () => {
  const producer = new Producer('billing', newSigner())
  await it.ledger.submit(await nextBatch(producer))
  const { size } = (await it.ledger.head())!
  await queryAsOwner(
    it.databaseUrl,
    `alter table killick.tiles disable trigger all;
     update killick.tiles set hashes = decode(repeat('00', 32), 'hex') where start = 0`,
  )
  await it.ledger.submit(await nextBatch(producer))
  const head = (await it.ledger.head())!
  const headers = await queryAsOwner<{ header: string }>(
    it.databaseUrl,
    'select header from killick.batches order by log_index',
  )
  expect(head.size).toBe(size + 1)
  expect(head.root).toEqual(treeRoot(headers.map(({ header }) => leafHash(utf8(header)))))

  const another = await testLedger(it.databaseUrl)
  await expect(another.ledger.submit(await nextBatch(producer))).rejects.toThrow(/do not hash to the root/)
  await another.close()
  expect((await it.ledger.head())!.size).toBe(size + 1)
})
