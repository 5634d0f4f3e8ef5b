// Hashing, inclusion and consistency. Proofs for trees too large to build are folded from made-up siblings by the RFC's own
// recursion, which shares nothing with the loops that verify them.
import {
  asHash,
  EMPTY_ROOT,
  type Hash,
  leafHash,
  nodeHash,
  planConsistency,
  planInclusion,
  planRoot,
  printHash,
  utf8,
} from '@killick/sdk/core'
import { seed } from './keys.ts'
import { run } from './world.ts'

const LEAVES = Array.from({ length: 40 }, (_, i) => leafHash(utf8(`leaf ${i}`)))
const rootOf = (size: number) => run(planRoot(size), LEAVES)
const made = (label: string, count: number) => Array.from({ length: count }, (_, i) => asHash(seed(`${label} ${i}`)))
const flipped = (hash: Hash) => asHash(Uint8Array.from(hash, (byte, i) => (i === 31 ? byte ^ 1 : byte)))

/** Largest power of two below n. */
function split(n: bigint): bigint {
  let k = 1n
  while (k * 2n < n) k *= 2n
  return k
}

/** Length of PATH(m, D_n), RFC 9162 §2.1.3.1. */
function depth(m: bigint, n: bigint): number {
  if (n === 1n) return 0
  const k = split(n)
  return 1 + (m < k ? depth(m, k) : depth(m - k, n - k))
}

function foldInclusion(leaf: Hash, m: bigint, n: bigint, path: readonly Hash[]): Hash {
  if (n === 1n) return leaf
  const k = split(n)
  const [rest, top] = [path.slice(0, -1), path.at(-1)!]
  return m < k ? nodeHash(foldInclusion(leaf, m, k, rest), top) : nodeHash(top, foldInclusion(leaf, m - k, n - k, rest))
}

/** Length of SUBPROOF(m, D_n, known), §2.1.4.1. */
function proofLength(m: bigint, n: bigint, known: boolean): number {
  if (m === n) return known ? 0 : 1
  const k = split(n)
  return 1 + (m <= k ? proofLength(m, k, known) : proofLength(m - k, n - k, false))
}

function foldConsistency(m: bigint, n: bigint, known: Hash | null, path: readonly Hash[]): { old: Hash; new: Hash } {
  if (m === n) {
    const root = known ?? path[0]!
    return { old: root, new: root }
  }
  const k = split(n)
  const [rest, top] = [path.slice(0, -1), path.at(-1)!]
  if (m <= k) {
    const left = foldConsistency(m, k, known, rest)
    return { old: left.old, new: nodeHash(left.new, top) }
  }
  const right = foldConsistency(m - k, n - k, null, rest)
  return { old: nodeHash(top, right.old), new: nodeHash(top, right.new) }
}

type Inclusion = { leafHash: Hash; index: bigint; size: bigint; path: readonly Hash[]; root: Hash }
type Consistency = { oldSize: bigint; newSize: bigint; oldRoot: Hash; newRoot: Hash; path: readonly Hash[] }

const printed = (claim: Record<string, bigint | Hash | readonly Hash[]>) =>
  Object.fromEntries(
    Object.entries(claim).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? printHash(value) : value.map(printHash),
    ]),
  )

function inclusionOf(index: number, size: number): Inclusion {
  const path = run(planInclusion(index, size), LEAVES)
  return { leafHash: LEAVES[index]!, index: BigInt(index), size: BigInt(size), path, root: rootOf(size) }
}

function largeInclusion(index: bigint, size: bigint): Inclusion {
  const path = made(`sibling of ${index} in ${size}`, depth(index, size))
  const leaf = leafHash(utf8('a leaf far out'))
  return { leafHash: leaf, index, size, path, root: foldInclusion(leaf, index, size, path) }
}

function inclusionSlips(claim: Inclusion): [string, Inclusion][] {
  const { leafHash: leaf, index, size, path, root } = claim
  return [
    ['index one less', { ...claim, index: index - 1n }],
    ['index one more', { ...claim, index: index + 1n }],
    ['index plus 2^64', { ...claim, index: index + 2n ** 64n }],
    ['index is the size', { ...claim, index: size }],
    ['size doubled', { ...claim, size: size * 2n }],
    ['size 0', { ...claim, size: 0n }],
    ['size negative', { ...claim, size: -size }],
    ['size plus 2^64', { ...claim, size: size + 2n ** 64n }],
    ['another leaf', { ...claim, leafHash: flipped(leaf) }],
    ['another root', { ...claim, root: flipped(root) }],
    ['path without its last hash', { ...claim, path: path.slice(0, -1) }],
    ['path without its first hash', { ...claim, path: path.slice(1) }],
    ['path with one hash more at the end', { ...claim, path: [...path, root] }],
    ['path with one hash more at the start', { ...claim, path: [EMPTY_ROOT, ...path] }],
    ['path in reverse', { ...claim, path: path.toReversed() }],
    ['first hash of the path changed', { ...claim, path: [flipped(path[0]!), ...path.slice(1)] }],
    ['last hash of the path changed', { ...claim, path: [...path.slice(0, -1), flipped(path.at(-1)!)] }],
    ['an inner node as the leaf', { ...claim, leafHash: nodeHash(leaf, path[0]!), path: path.slice(1) }],
    ['a leaf hash of 31 bytes', { ...claim, leafHash: leaf.slice(0, 31) as Hash }],
    ['a root of 33 bytes', { ...claim, root: Uint8Array.of(...root, 0) as Hash }],
  ]
}

export function inclusion() {
  const good: [string, Inclusion][] = [
    ...[1, 2, 3, 5, 8, 21].flatMap((size) =>
      [...new Set([0, size >> 1, size - 1])].map((i): [string, Inclusion] => [
        `leaf ${i} of ${size}`,
        inclusionOf(i, size),
      ]),
    ),
    [
      'a size of the same shape: (size, root) must come as one from whoever vouches for both',
      { ...inclusionOf(10, 21), size: 20n },
    ],
    ['an index beyond 2^53', largeInclusion(2n ** 53n + 1n, 2n ** 53n + 3n)],
    ['the last leaf of the largest tree', largeInclusion(2n ** 64n - 2n, 2n ** 64n - 1n)],
    ['a lonely leaf to the right of 2^63', largeInclusion(2n ** 63n, 2n ** 63n + 1n)],
  ]
  const bad: [string, Inclusion][] = [
    ...inclusionSlips(inclusionOf(10, 21)),
    [
      'beyond 2^53: the index as a double would round it',
      { ...largeInclusion(2n ** 53n + 1n, 2n ** 53n + 3n), index: 2n ** 53n },
    ],
    [
      'beyond 2^53: the size as a double would round it',
      { ...largeInclusion(2n ** 53n + 2n, 2n ** 53n + 3n), size: 2n ** 53n + 4n },
    ],
    ['the largest tree: the leaf before', { ...largeInclusion(2n ** 64n - 2n, 2n ** 64n - 1n), index: 2n ** 64n - 3n }],
    ['the only leaf with a path', { ...inclusionOf(0, 1), path: [EMPTY_ROOT] }],
    [
      '[a, b, c] passed off as [a, b, c, c]',
      { ...inclusionOf(2, 3), index: 3n, size: 4n, path: [LEAVES[2]!, ...inclusionOf(2, 3).path] },
    ],
  ]
  return [
    ...good.map(([description, claim]) => ({ description, valid: true, ...printed(claim) })),
    ...bad.map(([description, claim]) => ({ description, valid: false, ...printed(claim) })),
  ]
}

function consistencyOf(oldSize: number, newSize: number): Consistency {
  const path = run(planConsistency(oldSize, newSize), LEAVES)
  return {
    oldSize: BigInt(oldSize),
    newSize: BigInt(newSize),
    oldRoot: rootOf(oldSize),
    newRoot: rootOf(newSize),
    path,
  }
}

function largeConsistency(oldSize: bigint, newSize: bigint): Consistency {
  const known = (oldSize & (oldSize - 1n)) === 0n ? asHash(seed(`root of ${oldSize}`)) : null
  const path = made(`node between ${oldSize} and ${newSize}`, proofLength(oldSize, newSize, true))
  const fold = foldConsistency(oldSize, newSize, known, path)
  return { oldSize, newSize, oldRoot: fold.old, newRoot: fold.new, path }
}

function consistencySlips(claim: Consistency): [string, Consistency][] {
  const { oldSize, newSize, oldRoot, newRoot, path } = claim
  return [
    ['old size one less', { ...claim, oldSize: oldSize - 1n }],
    ['old size one more', { ...claim, oldSize: oldSize + 1n }],
    ['old size 0', { ...claim, oldSize: 0n }],
    ['old size negative', { ...claim, oldSize: -oldSize }],
    ['new size doubled', { ...claim, newSize: newSize * 2n }],
    ['new size plus 2^64', { ...claim, newSize: newSize + 2n ** 64n }],
    ['sizes swapped', { ...claim, oldSize: newSize, newSize: oldSize, oldRoot: newRoot, newRoot: oldRoot }],
    ['another old root', { ...claim, oldRoot: flipped(oldRoot) }],
    ['another new root', { ...claim, newRoot: flipped(newRoot) }],
    ['path without its last hash', { ...claim, path: path.slice(0, -1) }],
    ['path without its first hash', { ...claim, path: path.slice(1) }],
    ['path with one hash more at the end', { ...claim, path: [...path, newRoot] }],
    ['path with one hash more at the start', { ...claim, path: [oldRoot, ...path] }],
    ['path empty', { ...claim, path: [] }],
    ['path in reverse', { ...claim, path: path.toReversed() }],
    ['first hash of the path changed', { ...claim, path: [flipped(path[0]!), ...path.slice(1)] }],
    ['last hash of the path changed', { ...claim, path: [...path.slice(0, -1), flipped(path.at(-1)!)] }],
    ['an old root of 31 bytes', { ...claim, oldRoot: oldRoot.slice(0, 31) as Hash }],
  ]
}

export function consistency() {
  const empty = { oldSize: 0n, newSize: 0n, oldRoot: EMPTY_ROOT, newRoot: EMPTY_ROOT, path: [] }
  const pairs = [
    [1, 1],
    [1, 2],
    [2, 3],
    [3, 4],
    [3, 7],
    [4, 7],
    [6, 8],
    [7, 8],
    [8, 21],
    [12, 21],
    [21, 40],
  ] as const
  const good: [string, Consistency][] = [
    ['empty to empty', empty],
    ['empty to 5', consistencyOf(0, 5)],
    ...pairs.map(([m, n]): [string, Consistency] => [`${m} to ${n}`, consistencyOf(m, n)]),
    ['beyond 2^53', largeConsistency(2n ** 53n + 1n, 2n ** 53n + 3n)],
    ['from 2^63 to the largest tree', largeConsistency(2n ** 63n, 2n ** 64n - 1n)],
    ['the two largest trees', largeConsistency(2n ** 64n - 2n, 2n ** 64n - 1n)],
  ]
  const bad: [string, Consistency][] = [
    ...consistencySlips(consistencyOf(12, 21)),
    [
      'from a power of two: its root leads the path as well',
      { ...consistencyOf(8, 21), path: [rootOf(8), ...consistencyOf(8, 21).path] },
    ],
    ['from a power of two: another old root', { ...consistencyOf(8, 21), oldRoot: flipped(rootOf(8)) }],
    ['equal sizes, other roots', { ...consistencyOf(7, 7), newRoot: flipped(rootOf(7)) }],
    ['equal sizes with a path', { ...consistencyOf(7, 7), path: [rootOf(7)] }],
    ['from empty with another root than the empty one', { ...consistencyOf(0, 5), oldRoot: rootOf(1) }],
    ['from empty with a path', { ...consistencyOf(0, 5), path: [rootOf(5)] }],
    ['empty to empty with another root', { ...empty, oldRoot: rootOf(1), newRoot: rootOf(1) }],
    [
      'beyond 2^53: the old size as a double would round it',
      { ...largeConsistency(2n ** 53n + 1n, 2n ** 53n + 3n), oldSize: 2n ** 53n },
    ],
  ]
  return [
    ...good.map(([description, claim]) => ({ description, valid: true, ...printed(claim) })),
    ...bad.map(([description, claim]) => ({ description, valid: false, ...printed(claim) })),
  ]
}

export function hashing() {
  const entries = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
  const hashes = entries.map((hex) => leafHash(Buffer.from(hex, 'hex')))
  return {
    description:
      'SHA-256 in RFC 9162 form. Entries are hex; roots[n] is the root of the first n entries, base64url like every hash.',
    entries,
    leafHashes: hashes.map(printHash),
    node: {
      left: printHash(hashes[0]!),
      right: printHash(hashes[1]!),
      hash: printHash(nodeHash(hashes[0]!, hashes[1]!)),
    },
    roots: entries.concat('').map((_, n) => printHash(run(planRoot(n), hashes))),
  }
}
