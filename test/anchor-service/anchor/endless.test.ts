// Visits that would never end, and what a key before the present one has left behind.
import { asHash } from '@killick/sdk/core'
import { Wallet } from 'ethers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { calls, openChain } from '../../../anchor-service/src/anchor/chain/chain.ts'
import type { WorkerDeps } from '../../../anchor-service/src/anchor/step-context.ts'
import { readConsistency, readRoot } from '../../../anchor-service/src/ledger/tree/tiles.ts'
import { startFaultyRpc } from '../../support/faulty-rpc.ts'
import { history, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.stop())

const LIFE = ['planned', 'signed', 'broadcast', 'mined', 'confirmed', 'final']
const automine = (on: boolean) => world.chain.rpc('evm_setAutomine', [on])

/** Each durable step of a visit has a line before it and one after it. No visit here takes half as many. */
const MOST_LINES = 40

/** A visit that fails where it would not end. */
function visit(target: TestTarget, more: Partial<WorkerDeps> = {}) {
  let lines = 0
  const door = () => {
    if (++lines > MOST_LINES) throw new Error('the visit does not end')
  }
  return target.advance({ ...more, door })
}

/** A call of the contract that no worker knows of. */
async function send({ key, target }: TestTarget, data: string): Promise<void> {
  const { chain } = world
  const wallet = new Wallet(key)
  const nonce = Number(await chain.rpc('eth_getTransactionCount', [wallet.address, 'pending']))
  const fees = { maxFeePerGas: 100_000_000_000n, maxPriorityFeePerGas: 2_000_000_000n }
  const fields = { to: target.contract, data, nonce, gasLimit: 500_000n, chainId: chain.chainId, type: 2, ...fees }
  await chain.rpc('eth_sendRawTransaction', [await wallet.signTransaction(fields)])
}

test('what the contract holds and the ledger has no anchor of, as after a failover, is not planned again and again', async () => {
  const target = await newTarget(world)
  const first = await world.grow()
  await target.settle()
  const second = await world.grow()
  const { db } = world.store.ledger
  const [oldRoot, root] = [await readRoot(db, first), await readRoot(db, second)].map(asHash)
  const path = await readConsistency(db, first, second)
  await send(target, calls.anchor(target.target.logId, second, root!, oldRoot!, path))
  expect(await visit(target)).toMatchObject({ outcome: 'idle', held: second })

  const third = await world.grow()
  await target.settle()
  expect([...(await history(world, target))]).toEqual([0, first, third].map((size) => [size, LIFE]))
})

test('a node that takes a transaction and does not show it is not sent it again and again', async () => {
  const target = await newTarget(world, { lagMs: 10_000, bumpAfterMs: 60_000 })
  await world.grow()
  await target.settle()
  const proxy = await startFaultyRpc(world.chain.url)
  proxy.rule = ({ method }) => (method === 'eth_getTransactionByHash' ? { fault: 'lie', result: null } : null)
  await automine(false)
  try {
    const size = await world.grow()
    const chain = openChain({ urls: [proxy.url], timeoutMs: 5_000, maxLag: 8 })
    expect(await visit(target, { chain })).toMatchObject({ outcome: 'waiting', detail: /do not show/ })
    expect((await history(world, target)).get(size)).toEqual(['planned', 'signed', 'broadcast'])
  } finally {
    await automine(true)
    await proxy.stop()
  }
})

test('an anchor that was under way when the log was handed over to another key is found', async () => {
  const before = await newTarget(world)
  await world.grow()
  await before.settle()
  await automine(false)
  const size = await world.grow()
  await before.advance()
  await world.chain.rpc('hardhat_mine', ['0x1'])
  await automine(true)
  const { name, logId } = before.target
  const after = await newTarget(world, { name, logId, mayOpen: false })
  await send(before, calls.offerPublisher(logId, after.signer.address))
  await send(after, calls.acceptPublisher(logId))
  await after.settle()
  expect((await history(world, after)).get(size)).toEqual(LIFE)
})
