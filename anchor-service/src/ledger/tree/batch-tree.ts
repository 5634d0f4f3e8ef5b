import { asHash, EMPTY_ROOT, type Hash } from '@killick/sdk/core'
import { HashLevel } from './pair-hasher.ts'

/** Root over leaf hashes of 32 bytes each (RFC 9162 §2.1.1). */
export function rootOf(leaves: Uint8Array): Hash {
  if (leaves.length === 0) return EMPTY_ROOT
  const level = new HashLevel(leaves)
  while (level.count > 1) level.climb()
  return toHash(level.nodes)
}

/** The levels of the tree, from the leaves up to the root, 32 bytes to a node; what is left over in one goes up as it is. */
export function levelsOf(leaves: Uint8Array): Buffer[] {
  const level = new HashLevel(leaves)
  const levels = [Buffer.from(level.nodes)]
  while (level.count > 1) {
    level.climb()
    levels.push(Buffer.from(level.nodes))
  }
  return levels
}

/** Inclusion path of the leaf at `index` (RFC 9162 §2.1.3.1), its sibling first. */
export function pathIn(levels: readonly Buffer[], index: number): Hash[] {
  const path: Hash[] = []
  for (let level = 0, at = index; level < levels.length - 1; level++, at >>= 1) {
    const sibling = 32 * (at ^ 1)
    if (sibling < levels[level]!.length) path.push(toHash(levels[level]!.subarray(sibling, sibling + 32)))
  }
  return path
}

const toHash = (bytes: Uint8Array) => asHash(Uint8Array.from(bytes))
