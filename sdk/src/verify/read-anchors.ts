import { isObject } from '../core/json.ts'
import { type Anchor, type Proof, requireParsed } from '../core/proof.ts'
import { earlierOf } from './checks.ts'
import { ANCHOR_LOG_CODE_HASH, codeHash, decodeBool, encodeIsAnchored } from './contract.ts'
import {
  type ChainNode,
  faultOf,
  noAnswer,
  nodesOf,
  parseQuantity,
  type Rpc,
  type RpcOptions,
  readQuantity,
  reasonOf,
} from './rpc.ts'
import { predecessorOf } from './succession.ts'
import { type AnchorFact, type NodeAnswer, weightiest } from './trust.ts'

/**
 * Asks nodes about every anchor of a proof, and about the anchors before them. One `eth_call` asks the contract for the anchor;
 * other calls read the chain id, the contract's code and the named block, and ask the contract again at the chain's finalized
 * block. If several nodes are on an anchor's chain, it asks all of them, and one that denies the anchor outweighs those that
 * confirm it.
 *
 * It never rejects because of a node: if a node cannot answer, or answers with nonsense, the fact says so.
 * @param nodes URLs of JSON-RPC endpoints, one or more for each chain; each is asked which chain it is on. Or nodes that have
 * already said so (`openNodes`)
 * @returns facts for `Trust.facts`: one for each anchor, for each anchor before one, and for the last honest anchor of each log
 * that was left
 * @throws KillickError `option_invalid` if a URL is malformed, or there is no list; `proof_malformed` if `parseProof` did not read the proof
 * @example
 * const facts = await readAnchors(proof, ['https://rpc.example.com'])
 */
export async function readAnchors(
  proof: Pick<Proof, 'anchors'>,
  nodes: readonly (string | ChainNode)[],
  options: RpcOptions = {},
): Promise<AnchorFact[]> {
  requireParsed(proof)
  const known = await nodesOf(nodes, options)
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

/** The answer of a node that is silent or on another chain, about an anchor on chain `wanted`. */
function elsewhere({ rpc: { node }, chainId, silent, fault }: ChainNode, wanted: number): NodeAnswer {
  if (silent !== null) return { node, unreadable: silent, fault }
  const unreadable = `it is on chain ${chainId}, the anchor on ${wanted}`
  return { node, unreadable, fault: { what: 'other_chain', chainId, wanted } }
}

async function askNode(rpc: Rpc, anchor: Anchor) {
  const [latest, head, firstLocated, finalized] = await Promise.all([
    askContract(rpc, anchor, 'latest'),
    readQuantity(rpc, 'eth_blockNumber'),
    locate(rpc, anchor),
    // Chains without finality do not know the tag.
    callContract(rpc, anchor, 'finalized').then((answer) => ({ answer }), nullIfRefused),
  ])
  const holds = latest.anchored && latest.genuineCode
  const confirms = holds && firstLocated !== false
  // A node that has not seen the block cannot deny what is in it.
  if (!confirms && head < anchor.block)
    throw noAnswer(rpc.node, `is at block ${head}, the anchor in block ${anchor.block}: it may lag behind`, {
      ...{ what: 'behind', height: head, block: anchor.block },
    })
  // One address may stand for several replicas, of which one lags. So the node is asked again at the height that it named.
  const { anchored, genuineCode } = holds ? latest : await askContract(rpc, anchor, hex(head))
  const located = firstLocated === false ? await locate(rpc, anchor) : firstLocated
  const isFinal = finalized && decodeBool(finalized.answer)
  // The contract may be younger than the finalized block: then it answers nothing there.
  if (genuineCode && finalized && isFinal === null && finalized.answer !== '0x')
    throw nonsense(rpc, 'no truth value', 'isAnchored')
  return {
    node: rpc.node,
    anchored,
    genuineCode,
    located,
    confirmations: located === true ? Math.max(0, head - anchor.block + 1) : 0,
    finalized: finalized && isFinal === true && anchored,
  }
}

const hex = (value: number) => `0x${value.toString(16)}`

/** Whether the code at the address is AnchorLog's, and whether it says that it holds the anchor. Other code may say anything. */
export async function askContract(
  rpc: Rpc,
  anchor: Pick<Anchor, 'contract' | 'logId' | 'size' | 'root' | 'time'>,
  tag: string,
): Promise<{ anchored: boolean; genuineCode: boolean }> {
  const [anchored, code] = await Promise.all([
    callContract(rpc, anchor, tag).then(decodeBool),
    rpc.call('eth_getCode', [anchor.contract, tag]).then(codeHash),
  ])
  if (code === null) throw nonsense(rpc, 'no code', 'eth_getCode')
  const genuineCode = code === ANCHOR_LOG_CODE_HASH
  if (genuineCode && anchored === null) throw nonsense(rpc, 'no truth value', 'isAnchored')
  return { anchored: anchored === true, genuineCode }
}

/** What the contract answers to `isAnchored`, as the node gives it. */
function callContract(
  rpc: Rpc,
  { contract, logId, size, root, time }: Pick<Anchor, 'contract' | 'logId' | 'size' | 'root' | 'time'>,
  tag: string,
): Promise<unknown> {
  return rpc.call('eth_call', [{ to: contract, data: encodeIsAnchored(logId, size, root, time) }, tag])
}

/** Whether the named block is the anchor's; null if the node does not give it: nodes that prune history answer null, or refuse. */
async function locate(rpc: Rpc, anchor: Anchor): Promise<boolean | null> {
  const block = await rpc.call('eth_getBlockByNumber', [hex(anchor.block), false]).catch(nullIfRefused)
  return block === null ? null : isBlockOf(rpc, block, anchor)
}

function isBlockOf(rpc: Rpc, block: unknown, anchor: Anchor): boolean {
  const time = isObject(block) ? parseQuantity(block.timestamp) : null
  const isRead =
    isObject(block) && time !== null && Array.isArray(block.transactions) && block.transactions.every(isHash)
  if (!isRead) throw nonsense(rpc, 'something else than a block', 'eth_getBlockByNumber')
  // What another block holds says nothing of this one.
  if (block.number !== undefined && parseQuantity(block.number) !== anchor.block)
    throw nonsense(rpc, 'another block', 'eth_getBlockByNumber')
  const isIt = (hash: unknown) => (hash as string).toLowerCase() === anchor.transaction
  return time === anchor.time && (block.transactions as unknown[]).some(isIt)
}

/** A transaction's; it was asked for hashes alone. */
const isHash = (value: unknown) => typeof value === 'string' && /^0x[\da-f]{64}$/i.test(value)

const nonsense = ({ node }: Rpc, what: string, method: string) =>
  noAnswer(node, `gave ${what} for ${method}`, { what: 'nonsense', method })

/** Null if the node refused. A connection that broke is no refusal, and throws. */
function nullIfRefused(error: unknown): null {
  if (faultOf(error)?.what === 'refused') return null
  throw error
}
