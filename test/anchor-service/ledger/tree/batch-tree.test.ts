import { randomBytes } from 'node:crypto'
import { asHash, EMPTY_ROOT, treeRoot, verifyInclusion } from '@killick/sdk/core'
import { expect, test } from 'vitest'
import { GROUP, pathIn, rootOf, treeOver } from '../../../../anchor-service/src/ledger/tree/batch-tree.ts'
import { inclusionPath } from '../../../support/rfc9162.ts'

const plain = (hashes: readonly Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString('hex'))

test('root and paths over any number of leaves are those of RFC 9162', () => {
  expect(rootOf(new Uint8Array(0))).toEqual(EMPTY_ROOT)
  for (const n of [...Array.from({ length: 70 }, (_, i) => i + 1), 127, 128, 129, 255, 256, 257, 1000, 1025]) {
    const leaves = Array.from({ length: n }, () => asHash(new Uint8Array(randomBytes(32))))
    const bytes = Buffer.concat(leaves)
    const root = rootOf(bytes)
    expect(root).toEqual(treeRoot(leaves))
    const { nodes, root: same } = treeOver(bytes)
    expect(same).toEqual(root)
    expect(nodes.length).toBeLessThanOrEqual(bytes.length / 8)
    const groupOf = (index: number) => {
      const first = index - (index % GROUP)
      return bytes.subarray(32 * first, 32 * (first + GROUP))
    }
    for (const index of new Set(n < 40 ? leaves.keys() : [0, 1, 31, 32, 33, n >> 1, n - 2, n - 1])) {
      const path = pathIn(groupOf(index), nodes, n, index)!
      expect(plain(path)).toEqual(plain(inclusionPath(leaves, index)))
      expect(verifyInclusion({ leafHash: leaves[index]!, index, size: n, path, root })).toBe(true)
    }
    expect(bytes.equals(Buffer.concat(leaves))).toBe(true)
  }
})

test('there is no path if the kept nodes are not those of a tree over so many leaves', () => {
  const bytes = randomBytes(32 * 100)
  const { nodes } = treeOver(bytes)
  const group = bytes.subarray(32 * 96)
  expect(pathIn(group, nodes, 100, 97)).not.toBeNull()
  expect(pathIn(group, nodes.subarray(32), 100, 97)).toBeNull()
  expect(pathIn(group, Buffer.concat([nodes, nodes]), 100, 97)).toBeNull()
  expect(pathIn(group.subarray(32), nodes, 100, 97)).toBeNull()
  expect(pathIn(group, nodes, 101, 97)).toBeNull()
  expect(pathIn(group, nodes, 100, 100)).toBeNull()
})
