import { randomBytes } from 'node:crypto'
import { asHash, treeRoot, verifyInclusion } from '@killick/sdk/core'
import { expect, test } from 'vitest'
import { isInclusion } from '../../../../anchor-service/src/ledger/tree/inclusion.ts'
import { inclusionPath } from '../../../support/rfc9162.ts'

test('a leaf is in a tree exactly where the verifier of strangers says so', () => {
  const all = Array.from({ length: 70 }, () => asHash(new Uint8Array(randomBytes(32))))
  for (let size = 1; size <= all.length; size++) {
    const leaves = all.slice(0, size)
    const root = treeRoot(leaves)
    for (let index = 0; index < size; index++) {
      const path = inclusionPath(leaves, index).map((hash) => asHash(new Uint8Array(hash)))
      const claim = { leafHash: leaves[index]!, index, size, path, root }
      expect(isInclusion(claim)).toBe(true)
      const others = [
        { ...claim, root: all[0]! },
        { ...claim, leafHash: all[(index + 1) % all.length]! },
        { ...claim, path: path.slice(1) },
        { ...claim, path: [...path, all[0]!] },
        { ...claim, index: (index + 1) % size },
      ]
      for (const other of others) expect(isInclusion(other)).toBe(verifyInclusion(other))
    }
  }
})
