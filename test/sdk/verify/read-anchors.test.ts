import { setTimeout as sleep } from 'node:timers/promises'
import { type AnchorFact, openNodes, readAnchors, verifyProof } from '@killick/sdk/verify'
import { afterEach, describe, expect, test } from 'vitest'
import { CHAIN, makeWorld } from '../../../scripts/lib/vectors/world.ts'
import { anchorLog, anchorLogInterface } from '../../support/chain.ts'
import { openNode, type Reply } from '../../support/rpc.ts'

const { proof, trust } = await makeWorld()
const anchor = proof.anchors[0]!
const hex = (value: number) => `0x${value.toString(16)}`
const YES = hex(1).replace('0x', `0x${'0'.repeat(63)}`)
const NO = `0x${'0'.repeat(64)}`

/** An honest node on the anchor's chain, ten blocks later. */
const HONEST: Record<string, Reply> = {
  eth_chainId: { result: hex(CHAIN.chainId) },
  eth_call: { result: YES },
  eth_getCode: { result: anchorLog.deployedBytecode },
  eth_blockNumber: { result: hex(anchor.block + 9) },
  eth_getBlockByNumber: { result: { timestamp: hex(anchor.time), transactions: [anchor.transaction] } },
}

const nodes: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()))
})

/** @param finalized what the node answers to the call at the finalized block; default: the same as at the latest block */
async function nodeWith(changes: Record<string, Reply> = {}, finalized?: Reply) {
  const replies = { ...HONEST, ...changes }
  const node = await openNode(({ method, params }) =>
    finalized && params[1] === 'finalized' ? finalized : (replies[method] ?? { error: { message: 'no such method' } }),
  )
  nodes.push(node)
  return node.url
}

/** How long the nodes are waited for of which one is silent. Others may take their time. */
const SILENCE_MS = 300

const ask = (...urls: string[]) => askWithin(undefined, ...urls)

async function askWithin(timeoutMs: number | undefined, ...urls: string[]): Promise<AnchorFact> {
  const facts = await readAnchors(proof, urls, { ...(timeoutMs && { timeoutMs }) })
  expect(facts).toHaveLength(1)
  const { path: _, ...about } = anchor
  expect(facts[0]).toMatchObject(about)
  return facts[0]!
}

const verdictOn = (fact: AnchorFact) => verifyProof(proof, { ...trust, facts: [fact] })

test('an honest node confirms the anchor', async () => {
  const fact = await ask(await nodeWith())
  expect(fact).toMatchObject({ anchored: true, genuineCode: true, located: true, confirmations: 10, finalized: true })
  // The rest of the URL often holds a key that is nobody's business.
  expect(fact.node).toMatch(/^127\.0\.0\.1:\d+$/)
  expect(verdictOn(fact)).toMatchObject({ outcome: 'verified', level: 'final' })
})

test('the call is encoded as the contract expects', async () => {
  const calls: unknown[] = []
  const node = await openNode(({ method, params }) => {
    if (method === 'eth_call') calls.push(params)
    return HONEST[method]!
  })
  nodes.push(node)
  await ask(node.url)
  const data = anchorLogInterface.encodeFunctionData('isAnchored', [
    anchor.logId,
    anchor.size,
    anchor.root,
    anchor.time,
  ])
  const call = { to: anchor.contract, data }
  expect(calls).toHaveLength(2)
  expect(calls).toEqual(
    expect.arrayContaining([
      [call, 'latest'],
      [call, 'finalized'],
    ]),
  )
})

describe('a node denies the anchor:', () => {
  test.each<[string, Record<string, Reply>, object]>([
    ['the contract holds no such root', { eth_call: { result: NO } }, { anchored: false }],
    [
      'no contract there',
      { eth_call: { result: '0x' }, eth_getCode: { result: '0x' } },
      { anchored: false, genuineCode: false },
    ],
    ['another contract that says yes', { eth_getCode: { result: '0x6001' } }, { anchored: true, genuineCode: false }],
    [
      'the block has another time',
      { eth_getBlockByNumber: { result: { timestamp: hex(anchor.time + 1), transactions: [anchor.transaction] } } },
      { located: false },
    ],
    [
      'the block lacks the transaction',
      { eth_getBlockByNumber: { result: { timestamp: hex(anchor.time), transactions: [] } } },
      { located: false },
    ],
  ])('%s', async (_, changes, expected) => {
    const fact = await ask(await nodeWith(changes))
    expect(fact).toMatchObject(expected)
    expect(verdictOn(fact).outcome).toBe('failed')
    // One that denies outweighs one that confirms, in either order.
    const both = [await nodeWith(changes), await nodeWith()]
    expect(verdictOn(await ask(...both)).outcome).toBe('failed')
    expect(verdictOn(await ask(...both.reverse())).outcome).toBe('failed')
  })
})

describe('a node cannot tell, so it is undecided and another node is asked:', () => {
  const evil = { toString: 1, valueOf: 1 }
  test.each<[string, Record<string, Reply>]>([
    ['another chain', { eth_chainId: { result: '0x1' } }],
    ['a chain id that is no number', { eth_chainId: { result: 'mainnet' } }],
    ['a chain id that is an object', { eth_chainId: { result: evil } }],
    ['an error', { eth_call: { error: { code: -32000, message: 'rate limited' } } }],
    ['an error that is no object', { eth_call: { error: 'no' } }],
    ['an error whose message is no text', { eth_call: { error: { message: evil } } }],
    ['no result', { eth_call: { raw: '{"jsonrpc":"2.0","id":1}' } }],
    ['null', { eth_call: { raw: 'null' } }],
    ['an array', { eth_call: { raw: '[]' } }],
    ['not JSON', { eth_getCode: { raw: '<html>' } }],
    ['status 502', { eth_getCode: { raw: '{}', status: 502 } }],
    ['a height that is no number', { eth_blockNumber: { result: {} } }],
    ['a height beyond 2^53', { eth_blockNumber: { result: '0xffffffffffffffff' } }],
    ['an answer longer than a word', { eth_call: { result: `${YES}00` } }],
    ['an answer of two', { eth_call: { result: YES.replace(/1$/, '2') } }],
    ['nothing, beside the right code', { eth_call: { result: '0x' } }],
    ['no hex for code', { eth_getCode: { result: '0xgg' } }],
    [
      'a block with whole transactions',
      {
        eth_getBlockByNumber: {
          result: { timestamp: hex(anchor.time), transactions: [{ hash: anchor.transaction }] },
        },
      },
    ],
    [
      'another block',
      {
        eth_getBlockByNumber: {
          result: { number: hex(anchor.block - 1), timestamp: hex(anchor.time - 12), transactions: [] },
        },
      },
    ],
    ['a block without a time', { eth_getBlockByNumber: { result: { transactions: [] } } }],
    ['no root yet, and no block', { eth_call: { result: NO }, eth_blockNumber: { result: hex(anchor.block - 1) } }],
    [
      'no contract yet, and no block',
      { eth_getCode: { result: '0x' }, eth_blockNumber: { result: hex(anchor.block - 1) } },
    ],
    ['silence', { eth_call: 'hang' }],
    ['silence from the start', { eth_chainId: 'hang' }],
    ['a connection dropped', { eth_blockNumber: 'drop' }],
    ['a connection dropped when asked for finality', {}],
  ])('%s', async (what, changes) => {
    const url = await nodeWith(changes, what.endsWith('finality') ? 'drop' : undefined)
    const patience = what.startsWith('silence') ? SILENCE_MS : undefined
    const fact = await askWithin(patience, url)
    expect(fact).toMatchObject({ unreadable: expect.any(String) })
    expect(JSON.stringify(fact)).not.toContain('secret-key')
    expect(verdictOn(fact)).toMatchObject({ outcome: 'undecided', level: 'logged' })
    expect(verdictOn(await askWithin(patience, url, await nodeWith())).outcome).toBe('verified')
  })

  test('a silent node, and no node at all, give a fact that says so', async () => {
    expect(await ask('http://127.0.0.1:1/')).toMatchObject({ unreadable: expect.any(String) })
    expect(await ask()).toMatchObject({ node: 'no node' })
  })
})

describe('garbage is never taken for yes or no, and never throws', () => {
  const evil = { toString: 1, valueOf: 1 }
  const garbage = [
    null,
    true,
    5,
    '',
    'hello',
    '0x',
    '0x1',
    [],
    {},
    evil,
    [evil],
    { timestamp: evil, transactions: evil },
  ]
  test.each(['eth_chainId', 'eth_call', 'eth_getCode', 'eth_blockNumber', 'eth_getBlockByNumber'])(
    '%s',
    async (method) => {
      for (const result of garbage) {
        const fact = await ask(await nodeWith({ [method]: { result } }))
        // No block is what a node says that has pruned it; code that is none, or another, is a no; and 0x1 is a number.
        const isPruned = method === 'eth_getBlockByNumber' && result === null
        const isOther = method === 'eth_getCode' && result === '0x'
        const expected = isPruned ? 'verified' : isOther ? 'failed' : 'undecided'
        expect(verdictOn(fact).outcome, JSON.stringify(result)).toBe(
          method === 'eth_blockNumber' && result === '0x1' ? 'verified' : expected,
        )
      }
    },
  )
})

describe('a replica that lags, behind an address that others share', () => {
  const behind: Reply = { result: hex(anchor.block - 1) }

  test('does not deny a block that it has not seen', async () => {
    const url = await nodeWith({ eth_blockNumber: behind, eth_getBlockByNumber: { result: null } })
    const fact = await ask(url)
    expect(fact).toMatchObject({ anchored: true, located: null, confirmations: 0 })
    expect(verdictOn(fact).outcome).toBe('verified')
  })

  test('is asked again at the height that was named before its no counts', async () => {
    const node = await openNode(({ method, params }) => {
      if (method !== 'eth_call' && method !== 'eth_getCode') return HONEST[method]!
      if (params[1] === 'latest') return { result: method === 'eth_call' ? NO : '0x' }
      return params[1] === 'finalized' ? { result: NO } : HONEST[method]!
    })
    nodes.push(node)
    expect(verdictOn(await ask(node.url)).outcome).toBe('verified')
    const lost = await openNode(({ method, params }) =>
      params[1] === hex(anchor.block + 9)
        ? { error: { message: 'header not found' } }
        : method === 'eth_call'
          ? { result: NO }
          : HONEST[method]!,
    )
    nodes.push(lost)
    expect(verdictOn(await ask(lost.url)).outcome).toBe('undecided')
  })

  test('is asked for the block again before another one in its place counts, and one below it denies nothing', async () => {
    const other: Reply = { result: { timestamp: hex(anchor.time + 1), transactions: [] } }
    let asked = 0
    const shared = await openNode(({ method }) =>
      method === 'eth_getBlockByNumber' && asked++ === 0 ? other : HONEST[method]!,
    )
    nodes.push(shared)
    expect(await ask(shared.url)).toMatchObject({ located: true, confirmations: 10 })
    expect(asked).toBe(2)
    const below = await ask(await nodeWith({ eth_blockNumber: behind, eth_getBlockByNumber: other }))
    expect(below).toMatchObject({ unreadable: expect.stringContaining('may lag behind') })
  })

  test('hex digits may be of either case', async () => {
    const upper = (text: string) => `0x${text.slice(2).toUpperCase()}`
    const url = await nodeWith({
      eth_getCode: { result: upper(anchorLog.deployedBytecode) },
      eth_getBlockByNumber: {
        result: { timestamp: upper(hex(anchor.time)), transactions: [upper(anchor.transaction)] },
      },
    })
    expect(verdictOn(await ask(url)).outcome).toBe('verified')
  })
})

test('a node on another chain is named, with both chains', async () => {
  const fact = await ask(await nodeWith({ eth_chainId: { result: '0x7a69' } }))
  expect(fact).toMatchObject({ unreadable: `it is on chain 31337, the anchor on ${CHAIN.chainId}` })
})

test('a silent node costs one timeout, and is asked nothing more', async () => {
  const asked: string[] = []
  const node = await openNode(({ method }) => {
    asked.push(method)
    return 'hang'
  })
  nodes.push(node)
  // By timers of this process: they end in their order, however late.
  const second = sleep(2 * SILENCE_MS, 'a second timeout')
  expect(await Promise.race([askWithin(SILENCE_MS, node.url), second])).toMatchObject({
    unreadable: expect.any(String),
  })
  expect(asked).toEqual(['eth_chainId'])
})

test('a request is sent once more if the node closed the connection as it was used again', async () => {
  let calls = 0
  const node = await openNode(({ method }) => (calls++ % 2 === 1 ? 'drop' : HONEST[method]!))
  nodes.push(node)
  const [one] = await openNodes([node.url])
  expect(one).toMatchObject({ chainId: CHAIN.chainId })
  // The second and the fourth request are cut off, and sent again.
  for (let i = 0; i < 2; i++) expect(await one!.rpc.call('eth_chainId', [])).toBe(hex(CHAIN.chainId))
  expect(calls).toBe(5)
})

describe('pruned nodes and chains without finality', () => {
  test.each<[string, Reply]>([
    ['answers null', { result: null }],
    ['refuses', { error: { code: 4444, message: 'pruned history unavailable' } }],
  ])('a pruned block is no denial: the node %s', async (_, reply) => {
    const fact = await ask(await nodeWith({ eth_getBlockByNumber: reply }))
    expect(fact).toMatchObject({ anchored: true, located: null, finalized: true })
    expect(verdictOn(fact)).toMatchObject({ outcome: 'verified', level: 'final' })
  })

  test('without finality, confirmations decide', async () => {
    const unknownTag: Reply = { error: { message: 'unknown block tag' } }
    const fact = await ask(await nodeWith({}, unknownTag))
    expect(fact).toMatchObject({ anchored: true, finalized: null, confirmations: 10 })
    expect(verdictOn(fact)).toMatchObject({ outcome: 'verified', level: 'anchored' })
    expect(verifyProof(proof, { ...trust, facts: [fact], confirmations: 10 }).level).toBe('final')
  })

  test('what is neither yes nor no at the finalized block is nonsense, and nothing is a no', async () => {
    for (const result of [YES.replace(/1$/, '2'), `${YES}00`, 'hello', '0x1', {}, null, true])
      expect(await ask(await nodeWith({}, { result }))).toMatchObject({ unreadable: expect.any(String) })
    expect(await ask(await nodeWith({}, { result: '0x' }))).toMatchObject({ anchored: true, finalized: false })
    const foreign = await ask(await nodeWith({ eth_getCode: { result: '0x6001' } }, { result: 'hello' }))
    expect(foreign).toMatchObject({ genuineCode: false })
  })

  test('a block that is not finalized yet is not final', async () => {
    const fact = await ask(await nodeWith({}, { result: NO }))
    expect(fact).toMatchObject({ anchored: true, finalized: false })
    expect(verifyProof(proof, { ...trust, facts: [fact], confirmations: 1 }).level).toBe('anchored')
  })

  test('what one node calls final and another does not is not final, in either order', async () => {
    const unknownTag: Reply = { error: { message: 'unknown block tag' } }
    const far = { eth_blockNumber: { result: hex(anchor.block + 1_000) } }
    const pruned = { eth_getBlockByNumber: { result: null } }
    const levelOf = async (...urls: string[]) => {
      const levels = [verdictOn(await ask(...urls)).level, verdictOn(await ask(...urls.toReversed())).level]
      expect(levels[1]).toBe(levels[0])
      return levels[0]
    }
    const [final, byCount, open, fewer, blind] = [
      await nodeWith(),
      await nodeWith(far, unknownTag),
      await nodeWith({}, { result: NO }),
      await nodeWith({}, unknownTag),
      await nodeWith(pruned, unknownTag),
    ]
    for (const said of [final, byCount]) {
      expect(await levelOf(said, open)).toBe('anchored')
      expect(await levelOf(said, fewer)).toBe('anchored')
      expect(await levelOf(said, blind)).toBe('final')
    }
    expect(await levelOf(final, byCount)).toBe('final')
  })
})

test('a malformed URL is reported as the caller’s mistake', async () => {
  for (const url of ['', 'localhost:8545', 'ftp://127.0.0.1/', 'ws://127.0.0.1/']) {
    await expect(readAnchors(proof, [url])).rejects.toMatchObject({ code: 'option_invalid' })
  }
})
