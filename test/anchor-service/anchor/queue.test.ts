import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Doorbell, openDoorbell } from '../../../anchor-service/src/anchor/queue.ts'
import { createDatabase } from '../../support/postgres.ts'
import { type Redis, redisAvailable, startRedis } from '../../support/redis.ts'
import { forgetQueue } from './support/forget.ts'

let databaseUrl: string
let redis: Redis | null
let opened: Doorbell[] = []
beforeAll(async () => {
  databaseUrl = await createDatabase()
  redis = redisAvailable() ? await startRedis() : null
})
afterAll(() => redis?.stop())

type Answering = { answers: number; hold: Promise<void> | null }

/** A bell that is answered at once, or when `hold` has resolved. */
function someoneAt(name: string, on: 'redis' | 'postgresql', intervalMs = 60_000) {
  const answering: Answering = { answers: 0, hold: null }
  const redisUrl = on === 'redis' ? redis!.url : null
  const bell = openDoorbell({ redisUrl, databaseUrl, name, intervalMs }, async () => {
    answering.answers += 1
    await answering.hold
  })
  opened.push(bell)
  return { bell, answering }
}

async function until(what: () => boolean, ms = 4_000): Promise<void> {
  for (const end = Date.now() + ms; !what(); await sleep(10)) {
    if (Date.now() > end) throw new Error('it did not happen in time')
  }
}

describe.each(['postgresql', 'redis'] as const)('a doorbell on %s', (on) => {
  const skip = on === 'redis' && !redisAvailable()
  afterAll(async () => {
    await Promise.all(opened.map((bell) => bell.close()))
    opened = []
  })

  test.skipIf(skip)('is answered at once, again and again', async () => {
    const { bell, answering } = someoneAt('again', on)
    await bell.ring()
    await until(() => answering.answers > 0)
    for (let i = 1; i < 5; i++) {
      const before = answering.answers
      await bell.ring()
      await until(() => answering.answers > before, 1_000)
    }
    expect(bell.status()).toEqual({ backend: on, isUp: true, detail: null })
  })

  test.skipIf(skip)(
    'rings that come during an answer are answered together by one more, and none is lost',
    async () => {
      const { bell, answering } = someoneAt('many', on)
      let release = () => {}
      answering.hold = new Promise((resolve) => {
        release = resolve
      })
      await bell.ring()
      await until(() => answering.answers === 1)
      for (let i = 0; i < 20; i++) await bell.ring()
      answering.hold = null
      release()
      await until(() => answering.answers === 2)
      await sleep(100)
      expect(answering.answers).toBe(2)
    },
  )

  test.skipIf(skip)('rings by itself at the interval', async () => {
    const { bell, answering } = someoneAt('interval', on, 100)
    await bell.schedule()
    await bell.schedule()
    await until(() => answering.answers >= 4)
  })

  test.skipIf(skip)('rings again after the queue has lost its memory', async () => {
    const { bell, answering } = someoneAt('lost', on)
    await bell.ring()
    await until(() => answering.answers === 1)
    if (on === 'redis') await redis!.flush()
    else await forgetQueue(databaseUrl)
    await bell.ring()
    await until(() => answering.answers === 2, 4_000)
  })
})

test('a ring that nobody can be told of says why, and it is told once', async () => {
  const told: (string | null)[] = []
  const bell = openDoorbell(
    {
      ...{ redisUrl: 'redis://127.0.0.1:9', databaseUrl, name: 'away', intervalMs: 60_000 },
      tell: (trouble) => told.push(trouble),
    },
    async () => {},
  )
  const why = 'connect ECONNREFUSED 127.0.0.1:9'
  await expect(bell.ring()).rejects.toThrow(why)
  await expect(bell.schedule()).rejects.toThrow(why)
  expect(bell.status()).toEqual({ backend: 'redis', isUp: false, detail: why })
  expect(told).toEqual([why])
  await bell.close()
})

test.skipIf(!redisAvailable())('a Redis that is full is told when it begins and when it ends', async () => {
  const { Redis } = await import('ioredis')
  const admin = new Redis(redis!.url)
  const told: (string | null)[] = []
  let answers = 0
  const bell = openDoorbell(
    {
      ...{ redisUrl: redis!.url, databaseUrl, name: 'full', intervalMs: 60_000 },
      tell: (trouble) => told.push(trouble),
    },
    async () => {
      answers += 1
    },
  )
  await bell.ring()
  // Whoever answers has begun too: that it is ready is taken for good news.
  await until(() => answers > 0)
  await admin.config('SET', 'maxmemory', '1')
  await expect(bell.ring()).rejects.toThrow(/maxmemory/)
  await admin.config('SET', 'maxmemory', '0')
  await bell.ring()
  expect(told).toEqual([expect.stringContaining('maxmemory'), null])
  // One that was full before the service began is not called up again because it takes connections.
  await admin.config('SET', 'maxmemory', '1')
  const tellings = ['a', 'b', 'c', 'd', 'e'].map((name) => {
    const said: (string | null)[] = []
    const tell = (trouble: string | null) => said.push(trouble)
    return {
      said,
      late: openDoorbell({ redisUrl: redis!.url, databaseUrl, name, intervalMs: 60_000, tell }, async () => {}),
    }
  })
  for (const { late } of tellings) for (let i = 0; i < 3; i++) await expect(late.ring()).rejects.toThrow(/maxmemory/)
  for (const { said } of tellings) expect(said).toEqual([expect.stringContaining('maxmemory')])
  await admin.config('SET', 'maxmemory', '0')
  await Promise.all([bell.close(), ...tellings.map(({ late }) => late.close()), admin.quit()])
})
