import { expect, test } from 'vitest'
import { crash } from '../../scripts/crash/rounds.ts'

test('what was acknowledged survives kills of every part', { timeout: 180_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32)
  const report = await crash({ rounds: process.env.CI ? 6 : 3, seed }).catch((error: Error) => {
    throw new Error(`seed ${seed}: ${error.message}`)
  })
  expect(report.acknowledged).toBeGreaterThan(100)
  expect(report.events).toBeGreaterThanOrEqual(report.acknowledged)
  expect(report.erased ?? 0).toBeGreaterThan(0)
})
