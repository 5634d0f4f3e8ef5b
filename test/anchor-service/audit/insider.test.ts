import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Insider, openInsider } from './support/insider.ts'

let insider: Insider
beforeAll(async () => {
  insider = await openInsider()
}, 60_000)
afterAll(() => insider.stop())

test('an honest ledger', async () => {
  const { internal } = await insider.audit()
  await insider.audit()
  await insider.restore(insider.tables)
  expect([...internal]).toEqual([])
})
