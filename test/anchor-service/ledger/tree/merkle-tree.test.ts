import fc from 'fast-check'
import { expect, test } from 'vitest'
import { batchPath, batchRoot } from '../../../../anchor-service/src/ledger/tree/merkle-tree.ts'
import { leafHash } from '../../../../sdk/src/core/hash.ts'
import { verifyInclusion } from '../../../../sdk/src/core/merkle.ts'
import { inclusionPath, treeRoot } from '../../../support/rfc9162.ts'

const leaves = (n: number) => Array.from({ length: n }, (_, i) => leafHash(Uint8Array.of(i >> 8, i & 255)))
const hex = (hashes: Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString('hex'))

test('root and every path are those of RFC 9162, for every size up to 70', () => {
  for (let n = 0; n <= 70; n++) {
    const tree = leaves(n)
    expect(hex([batchRoot(tree)])).toEqual(hex([treeRoot(tree)]))
    for (let i = 0; i < n; i++) expect(hex(batchPath(tree, i))).toEqual(hex(inclusionPath(tree, i)))
  }
})

test('any leaves: equal ones, ones whose bytes read as hex or text, views into larger buffers', () => {
  const hash = fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.constantFrom('0x'.padEnd(32, 'a'), '1'.repeat(32)).map((text) => new TextEncoder().encode(text)),
    fc.uint8Array({ minLength: 40, maxLength: 40 }).map((bytes) => bytes.subarray(3, 35)),
  )
  const runs = process.env.CI ? 2000 : 200
  fc.assert(
    fc.property(fc.array(hash, { minLength: 1, maxLength: 300 }), fc.nat(), (tree, at) => {
      const index = at % tree.length
      const root = batchRoot(tree)
      expect(hex([root])).toEqual(hex([treeRoot(tree)]))
      expect(
        verifyInclusion({ leafHash: tree[index]!, index, size: tree.length, path: batchPath(tree, index), root }),
      ).toBe(true)
    }),
    { numRuns: runs },
  )
})

test('a list is not taken for another one: [a,b,c] has not the root of [a,b,c,c], and order matters', () => {
  const [a, b, c] = leaves(3)
  expect(batchRoot([a!, b!, c!])).not.toEqual(batchRoot([a!, b!, c!, c!]))
  expect(batchRoot([a!, b!])).not.toEqual(batchRoot([b!, a!]))
})

test('a hash keeps no shared memory alive', () => {
  expect(batchRoot(leaves(5)).buffer.byteLength).toBe(32)
})

test('there is no path to a leaf that is not there', () => {
  expect(() => batchPath(leaves(3), 3)).toThrow(RangeError)
})
