import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openChain } from '../../../anchor-service/src/anchor/chain/chain.ts'
import { searchEvents } from '../../../anchor-service/src/ledger/read/search.ts'
import { readProvingAnchors } from '../../../anchor-service/src/ledger/registry/anchors.ts'
import { startChain } from '../../support/local-chain.ts'
import { anchoredSizes, history, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

const mine = (blocks = 1) => world.chain.rpc('hardhat_mine', [`0x${blocks.toString(16)}`])
const automine = (on: boolean) => world.chain.rpc('evm_setAutomine', [on])
const snapshot = () => world.chain.rpc<string>('evm_snapshot')
const revert = (id: string) => world.chain.rpc('evm_revert', [id])

/** Whether a proof of the newest entry carries an anchor of this target. */
async function isProven({ target }: TestTarget, size: number): Promise<boolean> {
  const anchors = await readProvingAnchors(world.store.pool, size - 1)
  return anchors.some(({ logId }) => logId === target.logId)
}

const lastState = async (target: TestTarget, size: number) => (await history(world, target)).get(size)?.at(-1)

describe('confirmations', () => {
  let target: TestTarget
  beforeEach(async () => {
    target = await newTarget(world, { confirmations: 3 })
    await world.grow()
    await target.settle()
  })

  test('an anchor counts from the configured depth on', async () => {
    const size = await world.grow()
    await target.advance()
    expect(await lastState(target, size)).toBe('mined')
    expect(await isProven(target, size)).toBe(false)
    await mine()
    await target.advance()
    expect(await lastState(target, size)).toBe('mined')
    await mine()
    await target.advance()
    // Hardhat calls its latest block final; that is never believed.
    expect(await lastState(target, size)).toBe('final')
    expect(await isProven(target, size)).toBe(true)
  })

  test('an anchor that a reorganisation drops is withdrawn at once and anchored again, with the same transaction', async () => {
    const size = await world.grow()
    const before = await snapshot()
    await target.advance()
    await mine()
    await target.advance()
    await revert(before)
    await mine(3)
    await target.advance()
    const states = (await history(world, target)).get(size)!
    expect(states.slice(0, 6)).toEqual(['planned', 'signed', 'broadcast', 'mined', 'reorganised', 'broadcast'])
    await target.settle()
    expect(states.filter((state) => state === 'signed')).toHaveLength(1)
    expect(await lastState(target, size)).toBe('final')
    expect((await anchoredSizes(world, target)).filter((each) => each === size)).toHaveLength(1)
  })

  test('a dropped anchor that already counted leaves the proofs, and the ledger records an event', async () => {
    const size = await world.grow()
    const before = await snapshot()
    await target.advance()
    await mine(2)
    await target.advance()
    expect(await isProven(target, size)).toBe(true)
    await revert(before)
    await mine(5)
    await automine(false)
    await target.advance()
    expect(await isProven(target, size)).toBe(false)
    const { events } = await searchEvents(world.store.pool, { source: 'killick', limit: 100 })
    const actions = events.map((event) => ('error' in event ? '' : String(event.fields.action)))
    expect(actions.filter((action) => action.startsWith('anchor.')).slice(0, 2)).toEqual([
      'anchor.withdraw',
      'anchor.commit',
    ])
    await automine(true)
    await mine()
    await target.settle()
    expect(await isProven(target, size)).toBe(true)
  })

  test('several anchors and the opening of the log may be dropped at once', async () => {
    const fresh = await newTarget(world, { confirmations: 2 })
    const before = await snapshot()
    const sizes: number[] = []
    for (let i = 0; i < 3; i++) {
      sizes.push(await world.grow())
      await fresh.settle()
    }
    expect(await anchoredSizes(world, fresh)).toEqual(sizes)
    await revert(before)
    await mine(20)
    await fresh.settle()
    // What was anchored once is anchored again, each size, in order.
    expect(await anchoredSizes(world, fresh)).toEqual(sizes)
    for (const states of (await history(world, fresh)).values()) expect(states.at(-1)).toBe('final')
  })

  test('another transaction of the wallet may take the nonce in the new chain', async () => {
    const size = await world.grow()
    const before = await snapshot()
    await target.advance()
    await revert(before)
    await mine()
    await target.spend()
    await mine(3)
    await target.settle()
    expect((await history(world, target)).get(size)).toContain('dropped')
    expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
  })
})

describe('a chain that was replaced by another', () => {
  test('with the same id and contract: old anchors are given up, and everything is anchored anew', async () => {
    const target = await newTarget(world)
    const first = await world.grow(2)
    await target.settle()
    const chain = await startChain()
    try {
      await chain.rpc('hardhat_setBalance', [target.signer.address, '0xde0b6b3a7640000'])
      expect(await chain.deployAnchorLog()).toBe(world.contract)
      const second = await world.grow()
      await target.settle({ chain: openChain({ urls: [chain.url], timeoutMs: 5_000, maxLag: 8 }) })
      // The log tells that the old one does not count any more.
      const withdrawn = second + 1
      expect(await anchoredSizes({ ...world, chain }, target)).toEqual([withdrawn])
      const proving = await readProvingAnchors(world.store.pool, first - 1)
      expect(proving.filter(({ logId }) => logId === target.target.logId)).toMatchObject([{ size: withdrawn }])
      const { events } = await searchEvents(world.store.pool, { source: 'killick', limit: 100 })
      const told = events.filter((event) => 'fields' in event && event.fields.action === 'anchor.withdraw')
      expect(told[0]).toMatchObject({ fields: { metadata: { size: first, state: 'reorganised' } } })
      expect((await history(world, target)).get(first)!.slice(-2)).toEqual(['reorganised', 'abandoned'])
    } finally {
      await chain.stop()
    }
  })
})
