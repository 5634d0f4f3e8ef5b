// A test file of an application that uses Node's own runner; runners.test.ts runs it.
import assert from 'node:assert'
import { test } from 'node:test'
import { assertNothingElse, assertRecorded, openTestLog } from '@killick/sdk/testing'

test('a refund leaves one event', async () => {
  await using log = await openTestLog({ now: '2026-01-31T12:00:00Z' })
  await log.record({
    action: 'invoice.refund',
    actor: { type: 'user', id: 'ada' },
    targets: [{ type: 'invoice', id: '42' }],
  })
  assert.equal(assertRecorded(log, { target: 'invoice/42' }).time.toISOString(), '2026-01-31T12:00:00.000Z')
  assertNothingElse(log)
})

test('this one fails', async () => {
  await using log = await openTestLog()
  assertRecorded(log, { action: 'invoice.refund' })
})
