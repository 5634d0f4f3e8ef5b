// The Merkle tree of a batch that the ledger makes itself, and a second opinion on all others in the tests: merkletreejs,
// configured for RFC 9162 §2.1. Leaves arrive hashed, inner nodes are H(0x01 ‖ left ‖ right), a last node without a sibling moves up
// unhashed, nothing is sorted, duplicated or padded. What has to be fast goes through batch-tree.ts.
import { hash } from 'node:crypto'
import { asHash, EMPTY_ROOT, type Hash } from '@killick/sdk/core'
import { MerkleTree } from 'merkletreejs'

const NODE_PREFIX = Buffer.of(0x01)
const options = { concatenator: (pair: Buffer[]) => Buffer.concat([NODE_PREFIX, ...pair]) }
const sha256 = (value: unknown): Buffer => hash('sha256', value as Buffer, 'buffer')

// merkletreejs takes Buffers as they are; it would try to read anything else as hex or as a number.
const toBuffer = (leaf: Uint8Array): Buffer => Buffer.from(leaf.buffer, leaf.byteOffset, leaf.byteLength)

// Nodes come from Buffer's shared pool; a hash that outlives its tree must not keep 8 KiB of it alive.
const toHash = (node: Buffer): Hash => asHash(Uint8Array.from(node))

const build = (leafHashes: readonly Uint8Array[]) => new MerkleTree(leafHashes.map(toBuffer), sha256, options)

/** Root over leaf hashes (32 bytes each, in order); the root of none is SHA-256 of nothing. */
export function batchRoot(leafHashes: readonly Uint8Array[]): Hash {
  return leafHashes.length === 0 ? EMPTY_ROOT : toHash(build(leafHashes).getRoot())
}

/** RFC 9162 inclusion path of leaf `index`, from the leaf's sibling to the root's child. */
export function batchPath(leafHashes: readonly Uint8Array[], index: number): Hash[] {
  const leaf = leafHashes[index]
  if (leaf === undefined) throw new RangeError(`There is no leaf ${index} among ${leafHashes.length}`)
  // The index distinguishes equal leaves. Sides follow from index and size, so the path needs only the hashes.
  return build(leafHashes)
    .getProof(toBuffer(leaf), index)
    .map((step) => toHash(step.data))
}
