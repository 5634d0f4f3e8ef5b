import { type Trust, verifyProof } from '@killick/sdk/verify'
import { describe, expect, test } from 'vitest'
import { CHAIN, factOf, makeWorld, type World } from '../../../scripts/lib/vectors/world.ts'

const { proof, trust } = await makeWorld()
const refused = (code: string) => expect.objectContaining({ name: 'KillickError', code })

describe('a slip in what is pinned is named, and does not read as a forged proof', () => {
  test.each<[string, Trust, string]>([
    ['a log key cut short', { ...trust, logKeys: [trust.logKeys[0]!.slice(0, -4)] }, 'vkey_invalid'],
    [
      'a private source key',
      { ...trust, sourceKeys: [{ jwk: { ...trust.sourceKeys[0]!.jwk, d: 'x' } as never }] },
      'key_invalid',
    ],
    [
      'a source key off its curve',
      { ...trust, sourceKeys: [{ jwk: { kty: 'OKP', crv: 'Ed25519', x: 'AA' } }] },
      'key_invalid',
    ],
    [
      'an address cut short',
      { ...trust, logs: [{ ...CHAIN, contract: CHAIN.contract.slice(0, -1) }] },
      'trust_invalid',
    ],
    ['a log id without 0x', { ...trust, logs: [{ ...CHAIN, logId: CHAIN.logId.slice(2) }] }, 'trust_invalid'],
    ['a chain id of -1', { ...trust, logs: [{ ...CHAIN, chainId: -1 }] }, 'trust_invalid'],
    ['half a confirmation', { ...trust, confirmations: 0.5 }, 'trust_invalid'],
  ])('%s', (_, slip, code) => {
    expect(() => verifyProof(proof, slip)).toThrow(refused(code))
  })
})

describe('the ladder, for each mix of what is pinned and what the chain says', () => {
  const ANSWERS = {
    silent: {},
    confirms: { finalized: null, confirmations: 1 },
    final: { finalized: true },
    denies: { anchored: false },
  }
  const bits = [false, true]
  const mixes = bits.flatMap((source) =>
    bits.flatMap((log) =>
      bits.flatMap((contract) => Object.keys(ANSWERS).map((says) => ({ source, log, contract, says }))),
    ),
  )
  test.each(mixes)('source $source, log $log, contract $contract, chain $says', ({ source, log, contract, says }) => {
    const facts = says === 'silent' ? [] : [{ ...factOf(proof.anchors[0]!), ...ANSWERS[says as 'final'] }]
    const verdict = verifyProof(proof, {
      ...(source && { sourceKeys: trust.sourceKeys }),
      ...(log && { logKeys: trust.logKeys }),
      ...(contract && { logs: trust.logs }),
      facts,
    })
    const read = says === 'confirms' || says === 'final'
    const all = source && log && contract && read
    expect(verdict.outcome).toBe(says === 'denies' ? 'failed' : all ? 'verified' : 'undecided')
    expect(verdict.level).toBe(
      says === 'final' ? 'final' : says === 'confirms' ? 'anchored' : log ? 'logged' : 'signed',
    )
    expect(verdict.restsOn.length === 0).toBe(says === 'denies' || all)
    expect(verdict.anchoredAt === null).toBe(!read)
    expect(verdict.event?.hiddenFields).toBe(0)
  })
})

describe('several anchors', () => {
  const elsewhere = { chainId: 1, contract: `0x${'77'.repeat(20)}` }
  async function twice(): Promise<World> {
    const world = await makeWorld({ anchored: [21, 33] })
    const [first, second] = world.proof.anchors
    return { proof: { ...world.proof, anchors: [{ ...first!, ...elsewhere }, second!] }, trust: world.trust }
  }

  test('one that was not asked for is shown as skipped, and does not stand in for the pinned one', async () => {
    const { proof, trust } = await twice()
    const [other, pinned] = proof.anchors.map((anchor) => factOf(anchor))
    const both = verifyProof(proof, { ...trust, facts: [other!, pinned!] })
    expect(both.outcome).toBe('verified')
    expect(both.checks.find(({ id }) => id === 'anchor.0.log')).toMatchObject({ status: 'skipped' })
    expect(both.anchoredAt).toBe(new Date(proof.anchors[1]!.time * 1000).toISOString())
    expect(verifyProof(proof, { ...trust, facts: [pinned!] }).outcome).toBe('verified')
    expect(verifyProof(proof, { ...trust, facts: [other!] }).outcome).toBe('undecided')
  })

  test('one that is denied fails the proof, whatever the other says', async () => {
    const { proof, trust } = await twice()
    const [other, pinned] = proof.anchors.map((anchor) => factOf(anchor))
    const verdict = verifyProof(proof, {
      ...trust,
      facts: [{ ...other!, anchored: false }, pinned!] as Trust['facts'] & object,
    })
    expect(verdict).toMatchObject({ outcome: 'failed', level: 'logged', anchoredAt: null, missing: [], restsOn: [] })
  })
})

test('the verdict is a function of its arguments, and leaves them as they were', () => {
  const before = structuredClone({ proof, trust })
  expect(verifyProof(proof, trust)).toEqual(verifyProof(proof, trust))
  expect({ proof, trust }).toEqual(before)
})
