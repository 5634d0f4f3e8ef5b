import { loadConfig, startService } from '@killick/anchor-service'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ADMIN, READER } from '../support/service.ts'
import { expectAudited } from './support/audited.ts'
import { anchoredSizes, history, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

class Killed extends Error {}

/** Visits with workers that each die when they first reach `line`, until one succeeds. @returns how many died */
async function settleThroughDeaths(target: TestTarget, line: string, deaths: number): Promise<number> {
  let died = 0
  for (let lives = 0; lives < 20; lives++) {
    const door = (step: string) => {
      if (step === line && died < deaths) {
        died += 1
        throw new Killed(line)
      }
    }
    try {
      await target.settle({ door })
      return died
    } catch (error) {
      if (!(error instanceof Killed)) throw error
    }
  }
  throw new Error('it never came through')
}

const STEPS = ['plan', 'signed', 'send', 'broadcast', 'mined', 'confirmed', 'final']
const LINES = STEPS.flatMap((step) => [`before ${step}`, `after ${step}`])

const logIds: string[] = []

describe('a worker killed', () => {
  test.each(LINES)('at %s, twice: the next one continues, and each size is anchored once', async (line) => {
    const target = await newTarget(world)
    logIds.push(target.target.logId)
    const size = await world.grow()
    expect(await settleThroughDeaths(target, line, 2)).toBe(2)
    const next = await world.grow(2)
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([size, next])
    const states = await history(world, target)
    expect([...states.keys()]).toEqual([0, size, next])
    // There is never a second transaction, since each is stored before it is sent.
    for (const life of states.values()) expect(life.filter((state) => state === 'signed')).toHaveLength(1)
  })

  test('leaves a ledger, and anchors of every target, that the audit passes', async () => {
    expect(logIds).toHaveLength(LINES.length)
    const tokens = { KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_READER_TOKEN: READER }
    const more = { ...tokens, KILLICK_AUDIT_INTERVAL_MS: '0', KILLICK_LOG_LEVEL: 'silent', PORT: '0' }
    const service = await startService(loadConfig({ ...world.env, ...more }))
    await expectAudited(service, world.chain, world.contract, logIds).finally(service.close)
  })
})
