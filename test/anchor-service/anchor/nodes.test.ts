import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { openChain } from '../../../anchor-service/src/anchor/chain/chain.ts'
import type { NodesOptions } from '../../../anchor-service/src/anchor/chain/nodes.ts'
import { readProvingAnchors } from '../../../anchor-service/src/ledger/registry/anchors.ts'
import { type Call, type FaultyRpc, type RpcFault, startFaultyRpc } from '../../support/faulty-rpc.ts'
import { anchoredSizes, history, newTarget, openWorld, type TestTarget, type World } from './support/world.ts'

let world: World
let nodes: FaultyRpc[]
beforeAll(async () => {
  world = await openWorld()
  nodes = await Promise.all([1, 2, 3].map(() => startFaultyRpc(world.chain.url)))
})
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  await world.stop()
})
afterEach(() => {
  for (const node of nodes) node.rule = () => null
})

const breakNode = (i: number, fault: RpcFault, when: (call: Call) => boolean = () => true) => {
  nodes[i]!.rule = (call) => (when(call) ? fault : null)
}

/** A target that remembers which nodes it has set aside from visit to visit, as a running worker does. */
async function targetOn(count: number, more: Partial<NodesOptions> = {}) {
  const urls = nodes.slice(0, count).map((node) => node.url)
  const target = await newTarget(world)
  const chain = openChain({ urls, timeoutMs: 500, maxLag: 3, ...more })
  return { target, chain, faults: () => chain.nodes().map(({ fault }) => fault) }
}

async function anchorsOnce(target: TestTarget, chain: ReturnType<typeof openChain>): Promise<void> {
  const size = await world.grow()
  await target.settle({ chain })
  expect((await anchoredSizes(world, target)).at(-1)).toBe(size)
}

describe('of three nodes, one', () => {
  const cases: [string, RpcFault, string][] = [
    ['is down', { fault: 'swallow' }, 'unreachable'],
    ['takes calls and never answers', { fault: 'halfOpen' }, 'unreachable'],
    ['has had enough of us', { fault: 'status', status: 429 }, 'unreachable'],
    ['answers with a web page', { fault: 'garbage' }, 'unreachable'],
    ['is on another chain', { fault: 'lie', result: '0x1' }, 'wrong_chain'],
  ]
  test.each(cases)('%s: it is set aside and reported, and anchoring continues', async (_, fault, reported) => {
    const { target, chain, faults } = await targetOn(3, { chainId: world.chain.chainId })
    breakNode(0, fault)
    await anchorsOnce(target, chain)
    expect(faults()).toEqual([reported, null, null])
    nodes[0]!.rule = () => null
    await vi.waitUntil(async () => (await target.advance({ chain })) && faults()[0] === null, 20_000)
  })

  test('is far behind', async () => {
    const { target, chain, faults } = await targetOn(3)
    await world.chain.rpc('hardhat_mine', ['0x8'])
    breakNode(1, { fault: 'lie', result: '0x1' }, ({ method }) => method === 'eth_blockNumber')
    await anchorsOnce(target, chain)
    expect(faults()).toEqual([null, 'behind', null])
  })

  test('says that the contract holds something else', async () => {
    const { target, chain, faults } = await targetOn(3)
    await anchorsOnce(target, chain)
    breakNode(2, { fault: 'lie', result: `0x${'0'.repeat(192)}` }, ({ method }) => method === 'eth_call')
    await target.advance({ chain })
    expect(faults()).toEqual([null, null, 'contradicts'])
    await anchorsOnce(target, chain)
  })
})

describe('without a majority of nodes nothing is done:', () => {
  test('two of three are down', async () => {
    const { target, chain } = await targetOn(3)
    breakNode(0, { fault: 'swallow' })
    breakNode(1, { fault: 'swallow' })
    await expect(target.advance({ chain })).rejects.toMatchObject({ code: 'nodes_unreachable' })
  })

  test('two contradict each other', async () => {
    const { target, chain } = await targetOn(2)
    breakNode(0, { fault: 'lie', result: `0x${'1'.repeat(192)}` }, ({ method }) => method === 'eth_call')
    await expect(target.advance({ chain })).rejects.toMatchObject({ code: 'nodes_disagree' })
  })

  test('all are on another chain', async () => {
    const { target, chain } = await targetOn(2, { chainId: 1 })
    await expect(target.advance({ chain })).rejects.toMatchObject({ code: 'wrong_chain' })
  })
})

describe('a connection to a node fails while a transaction is sent:', () => {
  const isSend = ({ method }: Call) => method === 'eth_sendRawTransaction'
  const cases: [string, RpcFault][] = [
    ['late', { fault: 'delay', ms: 100 }],
    ['later than anybody waits', { fault: 'delay', ms: 700 }],
    ['twice', { fault: 'duplicate' }],
    ['and loses the answer', { fault: 'lose' }],
    ['and never hands it on', { fault: 'swallow' }],
    ['and never answers', { fault: 'halfOpen' }],
    ['and pretends to have taken it', { fault: 'lie', result: `0x${'ab'.repeat(32)}` }],
    ['with a busy signal', { fault: 'status', status: 503 }],
  ]
  test.each(cases)('%s: each size is anchored once', async (_, fault) => {
    const { target, chain } = await targetOn(1)
    const sizes = [await world.grow()]
    let sends = 0
    breakNode(0, fault, (call) => isSend(call) && ++sends % 2 === 1)
    await target.settle({ chain })
    sizes.push(await world.grow())
    await target.settle({ chain })
    expect(await anchoredSizes(world, target)).toEqual(sizes)
  })
})

test('a receipt later than its effect does not make it give up the anchor', async () => {
  const { target, chain } = await targetOn(1)
  await anchorsOnce(target, chain)
  const size = await world.grow()
  let left = 4
  breakNode(0, { fault: 'lie', result: null }, ({ method }) => method === 'eth_getTransactionReceipt' && left-- > 0)
  await target.settle({ chain })
  expect((await history(world, target)).get(size)!.at(-1)).toBe('final')
})

test('answers that are stale for a while do not lead to a second anchor', async () => {
  const { target, chain } = await targetOn(1)
  await anchorsOnce(target, chain)
  const size = await world.grow()
  let left = 30
  breakNode(0, { fault: 'stale' }, ({ method }) => method !== 'eth_sendRawTransaction' && left-- > 0)
  await target.settle({ chain })
  expect((await anchoredSizes(world, target)).filter((each) => each === size)).toHaveLength(1)
})

test('a receipt of another transaction says nothing of the one that was asked for', async () => {
  const { target, chain } = await targetOn(1)
  await anchorsOnce(target, chain)
  const proxy = nodes[0]!
  const hash = proxy.calls.findLast(({ method }) => method === 'eth_getTransactionReceipt')!.params[0]
  const receiptOf = (transaction: unknown) =>
    world.chain.rpc<{ blockHash: string }>('eth_getTransactionReceipt', [transaction])
  const other = await receiptOf(hash)
  const size = await world.grow()
  let left = 12
  const isLie = ({ method, params }: Call) => method === 'eth_getTransactionReceipt' && params[0] !== hash && left-- > 0
  breakNode(0, { fault: 'lie', result: other }, isLie)
  await target.settle({ chain })
  expect((await history(world, target)).get(size)!.at(-1)).toBe('final')
  const { rows } = await world.store.pool.query<{ transaction: string; block_hash: string }>(
    'select transaction, block_hash from current_anchors where size = $1 and log_id = $2',
    [size, target.target.logId],
  )
  expect(rows.map(({ block_hash }) => block_hash)).toEqual([(await receiptOf(rows[0]!.transaction)).blockHash])
})

test('another block than the one that was asked for does not make it give up the anchor', async () => {
  const { target, chain } = await targetOn(1)
  await anchorsOnce(target, chain)
  const other = await world.chain.rpc<object>('eth_getBlockByNumber', ['0x1', false])
  const size = await world.grow()
  let left = 12
  const isLie = ({ method, params }: Call) =>
    method === 'eth_getBlockByNumber' && /^0x[1-9a-f]/.test(String(params[0])) && left-- > 0
  breakNode(0, { fault: 'lie', result: other }, isLie)
  await target.settle({ chain })
  const life = (await history(world, target)).get(size)!
  for (const state of ['reorganised', 'dropped', 'abandoned']) expect(life).not.toContain(state)
  expect(life.at(-1)).toBe('final')
})

test('what is not the first block does not name the chain', async () => {
  const { target, chain } = await targetOn(1)
  const other = await world.chain.rpc<{ hash: string }>('eth_getBlockByNumber', ['0x1', false])
  const lies: unknown[] = [{}, 7, other, { ...other, number: '0x0', hash: 'pardon?' }]
  nodes[0]!.rule = ({ method, params }) =>
    method === 'eth_getBlockByNumber' && params[0] === '0x0' && lies.length > 0
      ? { fault: 'lie', result: lies.shift() }
      : null
  await anchorsOnce(target, chain)
  expect(lies).toEqual([])
  const { rows } = await world.store.pool.query('select distinct genesis from anchors where log_id = $1', [
    target.target.logId,
  ])
  const { hash } = await world.chain.rpc<{ hash: string }>('eth_getBlockByNumber', ['0x0', false])
  expect(rows).toEqual([{ genesis: hash }])
})

describe('a node that shows another chain with the same id', () => {
  /** Its first block is another, and the log in the contract is without an entry. */
  const showOther = () => {
    nodes[0]!.rule = ({ method, params: [asked] }) => {
      if (method === 'eth_getBlockByNumber' && asked === '0x0')
        return { fault: 'alter', change: (block: object) => ({ ...block, hash: `0x${'ab'.repeat(32)}` }) }
      return method === 'eth_call' && (asked as { data: string }).data.length === 74
        ? { fault: 'alter', change: (head: string) => head.slice(0, 66) + '0'.repeat(128) }
        : null
    }
  }
  const showTrue = () => {
    nodes[0]!.rule = () => null
  }

  test('for a while: nothing is given up', async () => {
    const { target, chain } = await targetOn(1)
    await anchorsOnce(target, chain)
    const before = await history(world, target)
    await world.grow()
    showOther()
    // The node is asked for its first block once more, though it was a moment ago.
    const patient = { ...target.target, lagMs: 60_000 }
    for (const _ of [1, 2])
      await expect(target.advance({ chain, target: patient })).rejects.toMatchObject({ code: 'wrong_chain' })
    expect(await history(world, target)).toEqual(before)
    showTrue()
    await target.settle({ chain, target: patient })
    expect([...(await history(world, target)).values()].flat()).not.toContain('abandoned')
  })

  test('for long: the log tells what does not count any more, and what counts again when the chain is back', async () => {
    const { target, chain } = await targetOn(1)
    const sizes: number[] = []
    for (const _ of [1, 2]) {
      sizes.push(await world.grow())
      await target.settle({ chain })
    }
    const counting = async (size: number) =>
      (await readProvingAnchors(world.store.pool, size - 1)).filter(({ logId }) => logId === target.target.logId)
    const before = await Promise.all(sizes.map(counting))
    await world.grow()
    showOther()
    // A worker that is killed after the first of two withdrawals, and a chain that is back: that one counts again.
    let doors = 0
    const killed = {
      chain,
      door: (step: string) =>
        step === 'after reorganised' && ++doors === 1 ? Promise.reject(new Error('killed')) : undefined,
    }
    await expect(target.advance(killed)).rejects.toThrow('killed')
    expect((await history(world, target)).get(sizes[1]!)!.at(-1)).toBe('reorganised')
    showTrue()
    await target.settle({ chain })
    expect((await Promise.all(sizes.map(counting))).flat().map(({ size }) => size)).toEqual(sizes)
    await world.grow()
    showOther()
    await expect(target.advance({ chain })).rejects.toMatchObject({ code: 'contract_refuses' })
    for (const size of sizes) expect((await history(world, target)).get(size)!.at(-1)).toBe('abandoned')
    expect((await Promise.all(sizes.map(counting))).flat()).toEqual([])
    showTrue()
    await target.settle({ chain })
    expect((await Promise.all(sizes.map(counting))).map(([anchor]) => ({ ...anchor, id: 0 }))).toEqual(
      before.map(([anchor]) => ({ ...anchor, id: 0 })),
    )
    // Without one transaction more for them.
    const onChain = await anchoredSizes(world, target)
    expect([onChain.slice(0, 2), onChain.length]).toEqual([sizes, 4])
  })
})

test('a node that names no newest block for a while is asked again', async () => {
  const { target, chain } = await targetOn(1)
  await anchorsOnce(target, chain)
  let left = 3
  const isLie = ({ method, params }: Call) => method === 'eth_getBlockByNumber' && params[0] === 'latest' && left-- > 0
  breakNode(0, { fault: 'lie', result: null }, isLie)
  await anchorsOnce(target, chain)
  expect(left).toBeLessThanOrEqual(0)
})
