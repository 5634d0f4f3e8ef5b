import { verifyProof as verifyNatively } from '@killick/sdk'
import { parseSuccession, printSuccession } from '@killick/sdk/core'
import {
  type AnchorFact,
  parseHash,
  parseProof,
  printHash,
  printProof,
  type Trust,
  verifyProof,
} from '@killick/sdk/verify'
import { describe, expect, test } from 'vitest'
import { expectAccepted, vectors } from '../../support/vectors.ts'

type Read = {
  description: string
  proof: string
  trust: Omit<Trust, 'facts'> & { facts?: (Omit<AnchorFact, 'root'> & { root: string })[] }
  outcome: string
  level: string
  failed: string[]
  skipped: string[]
  reasons?: { [check: string]: string }
}
type Unreadable = { description: string; proof: string; code: string }

type Stated = { description: string; text: string } & (
  | { valid: true; statement: { origin: string; from: { root: string }; to: object } }
  | { valid: false; code: string }
)

const successions = vectors<{ statements: Stated[]; proofs: (Read | Unreadable)[] }>('successions')
const cases = [...vectors<(Read | Unreadable)[]>('proofs'), ...successions.proofs]

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
    // With Node's own cryptography it is the same in every word.
    expect(verifyNatively(proof, trustOf(v.trust))).toEqual(verdict)
    const ids = (status: string) =>
      verdict.checks
        .filter((check) => check.status === status)
        .map(({ id }) => id)
        .sort()
    expect({ outcome: verdict.outcome, level: verdict.level, failed: ids('failed'), skipped: ids('skipped') }).toEqual({
      ...{ outcome: v.outcome, level: v.level, failed: v.failed, skipped: v.skipped },
    })
    for (const [id, reason] of Object.entries(v.reasons ?? {}))
      expect(verdict.checks.find((check) => check.id === id)).toMatchObject({ reason })
    expect(verdict.missing.length === 0).toBe(v.outcome !== 'undecided')
  })
})

describe('proofs that cannot be read', () => {
  test.each(cases.filter((v) => 'code' in v))('$description', ({ proof, code }) => {
    expect(() => parseProof(proof)).toThrow(expect.objectContaining({ name: 'KillickError', code }))
  })
})

describe('statements of succession', () => {
  test.each(successions.statements)('$description', (v) => {
    const said = expectAccepted(v, () => parseSuccession(v.text))
    if (!v.valid || !said) return
    expect({ ...said, from: { ...said.from, root: printHash(said.from.root) } }).toEqual(v.statement)
    expect(printSuccession(said)).toBe(v.text)
  })
})
