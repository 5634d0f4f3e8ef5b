/**
 * Inclusion and consistency in an RFC 9162 Merkle tree. The functions that return a boolean never throw, and return false for
 * anything malformed: all their input is hostile.
 */
import { equalBytes } from './bytes.ts'
import { EMPTY_ROOT, type Hash, isHash, nodeHash } from './hash.ts'

/** A tree size or leaf index: a safe non-negative integer, or a bigint, below 2^64. */
export type Size = number | bigint

const UINT64_MAX = 2n ** 64n - 1n

/** The size as a bigint, or null if it is not an unsigned 64-bit integer exactly represented. */
export function toUint64(value: unknown): bigint | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : null
  return typeof value === 'bigint' && value >= 0n && value <= UINT64_MAX ? value : null
}

function isPath(value: unknown): value is readonly Hash[] {
  // A tree of 2^64 leaves is 64 nodes high; a consistency path has at most one node more.
  return Array.isArray(value) && value.length <= 65 && value.every(isHash)
}

/**
 * The root that an inclusion path leads to, or null if the path cannot belong to that index and size (RFC 9162
 * §2.1.3.2). `index` < `size`; the path runs from the leaf's sibling up.
 */
export function rootFromInclusion(leaf: Uint8Array, index: Size, size: Size, path: readonly Uint8Array[]): Hash | null {
  return orOnThrow(null, () => foldInclusion(leaf, index, size, path))
}

/** Arrays with holes, getters that throw and revoked proxies are malformed arguments too. */
function orOnThrow<T>(otherwise: T, answer: () => T): T {
  try {
    return answer()
  } catch {
    return otherwise
  }
}

function foldInclusion(
  leaf: Uint8Array,
  index: Size,
  size: Size,
  path: readonly Uint8Array[],
  hashPair: typeof nodeHash = nodeHash,
): Hash | null {
  let fn = toUint64(index)
  const n = toUint64(size)
  if (fn === null || n === null || fn >= n || !isHash(leaf) || !isPath(path)) return null
  let sn = n - 1n
  let root: Hash = leaf
  for (const sibling of path) {
    if (sn === 0n) return null
    if ((fn & 1n) === 1n || fn === sn) {
      root = hashPair(sibling, root)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      root = hashPair(root, sibling)
    }
    fn >>= 1n
    sn >>= 1n
  }
  return sn === 0n ? root : null
}

/**
 * Whether `leafHash` is the leaf at `index` (from 0) of the tree of `size` leaves with this `root` (RFC 9162 §2.1.3.2). False on
 * anything malformed; it never throws.
 * @param claim its `path` runs from the leaf's sibling up; hashes are 32 bytes
 * @param hashPair a platform's own `nodeHash`, for many paths
 * @example
 * verifyInclusion({ leafHash: leafHash(utf8(header)), index, size, path, root }) // is this header in the log?
 */
export function verifyInclusion(
  claim: {
    leafHash: Uint8Array
    index: Size
    size: Size
    path: readonly Uint8Array[]
    root: Uint8Array
  },
  hashPair: typeof nodeHash = nodeHash,
): boolean {
  return orOnThrow(false, () => {
    const root = foldInclusion(claim.leafHash, claim.index, claim.size, claim.path, hashPair)
    return root !== null && isHash(claim.root) && equalBytes(root, claim.root)
  })
}

/**
 * Root over the leaves before `index`, taken from that leaf's inclusion path in a tree of `size`: the siblings on the left are
 * perfect subtrees that together hold all leaves before it. Null if the path cannot belong to that index and size. The root is
 * that of the tree against which the path was verified.
 * @param leaf if given, the root includes this leaf too
 */
export function leftOf(index: Size, size: Size, path: readonly Hash[], leaf?: Hash): Hash | null {
  return orOnThrow(null, () => {
    let fn = toUint64(index)
    const n = toUint64(size)
    if (fn === null || n === null || fn >= n || !isPath(path)) return null
    let sn = n - 1n
    const left: Hash[] = []
    for (const sibling of path) {
      if (sn === 0n) return null
      if ((fn & 1n) === 1n || fn === sn) {
        left.unshift(sibling)
        while ((fn & 1n) === 0n && fn !== 0n) {
          fn >>= 1n
          sn >>= 1n
        }
      }
      fn >>= 1n
      sn >>= 1n
    }
    return sn === 0n ? foldRight(leaf ? [...left, leaf] : left) : null
  })
}

/**
 * Whether the tree of `newSize` leaves extends the tree of `oldSize` leaves (RFC 9162 §2.1.4.2). False on anything malformed; it
 * never throws.
 * Equal sizes need equal roots and an empty path; from size 0, `oldRoot` must be the empty root and the path empty.
 */
export function verifyConsistency(claim: ConsistencyClaim): boolean {
  return orOnThrow(false, () => isConsistent(claim))
}

/** The claim that one tree extends another. `path` is an RFC 9162 consistency path; hashes are 32 bytes. */
export type ConsistencyClaim = {
  oldSize: Size
  newSize: Size
  oldRoot: Uint8Array
  newRoot: Uint8Array
  path: readonly Uint8Array[]
}

function isConsistent(claim: ConsistencyClaim): boolean {
  const { oldRoot, newRoot, path } = claim
  const oldSize = toUint64(claim.oldSize)
  const newSize = toUint64(claim.newSize)
  if (oldSize === null || newSize === null || oldSize > newSize) return false
  if (!isHash(oldRoot) || !isHash(newRoot) || !isPath(path)) return false
  if (newSize === 0n) return path.length === 0 && equalBytes(oldRoot, EMPTY_ROOT) && equalBytes(newRoot, EMPTY_ROOT)
  if (oldSize === newSize) return path.length === 0 && equalBytes(oldRoot, newRoot)
  if (oldSize === 0n) return path.length === 0 && equalBytes(oldRoot, EMPTY_ROOT)

  let fn = oldSize - 1n
  let sn = newSize - 1n
  while ((fn & 1n) === 1n) {
    fn >>= 1n
    sn >>= 1n
  }
  // An old size that is a power of two is itself a node of the new tree, and the path leaves it out.
  const [seed, ...rest] = fn === 0n ? [oldRoot, ...path] : path
  if (seed === undefined) return false
  let oldFold: Hash = seed
  let newFold: Hash = seed
  for (const node of rest) {
    if (sn === 0n) return false
    if ((fn & 1n) === 1n || fn === sn) {
      oldFold = nodeHash(node, oldFold)
      newFold = nodeHash(node, newFold)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      newFold = nodeHash(newFold, node)
    }
    fn >>= 1n
    sn >>= 1n
  }
  return sn === 0n && equalBytes(oldFold, oldRoot) && equalBytes(newFold, newRoot)
}

/**
 * The Merkle root over leaf hashes in order (RFC 9162 §2.1.1); without leaves, the empty root. O(n) time, O(log n) memory.
 * @param hashPair a platform's own `nodeHash`, for many leaves
 */
export function treeRoot(leaves: Iterable<Hash>, hashPair: typeof nodeHash = nodeHash): Hash {
  // A stack of perfect subtrees, largest first, as in a binary counter.
  const stack: { height: number; hash: Hash }[] = []
  for (const leaf of leaves) {
    let top = { height: 0, hash: leaf }
    while (stack.length > 0 && stack.at(-1)!.height === top.height) {
      top = { height: top.height + 1, hash: hashPair(stack.pop()!.hash, top.hash) }
    }
    stack.push(top)
  }
  return foldRight(
    stack.map((subtree) => subtree.hash),
    hashPair,
  )
}

/** Root of a tree from its perfect subtrees, left to right, largest first. */
export function foldRight(subtrees: readonly Hash[], hashPair: typeof nodeHash = nodeHash): Hash {
  if (subtrees.length === 0) return EMPTY_ROOT
  return subtrees.reduceRight((right, left) => hashPair(left, right))
}
