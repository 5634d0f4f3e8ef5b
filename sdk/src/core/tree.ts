/**
 * Proofs from a stored log: plan which nodes to read, read them once, compute. The log stores only the hashes of perfect
 * subtrees, which never change once written; everything else is folded from them.
 *
 * Nodes are named as in C2SP tlog-tiles: level 0 are the leaves, node `index` of `level` covers the leaves
 * [index·2^level, (index+1)·2^level). Sizes and indices here are safe integers.
 */
import { InvariantError } from './errors.ts'
import type { Hash, nodeHash } from './hash.ts'
import { foldRight } from './merkle.ts'

/** A perfect subtree: the leaves from `index`·2^`level` to before (`index` + 1)·2^`level`; at level 0 a leaf. */
export type Node = { readonly level: number; readonly index: number }

/**
 * What to read from a stored tree and how to compute the answer: `nodes`, and `fold`, which takes their hashes in the same order.
 * @example
 * const { nodes, fold } = planInclusion(index, size)
 * const path = fold(await Promise.all(nodes.map(readHash)))
 */
export type Plan<T> = {
  readonly nodes: readonly Node[]
  /**
   * @param hashPair hashes two nodes; default: the portable `nodeHash`
   * @throws InvariantError if there are not as many hashes as nodes
   */
  readonly fold: (hashes: readonly Hash[], hashPair?: typeof nodeHash) => T
}

/** The perfect subtrees that make up the leaves [start, end) of a tree, left to right; `start` is aligned to them. */
function subtrees(start: number, end: number): Node[] {
  const nodes: Node[] = []
  let at = start
  while (at < end) {
    let width = 1
    let level = 0
    while (at % (width * 2) === 0 && at + width * 2 <= end) {
      width *= 2
      level += 1
    }
    nodes.push({ level, index: at / width })
    at += width
  }
  return nodes
}

/** Largest power of two strictly below n; n ≥ 2. */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** If a store has lost a node, this must fail and not return a wrong proof. */
function checkCount(hashes: readonly Hash[], planned: number): void {
  if (hashes.length !== planned) throw new InvariantError(`${hashes.length} nodes read where ${planned} were planned`)
}

/** A plan whose answer is a list of hashes, each folded from a run of perfect subtrees. */
function planRuns(runs: readonly Node[][]): Plan<Hash[]> {
  return {
    nodes: runs.flat(),
    fold: (hashes, hashPair) => {
      checkCount(hashes, runs.flat().length)
      let at = 0
      return runs.map((run) => {
        const part = hashes.slice(at, at + run.length)
        at += run.length
        return foldRight(part, hashPair)
      })
    },
  }
}

/** A plan for the root of the first `size` leaves. It reads at most log₂ `size` nodes. */
export function planRoot(size: number): Plan<Hash> {
  const nodes = subtrees(0, size)
  return {
    nodes,
    fold: (hashes, hashPair) => {
      checkCount(hashes, nodes.length)
      return foldRight(hashes, hashPair)
    },
  }
}

/**
 * A plan for the inclusion path of leaf `index` (from 0) in the tree of `size` leaves (RFC 9162 §2.1.3.1), the leaf's sibling
 * first.
 * @throws InvariantError if the tree has no such leaf
 */
export function planInclusion(index: number, size: number): Plan<Hash[]> {
  if (index < 0 || index >= size) throw new InvariantError(`leaf ${index} is not in a tree of ${size}`)
  const runs: Node[][] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + split(end - start)
    if (index < middle) {
      runs.push(subtrees(middle, end))
      end = middle
    } else {
      runs.push(subtrees(start, middle))
      start = middle
    }
  }
  return planRuns(runs.reverse())
}

/**
 * A plan for the consistency path from `oldSize` to `newSize` leaves (RFC 9162 §2.1.4.1); empty from 0 and to the same size.
 * @throws InvariantError if `oldSize` is not between 0 and `newSize`
 */
export function planConsistency(oldSize: number, newSize: number): Plan<Hash[]> {
  if (oldSize < 0 || oldSize > newSize)
    throw new InvariantError(`a log of ${newSize} does not extend one of ${oldSize}`)
  if (oldSize === 0 || oldSize === newSize) return planRuns([])
  const runs: Node[][] = []
  let start = 0
  let end = newSize
  // Walk down to the subtree that ends exactly where the old tree ended.
  while (end !== oldSize) {
    const middle = start + split(end - start)
    if (oldSize <= middle) {
      runs.push(subtrees(middle, end))
      end = middle
    } else {
      runs.push(subtrees(start, middle))
      start = middle
    }
  }
  // If that subtree is the whole old tree, the verifier already has its root.
  if (start !== 0) runs.push(subtrees(start, end))
  return planRuns(runs.reverse())
}

const TILE_HEIGHT = 8
/** Hashes in a full tile, which is 8 levels high (c2sp.org/tlog-tiles). */
export const TILE_WIDTH = 256

/**
 * Where a node is stored: the tile (level, index), and in it the `width` hashes from `start` on that fold to the node. A node on
 * a tile boundary is one hash; the nodes between are folded from up to 128.
 */
export function tileOf(node: Node): { level: number; index: number; start: number; width: number } {
  const level = Math.floor(node.level / TILE_HEIGHT)
  const width = 2 ** (node.level % TILE_HEIGHT)
  const first = node.index * width
  return { level, index: Math.floor(first / TILE_WIDTH), start: first % TILE_WIDTH, width }
}
