// A proxy before a real node that lies, floods, drips, redirects, resets or falls silent, in each answer that a verifier reads.
import { ANCHOR_LOG_CODE_HASH, openNodes, type RpcOptions, readAnchors, verifyProof } from '@killick/sdk/verify'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HARMS } from '../../../scripts/lib/hostile-server.ts'
import { chainOf } from '../../../sdk/src/audit/chain.ts'
import { type FaultyRpc, type RpcFault, startFaultyRpc } from '../../support/faulty-rpc.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { type AnchoredWorld, anchorWorld } from './support.ts'

let chain: LocalChain
let liar: FaultyRpc
let world: AnchoredWorld

beforeAll(async () => {
  chain = await startChain()
  world = await anchorWorld(chain)
  liar = await startFaultyRpc(chain.url)
}, 60_000)
afterAll(async () => {
  await liar?.stop()
  await chain?.stop()
})
beforeEach(() => {
  liar.calls.length = 0
  liar.sent = 0
})

const METHODS = ['eth_chainId', 'eth_call', 'eth_getCode', 'eth_blockNumber', 'eth_getBlockByNumber']
const TIMEOUT_MS = 300

/** Who lies is given up after a moment. The honest node is waited for: how fast it is says more about the machine. */
const options: RpcOptions = {
  timeoutMs: TIMEOUT_MS,
  fetch: (url, init) => fetch(url, `${url}`.startsWith(chain.url) ? { ...init, signal: null } : init),
}

async function judge(method: string, fault: RpcFault) {
  liar.rule = (call) => (call.method === method ? fault : null)
  const before = performance.now()
  const outcomeOf = async (...urls: string[]) => {
    const facts = await readAnchors(world.proof, urls, fault.fault === 'harm' ? options : {})
    return verifyProof(world.proof, { ...world.trust, facts }).outcome
  }
  const alone = await outcomeOf(liar.url)
  const ms = performance.now() - before
  return { alone, withAnother: await outcomeOf(liar.url, chain.url), ms }
}

test('an honest proxy changes nothing', async () => {
  expect(ANCHOR_LOG_CODE_HASH).toBe(world.codeHash)
  expect(await judge('none', { fault: 'garbage' })).toMatchObject({ alone: 'verified', withAnother: 'verified' })
})

describe.each(METHODS)('%s', (method) => {
  const lies: [string, unknown][] = [null, '', 5, true, [], 'hello', '0x', {}].map((lie) => [JSON.stringify(lie), lie])

  test.each(lies)('%s counts as no answer, and another node is asked', async (_, result) => {
    const { alone, withAnother } = await judge(method, { fault: 'lie', result })
    // A node that has pruned the block says null, and the contract's answer stands. Only to code that is none may a
    // verifier say no.
    const isPruned = method === 'eth_getBlockByNumber' && result === null
    const isCodeless = method === 'eth_getCode' && result === '0x'
    expect(alone).toBe(isPruned ? 'verified' : isCodeless ? 'failed' : 'undecided')
    expect(withAnother).toBe(isCodeless ? 'failed' : 'verified')
  })

  test.each(HARMS)('%s harms nobody, in bounded time and bytes', async (how) => {
    const { alone, withAnother, ms } = await judge(method, { fault: 'harm', how })
    expect([alone, withAnother]).toEqual(['undecided', 'verified'])
    expect(ms).toBeLessThan(2 * TIMEOUT_MS + 1000)
    // Nobody is sent elsewhere; and what was sent beyond the limit lay in the buffers of the system.
    expect(liar.calls.filter((call) => call.method === 'elsewhere')).toEqual([])
    expect(liar.sent).toBeLessThan(method === 'eth_getBlockByNumber' ? 80e6 : 40e6)
  })
})

test('the first node with a sensible answer says which chain is meant', async () => {
  for (const result of [null, '', 5, true, [], 'hello', '0x', {}, '0x0', `0x${'f'.repeat(64)}`]) {
    liar.rule = ({ method }) => (method === 'eth_chainId' ? { fault: 'lie', result } : null)
    expect(await chainOf([liar.url])).toBe(null)
    expect(await chainOf([liar.url, chain.url])).toBe(chain.chainId)
    expect(await openNodes([liar.url])).toMatchObject([{ chainId: null, silent: expect.stringContaining('node at') }])
  }
})
