// A proof against a real contract on a real node, honest and reorganised away.

import {
  ANCHOR_LOG_CODE_HASH,
  type Anchor,
  EMPTY_ROOT,
  parseProof,
  printProof,
  readAnchors,
  verifyProof,
} from '@killick/sdk/verify'
import { Contract, JsonRpcProvider, sha256, toUtf8Bytes, Wallet } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, ORIGIN, type World } from '../../../scripts/lib/vectors/world.ts'
import { anchorLog } from '../../support/chain.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'

describe('on a chain', () => {
  let chain: LocalChain
  let world: World
  let snapshot: string

  beforeAll(async () => {
    chain = await startChain()
    world = await anchorOn(chain, await makeWorld())
  }, 60_000)
  afterAll(() => chain.stop())

  async function anchorOn({ url, rpc }: LocalChain, { proof, trust }: World): Promise<World> {
    const provider = new JsonRpcProvider(url, undefined, { staticNetwork: true, pollingInterval: 20, cacheTimeout: -1 })
    try {
      const contract = await chain.deployAnchorLog()
      const publisher = new Wallet(chain.key(0), provider)
      const log = new Contract(contract, anchorLog.abi, publisher)
      const originHash = sha256(toUtf8Bytes(ORIGIN))
      await (await log.getFunction('open').send(originHash)).wait()
      const logId = (await log.getFunction('logIdOf').staticCall(publisher.address, originHash)) as string
      snapshot = await rpc<string>('evm_snapshot')
      const { size, root } = proof.anchors[0]!
      const receipt = await (await log.getFunction('anchor').send(logId, size, root, EMPTY_ROOT, [])).wait()
      const time = (await receipt!.getBlock()).timestamp
      const where = { chainId: chain.chainId, contract, logId }
      const anchor: Anchor = { ...where, size, root, time, transaction: receipt!.hash, block: receipt!.blockNumber }
      return { proof: { ...proof, anchors: [anchor] }, trust: { ...trust, logs: [where] } }
    } finally {
      provider.destroy()
    }
  }

  const judge = async (proof: World['proof'], urls: string[]) =>
    verifyProof(proof, { ...world.trust, facts: await readAnchors(proof, urls) })

  test('verified, on the code that was published', async () => {
    const proof = parseProof(printProof(world.proof))
    const verdict = await judge(proof, [chain.url])
    expect(verdict.checks.filter(({ status }) => status !== 'passed')).toEqual([])
    expect(verdict).toMatchObject({ outcome: 'verified', level: 'final', missing: [], restsOn: [] })
    expect(verdict.anchoredAt).toBe(new Date(world.proof.anchors[0]!.time * 1000).toISOString())
    expect(ANCHOR_LOG_CODE_HASH).toBe(anchorLog.codeHash)
  })

  const true0 = () => world.proof.anchors[0]!
  test.each<[string, () => Partial<Anchor>, string]>([
    ['another time', () => ({ time: true0().time + 1 }), 'failed'],
    ['another block', () => ({ block: true0().block - 1 }), 'failed'],
    ['a block to come', () => ({ block: true0().block + 1000 }), 'failed'],
    ['another transaction', () => ({ transaction: `0x${'ab'.repeat(32)}` }), 'failed'],
    ['another log', () => ({ logId: `0x${'ab'.repeat(32)}` }), 'failed'],
    ['an address without code', () => ({ contract: `0x${'ab'.repeat(20)}` }), 'failed'],
    ['another chain', () => ({ chainId: 1 }), 'failed'],
    ['the largest time', () => ({ time: 2 ** 32 - 1 }), 'failed'],
    ['the largest block', () => ({ block: Number.MAX_SAFE_INTEGER }), 'failed'],
  ])('an anchor with %s does not verify', async (_, changes, outcome) => {
    const proof = { ...world.proof, anchors: [{ ...true0(), ...changes() }] }
    expect((await judge(proof, [chain.url])).outcome).toBe(outcome)
  })

  test('no node, and one node of two', async () => {
    expect(await judge(world.proof, ['http://127.0.0.1:1'])).toMatchObject({ outcome: 'undecided', level: 'logged' })
    expect((await judge(world.proof, ['http://127.0.0.1:1', chain.url])).outcome).toBe('verified')
  })

  test('reorganised away: the verdict fails', async () => {
    await chain.rpc('evm_revert', [snapshot])
    await chain.rpc('hardhat_mine', ['0x10'])
    const verdict = await judge(world.proof, [chain.url])
    expect(verdict).toMatchObject({ outcome: 'failed', level: 'logged', anchoredAt: null })
    expect(verdict.checks.filter(({ status }) => status === 'failed').map(({ id }) => id)).toContain(
      'anchor.0.contract',
    )
  })
})
