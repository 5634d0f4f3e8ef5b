/** What the ledger records of its own audits: what is new, and the rest once a day, whatever clocks do. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Finished } from '../../../anchor-service/src/audit/outcome.ts'
import { readRecorded, record } from '../../../anchor-service/src/audit/records.ts'
import { type TestLedger, testLedger } from '../support/ledger.ts'

const DAY = 86_400_000

let it: TestLedger
beforeAll(async () => {
  it = await testLedger()
})
afterAll(() => it.close())

test('a pass that says nothing new is recorded once a day, also after a clock that was ahead', async () => {
  const passedAt = (ms: number): Finished => ({
    ...{ outcome: 'pass', at: new Date(ms).toISOString(), seconds: 1, size: 1, root: 'A'.repeat(43), events: 1 },
    ...{ first: null, findings: [] },
  })
  const now = Date.now()
  expect(await record(it.ledger, passedAt(now), null)).toBe(true)
  const { last } = await readRecorded(it.pool)
  expect(last).toMatchObject({ outcome: 'pass', size: 1 })
  expect(await record(it.ledger, passedAt(now + DAY / 2), last)).toBe(false)
  expect(await record(it.ledger, passedAt(now + 2 * DAY), last)).toBe(true)
  expect(await record(it.ledger, passedAt(now), passedAt(now + 365 * DAY))).toBe(true)
})
