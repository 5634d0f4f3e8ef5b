import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toBase64url } from '../../../sdk/src/core/bytes.ts'
import { PORTABLE } from '../../../sdk/src/core/primitives.ts'
import { nodePrimitives } from '../../../sdk/src/node/primitives.ts'

const numRuns = process.env.CI ? 10_000 : 300
const plain = <T>(value: T) => (value instanceof Uint8Array ? [...value] : value)
const bytes = fc.uint8Array({ maxLength: 200 })
const text = fc.oneof(
  bytes.map(toBase64url),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...'Aa0-_+/=~. \u00e9\ufeff') }),
)

test('Node hashes and decodes exactly as the portable code does', () => {
  fc.assert(
    fc.property(text, (value) => {
      for (const name of ['digest', 'leafHash', 'decode', 'decodeText'] as const) {
        expect(plain(nodePrimitives[name](value)), name).toEqual(plain(PORTABLE[name](value)))
      }
    }),
    { numRuns },
  )
})

test('so they do around the length at which they switch methods', () => {
  for (const length of [10_921, 10_922, 10_923, 40_000]) {
    for (const value of ['A'.repeat(length), '\u00e9'.repeat(length), '\uffff'.repeat(length)]) {
      for (const name of ['digest', 'leafHash', 'decode', 'decodeText'] as const) {
        expect(plain(nodePrimitives[name](value)), name).toEqual(plain(PORTABLE[name](value)))
      }
    }
  }
})

test('and for ASCII', () => {
  const ascii = fc.string({ unit: 'binary-ascii' })
  fc.assert(
    fc.property(ascii, (value) => {
      expect(plain(nodePrimitives.ascii(value))).toEqual(plain(PORTABLE.ascii(value)))
    }),
  )
})

test('two nodes hash as in portable code, and a node keeps its bytes when the next is hashed', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(hash, hash, (left, right) => {
      const first = nodePrimitives.nodeHash(left, right)
      nodePrimitives.nodeHash(right, left)
      expect(plain(first)).toEqual(plain(PORTABLE.nodeHash(left, right)))
    }),
    { numRuns },
  )
})
