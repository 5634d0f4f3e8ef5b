import { type AnchorFact, parseHash, parseProof, printProof, type Trust, verifyProof } from '@killick/sdk/verify'
import { describe, expect, test } from 'vitest'
import { vectors } from '../../support/vectors.ts'

type Read = {
  description: string
  proof: string
  trust: Omit<Trust, 'facts'> & { facts?: (Omit<AnchorFact, 'root'> & { root: string })[] }
  outcome: string
  level: string
  failed: string[]
  skipped: string[]
}
type Unreadable = { description: string; proof: string; code: string }

const cases = vectors<(Read | Unreadable)[]>('proofs')

function trustOf({ facts, ...rest }: Read['trust']): Trust {
  return {
    ...rest,
    ...(facts && { facts: facts.map((fact) => ({ ...fact, root: parseHash(fact.root)! }) as AnchorFact) }),
  }
}

describe('verdicts', () => {
  test.each(cases.filter((v) => 'outcome' in v))('$description', (v) => {
    const proof = parseProof(v.proof)
    expect(printProof(proof)).toBe(v.proof)
    const verdict = verifyProof(proof, trustOf(v.trust))
    const ids = (status: string) =>
      verdict.checks
        .filter((check) => check.status === status)
        .map(({ id }) => id)
        .sort()
    expect({ outcome: verdict.outcome, level: verdict.level, failed: ids('failed'), skipped: ids('skipped') }).toEqual({
      ...{ outcome: v.outcome, level: v.level, failed: v.failed, skipped: v.skipped },
    })
    expect(verdict.missing.length === 0).toBe(v.outcome !== 'undecided')
  })
})

describe('proofs that cannot be read', () => {
  test.each(cases.filter((v) => 'code' in v))('$description', ({ proof, code }) => {
    expect(() => parseProof(proof)).toThrow(expect.objectContaining({ name: 'KillickError', code }))
  })
})
