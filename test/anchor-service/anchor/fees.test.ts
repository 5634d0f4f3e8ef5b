import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Alarm } from '../../../anchor-service/src/anchor/alarms.ts'
import { bumpedFees, openingFees } from '../../../anchor-service/src/anchor/chain/chain.ts'
import { readFunds } from '../../../anchor-service/src/anchor/funds.ts'
import type { Visit } from '../../../anchor-service/src/anchor/worker.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { anchoredSizes, history, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

const GWEI = 1_000_000_000n
let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

const mine = () => world.chain.rpc('hardhat_mine', ['0x1'])
const automine = (on: boolean) => world.chain.rpc('evm_setAutomine', [on])
const setBaseFee = (gwei: bigint) =>
  world.chain.rpc('hardhat_setNextBlockBaseFeePerGas', [`0x${(gwei * GWEI).toString(16)}`])
const drop = (hash: string) => world.chain.rpc('hardhat_dropTransaction', [hash])

type Signed = { state: string; nonce: number; max: bigint; tip: bigint | null; transaction: string }

/** The transactions that were signed for an anchor, oldest first. */
async function signed({ target }: TestTarget, size: number): Promise<Signed[]> {
  const rows = await queryAsOwner(
    world.databaseUrl,
    `select s.* from killick.anchors a join killick.anchor_states s on s.anchor = a.id
     where target = $1 and size = $2 and raw is not null order by seq`,
    [target.name, size],
  )
  return rows.map(({ state, nonce, max_fee, max_priority_fee, transaction }) => ({
    ...{ state, nonce: Number(nonce), max: BigInt(max_fee), transaction },
    tip: max_priority_fee === null ? null : BigInt(max_priority_fee),
  }))
}

async function untilVisit(target: TestTarget, wanted: (visit: Visit) => boolean | Promise<boolean>): Promise<Visit> {
  for (let i = 0; i < 200; i++) {
    const visit = await target.advance()
    if (await wanted(visit)) return visit
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('it never came to that')
}

describe('while blocks are slow', () => {
  let target: TestTarget
  let size: number
  const bumpAfter = (ms: number) => {
    target.target.bumpAfterMs = ms
  }
  beforeEach(async () => {
    await automine(true)
    await setBaseFee(1n)
    // Not while the transaction would be mined: then a node may say that what it anchors is anchored already.
    target = await newTarget(world, { fees: { cap: 20n * GWEI }, bumpAfterMs: 60_000 })
    await world.grow()
    await target.settle()
    await automine(false)
    size = await world.grow()
    await target.advance()
  })

  test('a stuck transaction is replaced with the smallest accepted bump, up to the cap, and then reported as waiting', async () => {
    await setBaseFee(1_000n)
    await mine()
    bumpAfter(30)
    const visit = await untilVisit(target, (v) => v.outcome === 'waiting' && /cap/.test(v.detail))
    expect(visit).toMatchObject({ outcome: 'waiting' })
    const [first, ...replacements] = await signed(target, size)
    expect(first!.state).toBe('signed')
    expect(replacements.length).toBeGreaterThan(5)
    for (const [i, { max }] of replacements.entries()) {
      const last = [first!, ...replacements][i]!.max
      expect(max * 10n - last * 11n).toBeLessThan(10n)
      expect(max * 10n).toBeGreaterThanOrEqual(last * 11n)
    }
    expect(new Set([first, ...replacements].map((each) => each!.nonce)).size).toBe(1)
    expect(replacements.at(-1)!.max).toBeLessThanOrEqual(20n * GWEI)
    expect(replacements.at(-1)!.max * 11n).toBeGreaterThan(200n * GWEI)

    await setBaseFee(1n)
    await mine()
    await automine(true)
    await target.settle()
    expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
    expect((await signed(target, size)).length).toBe(1 + replacements.length)
  })

  test('a transaction that is due for a higher fee gets one although the next block would take it', async () => {
    bumpAfter(1_000)
    await untilVisit(target, async () => (await signed(target, size)).length === 2)
    bumpAfter(60_000)
    await mine()
    await target.settle()
    expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
  })

  test('an evicted transaction is sent again unchanged', async () => {
    await drop((await signed(target, size))[0]!.transaction)
    await untilVisit(target, async () => (await history(world, target)).get(size)!.includes('dropped'))
    await mine()
    await target.settle()
    expect((await history(world, target)).get(size)!.slice(0, 5)).toEqual([
      ...['planned', 'signed', 'broadcast', 'dropped', 'broadcast'],
    ])
    expect(await signed(target, size)).toHaveLength(1)
  })

  test('the first of two transactions may be mined after all, while a third is about to be signed', async () => {
    await setBaseFee(5n)
    await mine()
    bumpAfter(1_000)
    await untilVisit(target, async () => (await signed(target, size)).length === 2)
    const [first, second] = await signed(target, size)
    // A block builder may still hold the replaced transaction.
    const { rows } = await world.store.pool.query(
      'select raw from anchor_states where transaction = $1 and raw is not null',
      [first!.transaction],
    )
    await drop(second!.transaction)
    await setBaseFee(1n)
    await world.chain.rpc('eth_sendRawTransaction', [rows[0].raw])
    await mine()
    bumpAfter(30)
    await target.settle()
    const anchors = await queryAsOwner(
      world.databaseUrl,
      'select transaction from killick.current_anchors where target = $1 and size = $2',
      [...[target.target.name, size]],
    )
    expect(anchors).toEqual([{ transaction: first!.transaction }])
    expect((await anchoredSizes(world, target)).filter((each) => each === size)).toHaveLength(1)
  })
})

describe('a wallet that others use too', () => {
  test('waits for their transactions, and fills a gap that they leave', async () => {
    const target = await newTarget(world, { bumpAfterMs: 60 })
    await world.grow()
    await automine(true)
    await target.settle()
    await automine(false)
    const theirs = await target.spend()
    const size = await world.grow()
    await target.advance()
    // On a slow machine it has been replaced already, by one of the same nonce.
    const newest = async () => (await signed(target, size)).at(-1)!.nonce
    const nonce = await newest()
    await drop(theirs)
    await untilVisit(target, async () => (await newest()) !== nonce)
    expect(await newest()).toBe(nonce - 1)
    await mine()
    await automine(true)
    await mine()
    await target.settle()
    expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
    const next = await world.grow()
    await target.settle()
    expect((await anchoredSizes(world, target)).at(-1)).toBe(next)
  })
})

describe('a publisher without funds', () => {
  beforeAll(async () => {
    await automine(true)
    await setBaseFee(1n)
  })

  test('raises an alarm, and anchoring resumes by itself once there are funds', async () => {
    const target = await newTarget(world)
    const { address } = target.signer
    await world.chain.rpc('hardhat_setBalance', [address, '0x1'])
    const size = await world.grow()
    await expect(target.advance()).rejects.toMatchObject({
      name: 'Alarm',
      code: 'unfunded',
    } satisfies Partial<Alarm>)
    expect(await readFunds(target.chain, target.signer, target.target)).toEqual({
      balance: 1n,
      anchors: 0,
      isLow: true,
    })
    await world.chain.rpc('hardhat_setBalance', [address, '0xde0b6b3a7640000'])
    await target.settle()
    expect(await anchoredSizes(world, target)).toEqual([size])
    expect(await readFunds(target.chain, target.signer, target.target)).toMatchObject({ isLow: false })
  })

  test('too little gas is not taken for too low a fee', async () => {
    const proxy = await startFaultyRpc(world.chain.url)
    try {
      const target = await newTarget(world, {}, { urls: [proxy.url] })
      await world.grow()
      await target.settle()
      const size = await world.grow()
      const message = 'intrinsic gas too low: gas 20000, minimum needed 21000'
      proxy.rule = ({ method }) => (method === 'eth_sendRawTransaction' ? { fault: 'error', message } : null)
      for (let i = 0; i < 2; i++) await expect(target.advance()).rejects.toMatchObject({ code: 'node_refuses' })
      expect(await signed(target, size)).toHaveLength(1)
    } finally {
      await proxy.stop()
    }
  })

  test('on a chain without a base fee, transactions are of the legacy type', async () => {
    const proxy = await startFaultyRpc(world.chain.url)
    try {
      proxy.rule = ({ method }) =>
        method === 'eth_getBlockByNumber'
          ? { fault: 'alter', change: ({ baseFeePerGas: _, ...block }: { baseFeePerGas: string }) => block }
          : null
      const target = await newTarget(world, {}, { urls: [proxy.url] })
      const size = await world.grow()
      await target.settle()
      expect(await anchoredSizes(world, target)).toEqual([size])
      expect(await signed(target, size)).toMatchObject([{ tip: null }])
    } finally {
      await proxy.stop()
    }
  })
})

describe('fees', () => {
  const fee = fc.bigInt(0n, 10n ** 13n)
  const market = fc.record({ base: fc.option(fee), tip: fee })

  test('never exceed the cap, and the tip never exceeds the fee', () => {
    fc.assert(
      fc.property(market, fee, (now, cap) => {
        const { max, tip } = openingFees(now, { cap })
        expect(max <= cap && (tip === null || tip <= max)).toBe(true)
      }),
    )
  })

  test('a bump raises both fees by at least a tenth, as nodes require, or there is none', () => {
    fc.assert(
      fc.property(market, fee, (before, cap) => {
        const last = openingFees(before, { cap })
        const next = bumpedFees(last, { cap })
        if (next === null) return
        expect(next.max <= cap && next.max * 10n >= last.max * 11n && next.max > last.max).toBe(true)
        if (last.tip !== null) expect(next.tip! * 10n >= last.tip * 11n && next.tip! > last.tip).toBe(true)
      }),
    )
  })
})
