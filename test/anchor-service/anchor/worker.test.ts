import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { advanceUnlocked } from './support/unlocked.ts'
import { anchoredSizes, history, newTarget, openWorld, type World } from './support/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

const LIFE = ['planned', 'signed', 'broadcast', 'mined', 'confirmed', 'final']

describe('on a calm chain', () => {
  test('a worker opens the log, and then anchors each due checkpoint once', async () => {
    const target = await newTarget(world)
    const first = await world.grow(3)
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([first])
    // The anchor has become an event of the ledger, which alone is no reason for another anchor.
    expect((await world.store.ledger.head())!.size).toBe(first + 1)
    await target.settle()

    const second = await world.grow(5)
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([first, second])
    expect(await history(world, target)).toEqual(new Map([0, first, second].map((size) => [size, LIFE])))
  })

  test('several workers at once anchor each size once', async () => {
    const target = await newTarget(world)
    const sizes: number[] = []
    for (let round = 0; round < 3; round++) {
      sizes.push(await world.grow(2))
      await Promise.all(Array.from({ length: 5 }, () => target.advance()))
      await target.settle()
    }
    expect(await anchoredSizes(world, target)).toEqual(sizes)
  })

  test('workers that have lost their lock anchor each size once', async () => {
    const target = await newTarget(world)
    const size = await world.grow(2)
    await Promise.all(Array.from({ length: 5 }, () => advanceUnlocked(target)))
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([size])
    expect((await history(world, target)).get(size)?.at(-1)).toBe('final')
  })
})
