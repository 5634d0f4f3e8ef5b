/**
 * Trees of any size in no time: where all leaves are the same, a subtree's root depends on its size alone. For measuring proofs
 * of large trees; for correctness use rfc9162.ts and leaves that differ.
 */
import { leafHash, nodeHash, treeRoot } from './rfc9162.ts'

const roots = new Map<number, Uint8Array>([
  [0, treeRoot([])],
  [1, leafHash(new Uint8Array())],
])

const split = (n: number): number => 2 ** Math.floor(Math.log2(n - 1))

/** Root of the tree of `size` empty entries. */
export function uniformRoot(size: number): Uint8Array {
  const known = roots.get(size)
  if (known !== undefined) return known
  const k = split(size)
  const root = nodeHash(uniformRoot(k), uniformRoot(size - k))
  roots.set(size, root)
  return root
}

/** RFC 9162 consistency path from the uniform tree of `oldSize` > 0 to that of `size`. */
export function uniformConsistencyPath(oldSize: number, size: number, known = true): Uint8Array[] {
  if (oldSize === size) return known ? [] : [uniformRoot(size)]
  const k = split(size)
  return oldSize <= k
    ? [...uniformConsistencyPath(oldSize, k, known), uniformRoot(size - k)]
    : [...uniformConsistencyPath(oldSize - k, size - k, false), uniformRoot(k)]
}

/** What checking that path takes: its nodes, and the hashes computed for the old and the new root together. */
export function consistencyShape(oldSize: number, size: number): { nodes: number; hashes: number } {
  let nodes = 0
  let hashes = 0
  let known = true
  let [m, n] = [oldSize, size]
  while (m !== n) {
    const k = split(n)
    nodes += 1
    if (m <= k) {
      hashes += 1
      n = k
    } else {
      hashes += 2
      known = false
      m -= k
      n -= k
    }
  }
  return { nodes: known ? nodes : nodes + 1, hashes }
}
