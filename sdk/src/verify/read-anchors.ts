import { isObject } from '../core/json.ts'
import type { Anchor, Proof } from '../core/proof.ts'
import { earlierOf } from './checks.ts'
import { ANCHOR_LOG_CODE_HASH, codeHash, decodeBool, encodeIsAnchored } from './contract.ts'
import {
  type ChainNode,
  faultOf,
  noAnswer,
  openNodes,
  parseQuantity,
  type Rpc,
  type RpcOptions,
  readQuantity,
  reasonOf,
} from './rpc.ts'
import { predecessorOf } from './succession.ts'
import { type AnchorFact, type NodeAnswer, weightiest } from './trust.ts'

/**
 * Asks nodes about every anchor of a proof, and about those before them. The contract's answer is one `eth_call`; around it
 * stand the chain id, the contract's code, the named block, and the same call at the chain's finalized block. Where several of
 * the nodes are on an anchor's chain all are asked, and one that denies outweighs those that confirm.
 *
 * Never rejects for what a node does: a node that cannot answer, or answers with nonsense, yields a fact that says so.
 * @param nodes URLs of JSON-RPC endpoints, one or more per chain; which chain they are on is asked, not assumed. Or nodes that
 * were asked for it already (`openNodes`)
 * @returns Facts for `Trust.facts`, one for each anchor
 * @throws KillickError `option_invalid` where a URL is malformed
 * @example
 * const facts = await readAnchors(proof, ['https://rpc.example.com'])
 */
export async function readAnchors(
  proof: Pick<Proof, 'anchors'>,
  nodes: readonly (string | ChainNode)[],
  options: RpcOptions = {},
): Promise<AnchorFact[]> {
  const urls = nodes.filter((node) => typeof node === 'string')
  const known = [...nodes.filter((node) => typeof node !== 'string'), ...(await openNodes(urls, options))]
  const all = proof.anchors.flatMap((anchor) => [
    anchor,
    ...(anchor.before ? [earlierOf(anchor, anchor.before)] : []),
    ...(anchor.succeeds ?? []).flatMap(predecessorOf),
  ])
  return Promise.all(all.map((anchor) => readAnchor(anchor, known)))
}

async function readAnchor(anchor: Anchor, nodes: readonly ChainNode[]): Promise<AnchorFact> {
  const { chainId, contract, logId, size, root, time, transaction, block } = anchor
  const about = { chainId, contract, logId, size, root, time, transaction, block }
  const facts = await Promise.all(
    nodes
      .filter((node) => node.chainId === chainId)
      .map(({ rpc }) =>
        askNode(rpc, anchor).catch((error) => ({
          node: rpc.node,
          unreadable: reasonOf(error),
          fault: faultOf(error),
        })),
      ),
  )
  const other = nodes.find((node) => node.silent !== null) ?? nodes[0]
  return {
    ...about,
    ...(weightiest(facts) ??
      (other
        ? elsewhere(other, chainId)
        : {
            node: 'no node',
            unreadable: `none was asked that is on chain ${chainId}`,
            fault: { what: 'none', wanted: chainId },
          })),
  }
}

/** What a node says, that is silent or on another chain, of an anchor on chain `wanted`. */
function elsewhere({ rpc: { node }, chainId, silent, fault }: ChainNode, wanted: number): NodeAnswer {
  if (silent !== null) return { node, unreadable: silent, fault }
  const unreadable = `it is on chain ${chainId}, the anchor on ${wanted}`
  return { node, unreadable, fault: { what: 'other_chain', chainId, wanted } }
}

async function askNode(rpc: Rpc, anchor: Anchor) {
  const [latest, head, block, finalized] = await Promise.all([
    askContract(rpc, anchor, 'latest'),
    readQuantity(rpc, 'eth_blockNumber'),
    // Nodes that prune history answer null, or refuse.
    rpc.call('eth_getBlockByNumber', [hex(anchor.block), false]).catch(nullIfRefused),
    // Chains without finality of their own do not know the tag; the contract may be younger than the finalized block.
    isAnchored(rpc, anchor, 'finalized').then((answer) => answer === true, nullIfRefused),
  ])
  const confirms = latest.anchored && latest.genuineCode
  // Whoever has not seen the block cannot deny what is in it.
  if (!confirms && head < anchor.block)
    throw noAnswer(rpc.node, `is at block ${head}, the anchor in block ${anchor.block}: it may lag behind`, {
      ...{ what: 'behind', height: head, block: anchor.block },
    })
  // Behind one address there may be replicas of which one lags. The height that it named itself it must know.
  const { anchored, genuineCode } = confirms ? latest : await askContract(rpc, anchor, hex(head))
  const located = block === null ? null : isBlockOf(rpc, block, anchor)
  return {
    node: rpc.node,
    anchored,
    genuineCode,
    located,
    confirmations: located === true ? Math.max(0, head - anchor.block + 1) : 0,
    finalized: finalized === null ? null : finalized && anchored,
  }
}

const hex = (value: number) => `0x${value.toString(16)}`

/** What code there is, and whether it holds the anchor. Code that is not AnchorLog may say anything: it holds none. */
export async function askContract(
  rpc: Rpc,
  anchor: Pick<Anchor, 'contract' | 'logId' | 'size' | 'root' | 'time'>,
  tag: string,
): Promise<{ anchored: boolean; genuineCode: boolean }> {
  const [anchored, code] = await Promise.all([
    isAnchored(rpc, anchor, tag),
    rpc.call('eth_getCode', [anchor.contract, tag]).then(codeHash),
  ])
  if (code === null) throw nonsense(rpc, 'no code', 'eth_getCode')
  const genuineCode = code === ANCHOR_LOG_CODE_HASH
  if (genuineCode && anchored === null) throw nonsense(rpc, 'no truth value', 'isAnchored')
  return { anchored: anchored === true, genuineCode }
}

/** Null where the answer is neither true nor false. */
async function isAnchored(
  rpc: Rpc,
  { contract, logId, size, root, time }: Pick<Anchor, 'contract' | 'logId' | 'size' | 'root' | 'time'>,
  tag: string,
): Promise<boolean | null> {
  return decodeBool(
    await rpc.call('eth_call', [{ to: contract, data: encodeIsAnchored(logId, size, root, time) }, tag]),
  )
}

function isBlockOf(rpc: Rpc, block: unknown, anchor: Anchor): boolean {
  const time = isObject(block) ? parseQuantity(block.timestamp) : null
  if (!isObject(block) || time === null || !Array.isArray(block.transactions))
    throw nonsense(rpc, 'something else than a block', 'eth_getBlockByNumber')
  const isIt = (hash: unknown) => typeof hash === 'string' && hash.toLowerCase() === anchor.transaction
  return time === anchor.time && block.transactions.some(isIt)
}

const nonsense = ({ node }: Rpc, what: string, method: string) =>
  noAnswer(node, `gave ${what} for ${method}`, { what: 'nonsense', method })

/** A node that was cut off in the middle has not said no. */
function nullIfRefused(error: unknown): null {
  if (faultOf(error)?.what === 'refused') return null
  throw error
}
