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
  return treeOver(leaves).root
}

/** How many leaves are under the lowest nodes that are kept of a batch's tree; 2 to the power of GROUP_LEVEL. */
export const GROUP = 32
const GROUP_LEVEL = 5

/**
 * The root of a batch's tree, and the nodes that are kept of it, so that a path through a long batch takes one group of leaves
 * only: all levels from the groups' roots up to below the root, 32 bytes for each node. A batch with one group keeps none.
 */
export function treeOver(leaves: Uint8Array): { root: Hash; nodes: Buffer<ArrayBuffer> } {
  if (leaves.length === 0) return { root: EMPTY_ROOT, nodes: Buffer.from(new ArrayBuffer(0)) }
  const nodes = Buffer.from(new ArrayBuffer(nodesLength(leaves.length / 32)))
  let level = 0
  let end = 0
  const root = climb(leaves, (hashes) => {
    if (level++ >= GROUP_LEVEL && hashes.length > 32) end += hashes.copy(nodes, end)
  })
  return { root: toHash(root), nodes }
}

/** How many bytes the kept nodes over so many leaves take. */
function nodesLength(leaves: number): number {
  let bytes = 0
  for (let count = Math.ceil(leaves / GROUP); count > 1; count = Math.ceil(count / 2)) bytes += 32 * count
  return bytes
}

/**
 * Inclusion path of the leaf at `index` (RFC 9162 §2.1.3.1), its sibling first.
 * @param group the leaves of its group: 32 from a multiple of 32 on, or as many as there are
 * @param nodes what `treeOver` keeps of the tree
 * @returns null if group or nodes are not those of a tree over so many leaves
 */
export function pathIn(group: Uint8Array, nodes: Buffer, leaves: number, index: number): Hash[] | null {
  const first = index - (index % GROUP)
  if (index >= leaves || group.length !== 32 * Math.min(GROUP, leaves - first)) return null
  if (nodes.length !== nodesLength(leaves)) return null
  const path: Hash[] = []
  let at = index % GROUP
  const takeSibling = (level: Buffer) => {
    const sibling = 32 * (at ^ 1)
    if (sibling < level.length) path.push(toHash(level.subarray(sibling, sibling + 32)))
    at >>= 1
  }
  climb(group, (level) => level.length > 32 && takeSibling(level))
  at = first / GROUP
  let start = 0
  for (let count = Math.ceil(leaves / GROUP); count > 1; count = Math.ceil(count / 2)) {
    takeSibling(nodes.subarray(start, start + 32 * count))
    start += 32 * count
  }
  return path
}

const toHash = (bytes: Uint8Array) => asHash(Uint8Array.from(bytes))
