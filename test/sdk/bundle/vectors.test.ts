import { createHash } from 'node:crypto'
import { type BundleTrust, verifyBundle } from '@killick/sdk/bundle'
import { type AnchorFact, parseHash } from '@killick/sdk/verify'
import { expect, test } from 'vitest'
import { archive } from '../../../scripts/lib/vectors/bundle-world.ts'
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
  dropped: number
  absent: { events: number; entries: number } | null
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
    expect(completeness.dropped.events).toBe(expected.dropped)
    if (expected.absent !== null) expect(completeness.absent).toEqual(expected.absent)
    expect(fields).toEqual(expected.fields && expect.objectContaining(expected.fields))
  },
)

test('a stream that for await cannot go through, as in Safari, is read all the same, and let go', async () => {
  const { manifest, log, forPeople = [], trust } = vectors<Case[]>('bundles')[0]!
  const pins = { ...trust, facts: async () => [] }
  let isLetGo = false
  const streamOf = (bytes: Uint8Array) => {
    const stream = new ReadableStream<Uint8Array>({
      pull(to) {
        to.enqueue(bytes)
        if (bytes[0] !== 0) to.close()
      },
      cancel() {
        isLetGo = true
      },
    })
    return Object.defineProperty(stream, Symbol.asyncIterator, { value: undefined })
  }
  const bytes = archive({ manifest, log, forPeople })
  expect(await verifyBundle(streamOf(bytes), pins)).toEqual(await verifyBundle(chunksOf(bytes), pins))
  await expect(verifyBundle(streamOf(new Uint8Array(4096)), pins)).rejects.toMatchObject({ code: 'bundle_malformed' })
  expect(isLetGo).toBe(true)
})
