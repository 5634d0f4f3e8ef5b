import { hash } from 'node:crypto'
import { asHash, EMPTY_ROOT, type Hash } from '@killick/sdk/core'

/** The prefix of an inner node, and a pair of nodes behind it. */
const pair = Buffer.alloc(65, 0x01)

/**
 * Walks the levels of the tree over leaf hashes of 32 bytes each (RFC 9162 §2.1.1), from the leaves up to the root. Two nodes
 * make their parent; a last node without a sibling moves up unchanged. It works in one buffer, which is faster than an array of
 * hashes: docs/decisions/0008-native-cryptography.md.
 *
 * @param visit called with the nodes of a level, before the next level overwrites them
 */
function climb(leaves: Uint8Array, visit: (nodes: Buffer) => void): Buffer {
  const level = Buffer.from(leaves)
  let count = leaves.length / 32
  for (visit(level); count > 1; visit(level.subarray(0, 32 * count))) {
    for (let i = 0; i < count >> 1; i++) {
      level.copy(pair, 1, 64 * i, 64 * i + 64)
      level.write(hash('sha256', pair, 'binary'), 32 * i, 'latin1')
    }
    if (count % 2 === 1) level.copy(level, 32 * (count >> 1), 32 * (count - 1), 32 * count)
    count = (count + 1) >> 1
  }
  return level.subarray(0, 32)
}

/** Root over leaf hashes of 32 bytes each (RFC 9162 §2.1.1). */
export function rootOf(leaves: Uint8Array): Hash {
  return leaves.length === 0 ? EMPTY_ROOT : toHash(climb(leaves, () => {}))
}

/**
 * The levels of the tree, from the leaves up to the root, 32 bytes to a node; a last node without a sibling moves up unchanged.
 */
export function levelsOf(leaves: Uint8Array): Buffer[] {
  const levels: Buffer[] = []
  climb(leaves, (nodes) => levels.push(Buffer.from(nodes)))
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
