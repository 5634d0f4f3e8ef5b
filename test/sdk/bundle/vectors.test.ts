import { createHash } from 'node:crypto'
import { type BundleTrust, verifyBundle } from '@killick/sdk/bundle'
import { type AnchorFact, parseHash } from '@killick/sdk/verify'
import { expect, test } from 'vitest'
import { archive } from '../../../scripts/lib/vectors/bundles.ts'
import { vectors } from '../../support/vectors.ts'

type Case = {
  description: string
  manifest: string
  log: string
  sha256: string
  forPeople?: [name: string, text: string][]
  trust: Omit<BundleTrust, 'facts'> & { facts: (Omit<AnchorFact, 'root'> & { root: string })[] }
  outcome: string
  completeness: string
  reasons: string[]
  fields: { erased: number; expired: number; hidden: number; undecided: number } | null
  keysOutside: number
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

test.each(vectors<Case[]>('bundles'))(
  '$description',
  async ({ manifest, log, forPeople = [], sha256, trust, ...expected }) => {
    const bytes = archive({ manifest, log, forPeople })
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256)
    const facts = trust.facts.map((fact) => ({ ...fact, root: parseHash(fact.root)! }) as AnchorFact)
    const { outcome, completeness, faults, fields, keysOutside } = await verifyBundle(chunksOf(bytes), {
      ...trust,
      facts: async () => facts,
    })
    const reasons = [...new Set(faults.map(({ reason }) => reason))].sort()
    expect({ outcome, completeness: completeness.verdict, reasons }).toEqual({
      ...{ outcome: expected.outcome, completeness: expected.completeness, reasons: expected.reasons.toSorted() },
    })
    expect(keysOutside.foundCount).toBe(expected.keysOutside)
    expect(fields).toEqual(expected.fields && expect.objectContaining(expected.fields))
  },
)
