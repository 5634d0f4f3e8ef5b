// Small batches are checked many at a time, and cross threads in one piece.
import { zstdCompressSync } from 'node:zlib'
import { parseBatch, printBatch } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Checkers, isSmall, startCheckers } from '../../../anchor-service/src/intake/checkers.ts'
import { pack, unpack } from '../../../anchor-service/src/intake/crossing.ts'
import { packBatch } from '../../../anchor-service/src/ledger/packs/packer.ts'
import { compressBatch } from '../../../sdk/src/client/transport.ts'
import { registerSource, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer, sampleEvent } from '../support/producer.ts'

const signer = newSigner()
let opened: TestLedger
let checkers: Checkers

beforeAll(async () => {
  opened = await testLedger()
  await registerSource(opened, { source: 'billing', signer })
  checkers = startCheckers({ databaseUrl: opened.databaseUrl, hasRole: true }, 1)
})
afterAll(async () => {
  await checkers.close()
  await opened.close()
})

function check(body: Buffer) {
  expect(isSmall(body)).toBe(true)
  return checkers.check({ body, encoding: 'zstd', registry: 0, now: Date.now() })
}

test.each([1, 2, 20])('a batch of %i is the same on the other side, with and without one before it', async (n) => {
  const producer = new Producer('billing', signer)
  for (let i = 0; i < 2; i++) {
    const { header, tokens, advance } = await producer.batch(Array.from({ length: n }, (_, k) => sampleEvent(k)))
    advance()
    const batch = packBatch(parseBatch(Buffer.from(printBatch(header, tokens))))
    const { rows, keyRows, ...rest } = structuredClone(batch)
    const crossed = unpack(structuredClone(pack(batch)))
    expect(crossed).toMatchObject(rest)
    for (const [mine, own] of [
      [crossed.rows, rows],
      [crossed.keyRows, keyRows],
    ] as const) {
      expect(Buffer.from(mine.bytes)).toEqual(Buffer.from(own.bytes))
      expect(mine.starts).toEqual(own.starts)
    }
    expect('prev' in crossed.header && crossed.header.prev).toEqual(batch.header.prev)
    expect(crossed.eventPrev).toEqual(batch.eventPrev)
  }
})

test('each of many at once is answered for itself, the bad among the good', async () => {
  const producers = Array.from({ length: 40 }, () => new Producer('billing', signer))
  const bodies = await Promise.all(
    producers.map(async (producer, i) => {
      const { header, tokens } = await producer.batch([sampleEvent(i)])
      return compressBatch(header, i % 10 === 7 ? [] : tokens, 'zstd')
    }),
  )
  const results = await Promise.allSettled(bodies.map(check))
  const streams = results.map((result) =>
    result.status === 'fulfilled' ? result.value.header.stream : (result.reason.code as string),
  )
  expect(streams).toEqual(producers.map(({ stream }, i) => (i % 10 === 7 ? 'batch_count_mismatch' : stream)))
})

test('one that comes out large is checked all the same, and one that comes out without end is refused', async () => {
  const notes = Array.from({ length: 4 }, (_, i) => ({ ...sampleEvent(i), note: 'a'.repeat(60_000) }))
  const { header, tokens } = await new Producer('billing', signer).batch(notes)
  const large = zstdCompressSync(Buffer.from(printBatch(header, tokens)))
  const bomb = zstdCompressSync(Buffer.alloc(17 * 2 ** 20))
  const [first, refused, second] = await Promise.allSettled([check(large), check(bomb), check(large)])
  expect(first).toMatchObject({ status: 'fulfilled', value: { header: { n: 4 } } })
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'body_too_large' } })
  expect(second).toMatchObject({ status: 'fulfilled', value: { header: { n: 4 } } })
})
