import { KillickError } from '../core/errors.ts'
import type { Anchor, Proof } from '../core/proof.ts'
import { ANCHOR_LOG_CODE_HASH, codeHash, decodeBool, encodeIsAnchored } from './contract.ts'
import { openRpc, type Rpc, type RpcOptions } from './rpc.ts'
import { type AnchorFact, weightiest } from './trust.ts'

/**
 * Asks nodes about every anchor of a proof. The contract's answer is one `eth_call`; around it stand the chain id, the
 * contract's code, the named block, and the same call at the chain's finalized block. Where several of the nodes
 * are on an anchor's chain all are asked, and one that denies outweighs those that confirm.
 *
 * Never rejects for what a node does: a node that cannot answer yields a fact that says so.
 * @param urls JSON-RPC endpoints, one or more per chain; which chain they are on is asked, not assumed
 * @throws KillickError option_invalid, when a URL is malformed
 */
export async function readAnchors(
  proof: Pick<Proof, 'anchors'>,
  urls: readonly string[],
  options: RpcOptions = {},
): Promise<AnchorFact[]> {
  const nodes = await Promise.all(
    urls
      .map((url) => openRpc(url, options))
      .map(async (rpc) => ({ rpc, chainId: await quantity(rpc, 'eth_chainId', []).catch(reasonOf) })),
  )
  return Promise.all(proof.anchors.map((anchor) => readAnchor(anchor, nodes)))
}

type KnownNode = { readonly rpc: Rpc; readonly chainId: number | string }

async function readAnchor(anchor: Anchor, nodes: readonly KnownNode[]): Promise<AnchorFact> {
  const { chainId, contract, logId, size, root, time, transaction, block } = anchor
  const about = { chainId, contract, logId, size, root, time, transaction, block }
  const facts = await Promise.all(
    nodes
      .filter((node) => node.chainId === chainId)
      .map(({ rpc }) => askNode(rpc, anchor).catch((error) => ({ node: rpc.node, unreadable: reasonOf(error) }))),
  )
  const silent = nodes.filter((node) => typeof node.chainId === 'string')
  const answer = weightiest(facts) ??
    (silent[0] && { node: silent[0].rpc.node, unreadable: String(silent[0].chainId) }) ?? {
      node: 'no node',
      unreadable: `none of the nodes asked is on chain ${chainId}`,
    }
  return { ...about, ...answer }
}

async function askNode(rpc: Rpc, anchor: Anchor) {
  const call = { to: anchor.contract, data: encodeIsAnchored(anchor.logId, anchor.size, anchor.root, anchor.time) }
  const isAnchored = async (tag: string) => decodeBool(await rpc.call('eth_call', [call, tag]))
  const [anchored, code, head, block, finalized] = await Promise.all([
    isAnchored('latest'),
    rpc.call('eth_getCode', [anchor.contract, 'latest']),
    quantity(rpc, 'eth_blockNumber', []),
    // Nodes that prune history answer null, or refuse.
    rpc.call('eth_getBlockByNumber', [`0x${anchor.block.toString(16)}`, false]).catch(nullIfRefused),
    // Chains without finality of their own do not know the tag.
    isAnchored('finalized').catch(nullIfRefused),
  ])
  const located = anchor.block > head ? false : block === null ? null : isBlockOf(block, anchor)
  return {
    node: rpc.node,
    anchored,
    genuineCode: codeHash(code) === ANCHOR_LOG_CODE_HASH,
    located,
    confirmations: located === true ? head - anchor.block + 1 : 0,
    finalized: finalized === null ? null : finalized && anchored,
  }
}

function isBlockOf(block: unknown, anchor: Anchor): boolean {
  const { timestamp, transactions } = block as { timestamp?: unknown; transactions?: unknown }
  return (
    parseQuantity(timestamp) === anchor.time &&
    Array.isArray(transactions) &&
    transactions.some((hash) => hash === anchor.transaction)
  )
}

async function quantity(rpc: Rpc, method: string, params: readonly unknown[]): Promise<number> {
  const number = parseQuantity(await rpc.call(method, params))
  if (number === null) throw new KillickError('unreachable', `The node at ${rpc.node} gave no number for ${method}`)
  return number
}

/** A number as JSON-RPC writes it, or null. */
function parseQuantity(value: unknown): number | null {
  const number = typeof value === 'string' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN
  return Number.isSafeInteger(number) ? number : null
}

/** A node that was cut off in the middle has not said no. */
function nullIfRefused(error: unknown): null {
  if (error instanceof KillickError && error.details.answered === true) return null
  throw error
}

function reasonOf(error: unknown): string {
  if (error instanceof KillickError) return error.message
  throw error
}
