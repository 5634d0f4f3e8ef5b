import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeSchedule, randomness, type Schedule } from './support/schedule.ts'
import { anchoredSizes, history, openWorld, type World } from './support/world.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const SCHEDULES = process.env.CI ? 96 : 32
/** Schedules that share a chain, and so its reorganisations, evictions and fees. */
const TOGETHER = 64

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

/** Mines, reorganises, drops transactions and changes fees, until it is told to stop. Then the chain is calm. */
async function storm(seed: number, until: () => boolean): Promise<void> {
  const random = randomness(seed)
  const { rpc } = world.chain
  const mine = (blocks: number) => rpc('hardhat_mine', [`0x${blocks.toString(16)}`])
  await rpc('evm_setAutomine', [false])
  let remembered = await rpc<string>('evm_snapshot')
  while (!until()) {
    const dice = random()
    if (dice < 0.7) await mine(1)
    else if (dice < 0.76) {
      const { pending } = await rpc<{ pending: Record<string, Record<string, { hash: string }>> }>(
        'txpool_content',
      ).catch(() => ({ pending: {} }))
      const hashes = Object.values(pending).flatMap((queue) => Object.values(queue).map(({ hash }) => hash))
      for (const hash of hashes.filter(() => random() < 0.5)) await rpc('hardhat_dropTransaction', [hash])
    } else if (dice < 0.82)
      await rpc('hardhat_setNextBlockBaseFeePerGas', [`0x${Math.floor((1 + random() * 30) * 1e9).toString(16)}`])
    else if (dice < 0.88) remembered = await rpc<string>('evm_snapshot')
    else if (dice < 0.92) {
      const height = Number(await rpc('eth_blockNumber'))
      await rpc('evm_revert', [remembered])
      // The chain that wins is the longer one.
      await mine(height - Number(await rpc('eth_blockNumber')) + 1)
      remembered = await rpc<string>('evm_snapshot')
    }
    await sleep(20 + random() * 40)
  }
  await rpc('hardhat_setNextBlockBaseFeePerGas', ['0x3b9aca00'])
  await rpc('evm_setAutomine', [true])
}

/** Checks that no anchor is missing or doubled, and that ledger and contract agree. */
async function check({ seed, target }: Schedule): Promise<void> {
  const sizes = await anchoredSizes(world, target)
  const states = await history(world, target)
  const about = `SEED=${SEED} schedule ${seed}: ${JSON.stringify([...states])}`
  expect(sizes, about).toEqual([...new Set(sizes)].sort((a, b) => a - b))
  const final = [...states].filter(([size, life]) => size > 0 && life.at(-1) === 'final').map(([size]) => size)
  const open = [...states].filter(([, life]) => life.at(-1) !== 'final' && life.at(-1) !== 'abandoned')
  expect(open, about).toEqual([])
  expect(final, about).toEqual(sizes)
  expect(sizes.at(-1), about).toBeGreaterThanOrEqual(newest)
}

let newest = 0

describe(`${SCHEDULES} schedules of seed ${SEED}`, () => {
  const rounds = Array.from({ length: Math.ceil(SCHEDULES / TOGETHER) }, (_, i) => i)
  test.each(rounds)('round %i: no anchor is made twice or lost', { timeout: 120_000 }, async (round) => {
    const seeds = Array.from(
      { length: Math.min(TOGETHER, SCHEDULES - round * TOGETHER) },
      (_, i) => SEED + round * 1_000 + i,
    )
    const schedules = await Promise.all(seeds.map((seed) => makeSchedule(world, seed)))
    let isOver = false
    const weather = storm(SEED + round, () => isOver)
    const grown = (async () => {
      for (let i = 0; i < 4; i++) {
        await world.grow()
        await sleep(600)
      }
    })()
    const running = schedules.map((schedule) => schedule.run(() => isOver))
    await grown
    isOver = true
    await Promise.all([weather, ...running])
    newest = await world.grow()
    for (const schedule of schedules) schedule.calm()
    await Promise.all(schedules.map(({ target }) => target.settle()))
    for (const schedule of schedules) await check(schedule)
    await Promise.all(schedules.map(({ proxy }) => proxy.stop()))
  })
})
