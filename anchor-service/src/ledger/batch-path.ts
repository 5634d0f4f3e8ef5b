import { type Hash, nodePrimitives, planInclusion, treeRoot } from '@killick/sdk'

/** Inclusion path of an event in its batch, from the leaf hashes of all its events. */
export function batchPath(leaves: readonly Hash[], index: number): Hash[] {
  const plan = planInclusion(index, leaves.length)
  return plan.fold(
    plan.nodes.map((node) => {
      const width = 2 ** node.level
      return treeRoot(leaves.slice(node.index * width, (node.index + 1) * width), nodePrimitives.nodeHash)
    }),
  )
}
