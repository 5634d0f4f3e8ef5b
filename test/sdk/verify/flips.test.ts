// Every byte of a valid proof is damaged, one at a time. No damaged proof may be verified.
import {
  type AnchorFact,
  KillickError,
  type Proof,
  parseProof,
  printProof,
  type Trust,
  verifyProof,
} from '@killick/sdk/verify'
import { describe, expect, test, vi } from 'vitest'
import { signerFor } from '../../../scripts/lib/vectors/keys.ts'
import { keyOf, OWN, settings } from '../../../scripts/lib/vectors/registrations.ts'
import { makeWorld, SOURCE } from '../../../scripts/lib/vectors/world.ts'

// Elliptic curves take a thousand times as long as all the rest, and nearly every damaged proof asks them the same as the one
// before. So the real functions answer each question once, and the answer is kept.
vi.mock('../../../sdk/src/core/signature.ts', async (original) => {
  const real = await original<typeof import('../../../sdk/src/core/signature.ts')>()
  const ask: typeof real.verifySignature = (...question) => {
    asked.signatures++
    return real.verifySignature(...question)
  }
  return { ...real, verifySignature: once(ask) }
})
vi.mock('../../../sdk/src/core/event.ts', async (original) => {
  const real = await original<typeof import('../../../sdk/src/core/event.ts')>()
  return { ...real, parseEvent: once(real.parseEvent) }
})
vi.mock('../../../sdk/src/core/batch.ts', async (original) => {
  const real = await original<typeof import('../../../sdk/src/core/batch.ts')>()
  return { ...real, parseBatchHeader: once(real.parseBatchHeader) }
})

const { once, asked } = vi.hoisted(() => {
  const asked = { signatures: 0 }
  // Damage goes from byte to byte, so what is asked again is asked soon.
  const MOST = 1000
  function once<Q extends unknown[], A>(real: (...question: Q) => A): (...question: Q) => A {
    const known = new Map<string, () => A>()
    return (...question) => {
      const key =
        question.length === 1 && typeof question[0] === 'string'
          ? question[0]
          : question
              .map((part) => (part instanceof Uint8Array ? Buffer.from(part).toString('latin1') : JSON.stringify(part)))
              .join('|')
      const told = known.get(key) ?? answer(() => real(...question))
      known.delete(key)
      known.set(key, told)
      if (known.size > MOST) known.delete(known.keys().next().value!)
      return told()
    }
  }
  function answer<A>(ask: () => A): () => A {
    try {
      const value = ask()
      return () => value
    } catch (error) {
      return () => {
        throw error
      }
    }
  }
  return { once, asked }
})

// Nobody reads from where a hundred thousand refusals were thrown, and to find out takes longer than to refuse.
Error.stackTraceLimit = 0

const HEX = '0123456789abcdef'
const PRINTABLE = [...`eE019 \n"\\~.,:-_+/=AZaz{}[]\u007f\0`].map((char) => char.charCodeAt(0))

/** What a byte is replaced with: each of its bits flipped, and characters that mean something to some parser. */
function replacements(byte: number): number[] {
  const bits = Array.from({ length: 8 }, (_, bit) => byte ^ (1 << bit))
  const hex = HEX.includes(String.fromCharCode(byte)) ? [...HEX].map((digit) => digit.charCodeAt(0)) : []
  return [...new Set([...bits, ...PRINTABLE, ...hex])].filter((other) => other !== byte)
}

/** A chain that answers about any anchor, and holds these. */
function factsAbout(proof: Proof, truths: readonly AnchorFact[]): AnchorFact[] {
  const asked = proof.anchors.flatMap(({ path: _, before, succeeds: __, ...about }) => [
    { about, truth: truths[0]! },
    ...(before ? [{ about: { ...about, ...before }, truth: truths[1]! }] : []),
  ])
  return asked.map(({ about, truth }) => {
    const isSame = (names: readonly (keyof typeof about)[]) =>
      names.every((name) => String(about[name]) === String(truth[name]))
    if (about.chainId !== truth.chainId) return { ...about, node: 'node', unreadable: 'none of the nodes is on it' }
    const anchored = isSame(['contract', 'logId', 'size', 'root', 'time'])
    const located = isSame(['transaction', 'block', 'time'])
    return { ...truth, ...about, anchored, located, genuineCode: about.contract === truth.contract }
  })
}

/** Tries `perByte` damages for each byte, from a place on. */
function damageAll(text: string, trust: Trust, perByte: number, from: number) {
  const bytes = new TextEncoder().encode(text)
  const verified: string[] = []
  let readable = 0
  for (let at = from; at < bytes.length; at++) {
    const damages = replacements(bytes[at]!)
    for (let i = 0; i < Math.min(perByte, damages.length); i++) {
      const damaged = bytes.slice()
      // Another start for each byte, so that over the whole proof every kind of damage gets its turn.
      damaged[at] = damages[(i + at * 7) % damages.length]!
      let proof: Proof
      try {
        proof = parseProof(damaged)
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        continue
      }
      readable++
      const facts = factsAbout(proof, trust.facts!)
      if (verifyProof(proof, { ...trust, facts }).outcome === 'verified')
        verified.push(`byte ${at}: ${bytes[at]} → ${damaged[at]}`)
    }
  }
  return { verified, readable, length: bytes.length - from }
}

const REGISTRATIONS = [OWN, { index: 1, registration: settings(SOURCE, [keyOf(signerFor('source Ed25519'))]) }]

const perByte = 8

// Proofs with registrations are three times as long, and their first parts are damaged in the others.
describe.each([
  ['Ed25519', { alg: 'Ed25519', size: 5, index: 3, place: 1 }],
  ['ES256, anchored at another size', { alg: 'ES256', size: 5, index: 3, anchored: [6] }],
  ['unsigned', { unsigned: true, size: 3, index: 0 }],
  ['with an anchor before and registrations', { size: 4, index: 3, before: 2, registrations: REGISTRATIONS }],
] as const)('%s', (_, options) => {
  test('no proof with a damaged byte is verified', async () => {
    const { proof, trust } = await makeWorld({ ...options, inputs: INPUTS })
    const text = printProof(proof)
    const facts = factsAbout(parseProof(text), trust.facts)
    expect(verifyProof(parseProof(text), { ...trust, facts }).outcome).toBe('verified')
    const from = 'registrations' in options ? text.indexOf('"before"') : 0
    const { verified, readable, length } = damageAll(text, trust, from === 0 ? perByte : perByte / 4, from)
    expect(verified).toEqual([])
    // Most damages leave a proof that can be read, so that the checks decide and not the parser.
    expect(readable).toBeGreaterThan(length)
    expect(asked.signatures).toBeGreaterThan(200)
  }, 180_000)
})

const INPUTS = [
  { action: 'invoice.approve', actor: { type: 'user', id: 'u-17' }, targets: [] },
  {
    action: 'invoice.read',
    actor: { type: 'user', id: 'u-18' },
    targets: [{ type: 'invoice', id: '7' }],
    metadata: { n: 1.5 },
  },
]
