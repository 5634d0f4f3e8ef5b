/**
 * RFC 9162 section 2.1, written down as the RFC defines it: recursive, slow, and sharing no code with what it is held against.
 * A tree is given by its leaf hashes, each 32 bytes.
 */
import { hash } from 'node:crypto'

const sha256 = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(hash('sha256', Buffer.concat(parts), 'buffer'))

/** Largest power of two smaller than n, for n > 1. */
const split = (n: number): number => {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** SHA-256(0x00 || entry). */
export const leafHash = (entry: Uint8Array): Uint8Array => sha256(Uint8Array.of(0), entry)

/** SHA-256(0x01 || left || right). */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array => sha256(Uint8Array.of(1), left, right)

/** Merkle Tree Hash, section 2.1.1. The root of no leaves is SHA-256 of nothing. */
export function treeRoot(leafHashes: readonly Uint8Array[]): Uint8Array {
  const n = leafHashes.length
  if (n === 0) return sha256()
  if (n === 1) return leafHashes[0]!
  const k = split(n)
  return nodeHash(treeRoot(leafHashes.slice(0, k)), treeRoot(leafHashes.slice(k)))
}

/** PATH(m, D_n), section 2.1.3.1: siblings from the leaf to the root. Needs 0 <= index < leafHashes.length. */
export function inclusionPath(leafHashes: readonly Uint8Array[], index: number): Uint8Array[] {
  const n = leafHashes.length
  if (!(index >= 0 && index < n)) throw new RangeError(`no leaf ${index} among ${n}`)
  if (n === 1) return []
  const k = split(n)
  const left = leafHashes.slice(0, k)
  const right = leafHashes.slice(k)
  return index < k
    ? [...inclusionPath(left, index), treeRoot(right)]
    : [...inclusionPath(right, index - k), treeRoot(left)]
}

/** PROOF(m, D_n), section 2.1.4.1, from `oldSize` leaves to all of them. Empty for 0 and for equal sizes. */
export function consistencyPath(leafHashes: readonly Uint8Array[], oldSize: number): Uint8Array[] {
  if (!(oldSize >= 0 && oldSize <= leafHashes.length)) throw new RangeError(`${oldSize} exceeds ${leafHashes.length}`)
  return oldSize === 0 ? [] : subProof(leafHashes, oldSize, true)
}

/** SUBPROOF(m, D_n, b), section 2.1.4.1. `known`: the verifier already has the root of these m leaves. */
function subProof(leafHashes: readonly Uint8Array[], m: number, known: boolean): Uint8Array[] {
  const n = leafHashes.length
  if (m === n) return known ? [] : [treeRoot(leafHashes)]
  const k = split(n)
  const left = leafHashes.slice(0, k)
  const right = leafHashes.slice(k)
  return m <= k ? [...subProof(left, m, known), treeRoot(right)] : [...subProof(right, m - k, false), treeRoot(left)]
}
