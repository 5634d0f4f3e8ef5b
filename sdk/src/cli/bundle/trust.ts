// What a command checks bundles with: the pins it was given, and the nodes it asks.
import { chainOf } from '../../audit/chain.ts'
import type { BundleTrust } from '../../bundle/index.ts'
import { readAnchors } from '../../verify/read-anchors.ts'
import { readLogHeads } from '../../verify/read-log-heads.ts'
import { openNodes } from '../../verify/rpc.ts'
import { ANY_CHAIN, type PinSet } from '../pins.ts'

/** Without a chain id a pinned contract is on the chain of the first node that answers. */
export async function bundleTrust({
  logKeys,
  sourceKeys,
  logs,
  unplaced,
  rpcs,
  confirmations,
}: PinSet): Promise<BundleTrust> {
  const nodes = await openNodes(rpcs)
  const placed = unplaced ? [{ ...unplaced, chainId: (await chainOf(rpcs)) ?? ANY_CHAIN }] : logs
  return {
    ...{ logKeys, sourceKeys, logs: placed },
    ...(confirmations !== undefined && { confirmations }),
    facts: (anchors) => (rpcs.length > 0 ? readAnchors({ anchors }, nodes) : Promise.resolve([])),
    heads: (logs) => (rpcs.length > 0 ? readLogHeads(logs, nodes) : Promise.resolve([])),
  }
}
