// A proof is checked against a real contract on a real node, before and after a reorganisation.

import {
  ANCHOR_LOG_CODE_HASH,
  type Anchor,
  parseProof,
  printProof,
  readAnchors,
  verifyProof,
} from '@killick/sdk/verify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { anchorLog } from '../../support/chain.ts'
import { type LocalChain, startChain } from '../../support/local-chain.ts'
import { type AnchoredWorld, anchorWorld } from './support.ts'

describe('on a chain', () => {
  let chain: LocalChain
  let world: AnchoredWorld

  beforeAll(async () => {
    chain = await startChain()
    world = await anchorWorld(chain)
  }, 60_000)
  afterAll(() => chain.stop())

  const judge = async (proof: AnchoredWorld['proof'], urls: string[]) =>
    verifyProof(proof, { ...world.trust, facts: await readAnchors(proof, urls) })

  test('a proof is verified with the published code', async () => {
    const proof = parseProof(printProof(world.proof))
    const verdict = await judge(proof, [chain.url])
    // A proof of this small world carries no registrations.
    const open = verdict.checks.filter(({ status }) => status !== 'passed')
    expect(open.map(({ id, reason }) => [id, reason])).toEqual([['source.registration', 'registration_absent']])
    expect(verdict).toMatchObject({ outcome: 'verified', level: 'final', missing: [], restsOn: [] })
    expect(verdict.anchoredAt).toBe(new Date(world.proof.anchors[0]!.time * 1000).toISOString())
    expect(ANCHOR_LOG_CODE_HASH).toBe(anchorLog.codeHash)
  })

  const true0 = () => world.proof.anchors[0]!
  test.each<[string, () => Partial<Anchor>, string]>([
    ['another time', () => ({ time: true0().time + 1 }), 'failed'],
    ['another block', () => ({ block: true0().block - 1 }), 'failed'],
    ['another transaction', () => ({ transaction: `0x${'ab'.repeat(32)}` }), 'failed'],
    ['another log', () => ({ logId: `0x${'ab'.repeat(32)}` }), 'failed'],
    ['an address without code', () => ({ contract: `0x${'ab'.repeat(20)}` }), 'failed'],
    ['another chain', () => ({ chainId: 1 }), 'failed'],
    ['the largest time', () => ({ time: 2 ** 32 - 1 }), 'failed'],
  ])('an anchor with %s does not verify', async (_, changes, outcome) => {
    const proof = { ...world.proof, anchors: [{ ...true0(), ...changes() }] }
    expect((await judge(proof, [chain.url])).outcome).toBe(outcome)
  })

  test('a block that the node has not seen is no fault if the contract holds the root, and no excuse if it does not', async () => {
    for (const block of [true0().block + 1000, Number.MAX_SAFE_INTEGER]) {
      const of = (changes: Partial<Anchor>) =>
        judge({ ...world.proof, anchors: [{ ...true0(), block, ...changes }] }, [chain.url])
      const verdict = await of({})
      expect(verdict.outcome).toBe('verified')
      expect(verdict.checks.find(({ id }) => id === 'anchor.0.block')?.status).toBe('skipped')
      expect((await of({ time: true0().time + 1 })).outcome).toBe('undecided')
    }
  })

  test('without a node the proof is undecided; one node of two is enough', async () => {
    expect(await judge(world.proof, ['http://127.0.0.1:1'])).toMatchObject({ outcome: 'undecided', level: 'logged' })
    expect((await judge(world.proof, ['http://127.0.0.1:1', chain.url])).outcome).toBe('verified')
  })

  test('the verdict fails once the anchor is reorganised away', async () => {
    await chain.rpc('evm_revert', [world.snapshot])
    await chain.rpc('hardhat_mine', ['0x10'])
    const verdict = await judge(world.proof, [chain.url])
    expect(verdict).toMatchObject({ outcome: 'failed', level: 'logged', anchoredAt: null })
    expect(verdict.checks.filter(({ status }) => status === 'failed').map(({ id }) => id)).toContain(
      'anchor.0.contract',
    )
  })
})
