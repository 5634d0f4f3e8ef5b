// Idle threads share a large batch: each verifies some of its signatures, and together they verify all.
import { type Hash, KillickError, leafHash, makeEvent, treeRoot, utf8 } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Checkers, startCheckers } from '../../../anchor-service/src/intake/checkers.ts'
import { MAX_PACK_EVENTS } from '../../../anchor-service/src/ledger/packs/read-pack.ts'
import { compressBatch } from '../../../sdk/src/client/transport.ts'
import { registerSource, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer, sampleEvent } from '../support/producer.ts'

const THREADS = 3
const EVENTS = 200
const signer = newSigner()
let opened: TestLedger
let checkers: Checkers
let header: string
let tokens: string[]

beforeAll(async () => {
  opened = await testLedger()
  await registerSource(opened, { source: 'billing', signer })
  checkers = startCheckers({ databaseUrl: opened.databaseUrl, hasRole: true }, THREADS)
  const events = Array.from({ length: EVENTS }, (_, i) => ({ ...sampleEvent(i), note: crypto.randomUUID().repeat(4) }))
  ;({ header, tokens } = await new Producer('billing', signer).batch(events))
  await check(tokens)
  await vi.waitUntil(() => checkers.ready() === THREADS, { timeout: 20_000 })
})
afterAll(async () => {
  await checkers.close()
  await opened.close()
})

async function check(lines: readonly string[], head = header) {
  const body = await compressBatch(head, lines, 'zstd')
  expect(body.length).toBeGreaterThan(32_768)
  return checkers.check({ body: new Uint8Array(body), encoding: 'zstd', registry: 0, now: Date.now() })
}

test('a complete batch is built once, by one of them', async () => {
  for (let i = 0; i < 5; i++) {
    const { header: made, eventLeaves, eventNodes, rows } = await check(tokens)
    expect(made).toMatchObject({ source: 'billing', seq: 0, n: EVENTS })
    expect(eventLeaves).toHaveLength(32 * EVENTS)
    expect(eventNodes.length).toBeGreaterThan(0)
    expect(rows.starts).toHaveLength(Math.ceil(EVENTS / MAX_PACK_EVENTS))
  }
})

/** A batch under its own key, in which the events on some lines are signed with another key in its name. */
async function withForged(lines: readonly number[]) {
  const producer = new Producer('billing', signer)
  const forger = { ...newSigner(), kid: signer.kid }
  const made: string[] = []
  const leaves: Hash[] = []
  let prev = producer.eventPrev
  for (let i = 0; i < EVENTS; i++) {
    const mint = {
      id: `019f1d8c-e2fa-7f2b-8ef0-${i.toString(16).padStart(12, '0')}`,
      time: 1,
      salt: () => new Uint8Array(16),
    }
    const place = { source: 'billing', stream: producer.stream, seq: i, prev }
    const event = { ...sampleEvent(i), note: crypto.randomUUID().repeat(4) }
    const { token } = await makeEvent(event, place, mint, lines.includes(i + 2) ? forger : signer)
    prev = leafHash(utf8(token.split('~')[0]!))
    made.push(token)
    leaves.push(prev)
  }
  const { header } = await producer.batch(
    made.map((_, i) => sampleEvent(i)),
    { root: treeRoot(leaves) },
  )
  return { header, tokens: made }
}

test.each([[[2]], [[3]], [[4]], [[EVENTS + 1]], [[9, 7]], [[7, 8, 9]], [[5, 150]]])(
  'signatures on lines %j that do not verify are found by whoever has them, and the first is named',
  async (lines) => {
    const batch = await withForged(lines)
    const failure = await check(batch.tokens, batch.header).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(KillickError)
    expect(failure).toMatchObject({ code: 'signature_invalid', details: { line: Math.min(...lines) } })
    // The next batch is not affected.
    await check(tokens)
  },
)

test('a fault of the batch itself is reported as usual', async () => {
  expect(await check(tokens.slice(1)).catch((error) => error)).toMatchObject({ code: 'batch_count_mismatch' })
  const swapped = [tokens[1]!, tokens[0]!, ...tokens.slice(2)]
  expect(await check(swapped).catch((error) => error)).toMatchObject({
    code: 'batch_chain_broken',
    details: { line: 2 },
  })
})

test('of many batches at once, each thread checks one', async () => {
  const made = await Promise.all(Array.from({ length: 12 }, () => check(tokens)))
  expect(new Set(made.map(({ rows }) => Buffer.from(rows.bytes).toString('hex'))).size).toBe(1)
})
