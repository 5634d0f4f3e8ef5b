// A transaction that would hold little waits for more, but only if more is about to come.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Ledger, openLedger } from '../../../anchor-service/src/ledger/ledger.ts'
import { SEQUENCER_LIMITS } from '../../../anchor-service/src/ledger/sequencer.ts'
import { logSigner, nextBatch, ORIGIN, systemSigner, type TestLedger, testLedger } from '../support/ledger.ts'
import { newSigner, Producer } from '../support/producer.ts'

const WAIT_MS = 1_000

let opened: TestLedger
let ledger: Ledger
let isPressed: boolean
/** How many submissions each transaction took. */
let groups: number[]

beforeAll(async () => {
  opened = await testLedger()
})
afterAll(() => opened.close())
beforeEach(async () => {
  groups = []
  const limits = { ...SEQUENCER_LIMITS, gatherEvents: 10, gatherMs: WAIT_MS }
  const hooks = {
    isPressed: () => isPressed,
    committed: (_: number, outcomes: readonly unknown[]) => void groups.push(outcomes.length),
  }
  ledger = await openLedger({ pool: opened.pool, origin: ORIGIN, logSigner, systemSigner, limits, hooks })
  // The first one never waits: there was none before it.
  isPressed = true
  await ledger.submit(await nextBatch(new Producer('billing', newSigner())))
})
afterEach(() => ledger.close())

/** Submits batches of so many events, each once the one before is committed, or has had so much time to be. */
async function submit(patienceMs: number, ...sizes: number[]): Promise<void> {
  const accepted: Promise<unknown>[] = []
  for (const n of sizes) {
    accepted.push(ledger.submit(await nextBatch(new Producer('billing', newSigner()), n)))
    await Promise.race([accepted.at(-1), sleep(patienceMs)])
  }
  await Promise.all(accepted)
}

test('small batches share a transaction with those that are about to come', async () => {
  await submit(WAIT_MS / 8, 1, 1, 1)
  expect(groups).toEqual([1, 3])
})

test('without others about to come, no batch waits', async () => {
  isPressed = false
  await submit(WAIT_MS / 2, 1, 1, 1)
  expect(groups).toEqual([1, 1, 1, 1])
})

test('a batch waits no longer than others are about to come', async () => {
  const accepted = ledger.submit(await nextBatch(new Producer('billing', newSigner()))).then(() => 'accepted')
  await sleep(WAIT_MS / 8)
  expect(groups).toEqual([1])
  isPressed = false
  expect(await Promise.race([accepted, sleep(WAIT_MS / 2, 'still waits')])).toBe('accepted')
})

test('a transaction with enough events does not wait for others', async () => {
  await submit(WAIT_MS / 2, 10, 10)
  expect(groups).toEqual([1, 1, 1])
})
