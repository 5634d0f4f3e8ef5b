import { randomBytes } from 'node:crypto'
import { asHash, EMPTY_ROOT, treeRoot, verifyInclusion } from '@killick/sdk/core'
import { expect, test } from 'vitest'
import { levelsOf, pathIn, rootOf } from '../../../../anchor-service/src/ledger/tree/batch-tree.ts'
import { inclusionPath } from '../../../support/rfc9162.ts'

const plain = (hashes: readonly Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString('hex'))

test('root and paths over any number of leaves are those of RFC 9162', () => {
  expect(rootOf(new Uint8Array(0))).toEqual(EMPTY_ROOT)
  for (const n of [...Array.from({ length: 70 }, (_, i) => i + 1), 255, 256, 257, 1000]) {
    const leaves = Array.from({ length: n }, () => asHash(new Uint8Array(randomBytes(32))))
    const bytes = Buffer.concat(leaves)
    const root = rootOf(bytes)
    expect(root).toEqual(treeRoot(leaves))
    for (const index of new Set(n < 40 ? leaves.keys() : [0, 1, n >> 1, n - 2, n - 1])) {
      const path = pathIn(levelsOf(bytes), index)
      expect(plain(path)).toEqual(plain(inclusionPath(leaves, index)))
      expect(verifyInclusion({ leafHash: leaves[index]!, index, size: n, path, root })).toBe(true)
    }
    expect(bytes.equals(Buffer.concat(leaves))).toBe(true)
  }
})
