import {
  fromBase64,
  leafHash,
  openNote,
  parseBatchHeader,
  parseCheckpoint,
  parseHash,
  type Receipt,
  utf8,
  verifyConsistency,
  verifyInclusion,
} from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readConsistency, readRoot, readTiles } from '../../../anchor-service/src/ledger/tree/tiles.ts'
import * as rfc9162 from '../../support/rfc9162.ts'
import { nextBatch, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

const STREAMS = 12
const BATCHES = 25

let ledgers: TestLedger[]
let leaves: Uint8Array[]
const receipts: { header: string; receipt: Receipt }[] = []

/** Sends all streams at once, batch after batch, each batch through any of the sequencers. */
beforeAll(async () => {
  const first = await testLedger()
  ledgers = [first, await testLedger(first.databaseUrl), await testLedger(first.databaseUrl)]
  const signer = newSigner()
  await Promise.all(
    Array.from({ length: STREAMS }, async (_, s) => {
      const producer = new Producer('billing', signer, `stream-${s}`)
      for (let b = 0; b < BATCHES; b++) {
        const batch = await nextBatch(producer, 1 + (b % 3))
        const { receipt } = await ledgers[(s + b) % ledgers.length]!.ledger.submit(batch)
        receipts.push({ header: batch.header.text, receipt })
      }
    }),
  )
  const { rows } = await first.pool.query('select log_index, header from batches order by log_index')
  expect(rows.map((row) => row.log_index)).toEqual(rows.map((_, i) => i))
  leaves = rows.map((row) => rfc9162.leafHash(utf8(row.header)))
})
afterAll(() => Promise.all(ledgers.map((ledger) => ledger.close())))

test('every batch is in the log exactly once, each stream in order', async () => {
  // One entry more: the ledger has registered itself.
  expect(leaves).toHaveLength(STREAMS * BATCHES + 1)
  const { rows } = await ledgers[0]!.pool.query('select header from batches order by log_index')
  const next = new Map<string, number>()
  for (const row of rows) {
    const { stream, seq, n } = parseBatchHeader(row.header)
    expect(seq).toBe(next.get(stream) ?? 0)
    next.set(stream, seq + n)
  }
  expect(next.size).toBe(STREAMS + 1)
})

test('every signed checkpoint has the root of a prefix of the log', async () => {
  const { rows } = await ledgers[0]!.pool.query('select size, note from checkpoints order by size')
  expect(rows.at(-1).size).toBe(leaves.length)
  for (const { size, note } of rows) {
    const checkpoint = parseCheckpoint(openNote(note, [ledgers[0]!.ledger.log.vkey]).text)
    expect(checkpoint.size).toBe(size)
    expect(Buffer.from(checkpoint.root)).toEqual(Buffer.from(rfc9162.treeRoot(leaves.slice(0, size))))
  }
})

test('the tiles hold the leaves and the roots of full tiles', async () => {
  const [t0, t1, upper] = await readTiles(ledgers[0]!.pool, [
    { level: 0, index: 0 },
    { level: 0, index: 1 },
    { level: 1, index: 0 },
  ])
  expect(Buffer.concat([...t0!, ...t1!])).toEqual(Buffer.concat(leaves))
  expect(Buffer.concat(upper!)).toEqual(Buffer.from(rfc9162.treeRoot(leaves.slice(0, 256))))
})

test('each receipt proves its batch', () => {
  for (const { header, receipt } of receipts) {
    const { root } = parseCheckpoint(receipt.checkpoint)
    const path = receipt.path.map((hash) => parseHash(hash)!)
    const claim = { leafHash: leafHash(utf8(header)), index: receipt.logIndex, size: receipt.size, path, root }
    expect(verifyInclusion(claim)).toBe(true)
    expect(fromBase64(receipt.checkpoint.split('\n')[2]!)).toEqual(root)
  }
})

test('roots and consistency proofs between any two sizes can be computed from the tiles', async () => {
  const { pool } = ledgers[0]!
  for (const [oldSize, newSize] of [
    [1, 2],
    [5, 256],
    [255, 257],
    [256, 301],
    [200, 201],
    [301, 301],
  ] as const) {
    const oldRoot = await readRoot(pool, oldSize)
    const newRoot = await readRoot(pool, newSize)
    expect(Buffer.from(newRoot)).toEqual(Buffer.from(rfc9162.treeRoot(leaves.slice(0, newSize))))
    const path = await readConsistency(pool, oldSize, newSize)
    expect(verifyConsistency({ oldSize, newSize, oldRoot, newRoot, path })).toBe(true)
    expect(path.map((hash) => Buffer.from(hash))).toEqual(
      rfc9162.consistencyPath(leaves.slice(0, newSize), oldSize).map((hash) => Buffer.from(hash)),
    )
  }
})
