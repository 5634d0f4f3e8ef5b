import { equalBytes, type Hash, nodePrimitives } from '@killick/sdk/core'

/** Is `leafHash` the leaf at `index` of the tree of `size` leaves with this `root`? (RFC 9162 §2.1.3.2), as fast as Node has it. */
export function isInclusion(claim: {
  leafHash: Hash
  index: number
  size: number
  path: readonly Hash[]
  root: Hash
}): boolean {
  const { nodeHash } = nodePrimitives
  let node = claim.leafHash
  let at = claim.index
  let last = claim.size - 1
  for (const sibling of claim.path) {
    if (last === 0) return false
    // An index of more than 32 bits is not for bit operations.
    if (at % 2 === 1 || at === last) {
      node = nodeHash(sibling, node)
      for (; at % 2 === 0 && at !== 0; at /= 2) last = Math.floor(last / 2)
    } else {
      node = nodeHash(node, sibling)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && equalBytes(node, claim.root)
}
