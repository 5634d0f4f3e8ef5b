import { keccak_256 } from '@noble/hashes/sha3.js'
import { fromHex, toHex, utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { ANCHOR_LOG_CODE_HASH, codeHash } from './contract.ts'
import { type ChainNode, faultOf, nodesOf, parseQuantity, type Rpc, type RpcOptions, reasonOf } from './rpc.ts'
import type { PinnedLog } from './trust.ts'

/** What a node said of a log: until the time `at` of a block, seconds, the contract was given no more than `size` entries of it. */
export type HeadFact = PinnedLog & {
  /** Which node answered, as a label to show. */
  readonly node: string
  readonly size: number
  readonly at: number
}

const HEAD = `0x${toHex(keccak_256(utf8('head(bytes32)')).slice(0, 4))}`

/**
 * Asks nodes how far logs are anchored, as of the newest block that the chain calls final, or as of the newest one where it knows no finality.
 * A node that gives no answer, or where another contract stands, is left out.
 * @param nodes URLs, or nodes from `openNodes`; each is asked about the logs of its chain
 * @returns the answers of all nodes, which may differ
 * @throws KillickError `option_invalid` if a URL is malformed, or there is no list
 * @example
 * const heads = await readLogHeads(trust.logs, ['https://rpc.example.com'])
 */
export async function readLogHeads(
  logs: readonly PinnedLog[],
  nodes: readonly (string | ChainNode)[],
  options: RpcOptions = {},
): Promise<HeadFact[]> {
  const known = await nodesOf(nodes, options)
  const asked = known.flatMap(({ rpc, chainId }) =>
    logs
      .filter((log) => log.chainId === chainId)
      .map((log) => headByNow(rpc, log).catch((error: unknown) => void reasonOf(error))),
  )
  return (await Promise.all(asked)).filter((head) => head !== undefined)
}

async function headByNow(rpc: Rpc, log: PinnedLog): Promise<HeadFact> {
  // Chains without finality do not know the tag.
  const block = (await readBlock(rpc, 'finalized')) ?? (await readBlock(rpc, 'latest'))
  if (block === null) throw new KillickError('unreachable', `The node at ${rpc.node} gave no block`)
  const head = await askHead(rpc, log, block.number)
  if (head === null) throw new KillickError('unreachable', `The node at ${rpc.node} knows another contract there`)
  return { ...log, node: rpc.node, size: head.size, at: block.time }
}

/** Null: the node knows no such block, or refuses to name it. */
async function readBlock(rpc: Rpc, tag: string): Promise<{ number: string; time: number } | null> {
  const block = await rpc.call('eth_getBlockByNumber', [tag, false]).catch((error: unknown) => {
    if (faultOf(error)?.what === 'refused') return null
    throw error
  })
  if (!isObject(block) || parseQuantity(block.number) === null) return null
  const time = parseQuantity(block.timestamp)
  return time === null ? null : { number: block.number as string, time }
}

/**
 * The newest anchor of a log as of a block. Another contract could say anything, so its code is compared.
 * @param tag of the block: its number in hex, or `latest`
 * @returns null where the code is not the published contract's
 * @throws KillickError `unreachable`, if the node does not answer, has no contract there, or gives no head
 */
export async function askHead(
  rpc: Rpc,
  { contract, logId }: PinnedLog,
  tag: string,
): Promise<{ size: number; time: number } | null> {
  const [code, answer] = await Promise.all([
    rpc.call('eth_getCode', [contract, tag]),
    // A contract that is not AnchorLog may refuse.
    rpc.call('eth_call', [{ to: contract, data: HEAD + logId.slice(2) }, tag]).catch((error) => error),
  ])
  const hash = codeHash(code)
  if (hash === null || code === '0x')
    throw new KillickError('unreachable', `The node at ${rpc.node} knows no anchor contract at ${contract}`)
  if (hash !== ANCHOR_LOG_CODE_HASH) return null
  if (answer instanceof Error) throw answer
  // (address publisher, uint64 size, uint32 time)
  const words = typeof answer === 'string' && answer.startsWith('0x') ? fromHex(answer.slice(2).toLowerCase()) : null
  const word = (i: number) => parseQuantity(`0x${toHex(words!.subarray(32 * i, 32 * i + 32))}`)
  const [size, time] = words?.length === 3 * 32 ? [word(1), word(2)] : [null, null]
  if (size === null || time === null)
    throw new KillickError('unreachable', `The node at ${rpc.node} gave no head of the log`)
  return { size, time }
}
