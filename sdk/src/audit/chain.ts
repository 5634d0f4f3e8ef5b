// Checks anchors: compares what the service lists with the log's roots at those sizes and with the contract.
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import type { Hash } from '../core/hash.ts'
import type { JsonValue } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { askContract, readAnchors } from '../verify/read-anchors.ts'
import { askHead } from '../verify/read-log-heads.ts'
import { type ChainNode, openNodes, type Rpc, readQuantity, reasonOf } from '../verify/rpc.ts'
import type { PinnedLog } from '../verify/trust.ts'
import { parseAnchorRow, readPages } from './answers.ts'
import type { Api } from './api.ts'
import type { AuditReason } from './codes.ts'
import { isNonsense } from './faulty.ts'
import type { Findings } from './findings.ts'

const SETTLED = new Set(['confirmed', 'final'])
// How many anchors are asked about at a time; each takes a few requests.
const AT_ONCE = 8

/** A log's newest anchor, by a node. Without `genuineCode` (the published contract) nothing that it says counts. */
export type ContractHead = { log: PinnedLog; rpc: Rpc; genuineCode: boolean; size: number; time: number }

/** What nodes said about the logs' newest anchors, and why the other nodes said nothing. */
export type Heads = { nodes: readonly ChainNode[]; heads: ContractHead[]; unread: string[] }

/** The anchors that a service lists. */
export type ListedAnchors = {
  /** Those that count, smallest size first. */
  readonly anchors: readonly Anchor[]
  /** The same by name, and the names of those that do not count. An anchor is named as in the log's events about it. */
  readonly counting: ReadonlyMap<string, Anchor>
  readonly others: ReadonlySet<string>
  /** False: some could not be read, which is a finding. */
  readonly isWhole: boolean
}

/**
 * Lists anchors. One that cannot be read is a finding.
 * @throws KillickError if the service cannot be reached or refuses
 */
export async function listAnchors(api: Api, findings: Findings): Promise<ListedAnchors> {
  const anchors: Anchor[] = []
  const others = new Set<string>()
  let isWhole = true
  const parse = (row: JsonValue): Anchor | null => {
    try {
      const { state, chainId, contract, logId, size, root, time, transaction, block } = parseAnchorRow(row)
      if (!SETTLED.has(state)) {
        others.add(nameOf({ chainId, contract, logId, size }))
        return null
      }
      if (time !== null && transaction !== null && block !== null)
        return { chainId, contract, logId, size, root, time, transaction, block }
      throw new KillickError('answer_malformed', `The service lists an anchor of ${size} as ${state}, in no block`)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      findings.fail('anchors.log', 'unreadable', error.message)
      isWhole = false
      return null
    }
  }
  try {
    for await (const { rows } of readPages(api, '/v1/anchors', 'anchors', () => 500, parse))
      anchors.push(...rows.filter((anchor) => anchor !== null))
  } catch (error) {
    if (!isNonsense(error)) throw error
    findings.fail('anchors.log', 'unreadable', `/v1/anchors cannot be read: ${error.message}`)
    isWhole = false
  }
  anchors.sort((a, b) => a.size - b.size)
  return { anchors, counting: new Map(anchors.map((anchor) => [nameOf(anchor), anchor])), others, isWhole }
}

const nameOf = ({ chainId, contract, logId, size }: Pick<Anchor, 'chainId' | 'contract' | 'logId' | 'size'>) =>
  `${chainId}/${contract}/${logId}/${size}`

/**
 * The chain id of the first node, in this order, that names its chain; null if none does. All are asked at once.
 * @throws KillickError `option_invalid` if a URL is malformed
 */
export async function chainOf(urls: readonly string[]): Promise<number | null> {
  return (await openNodes(urls)).find(({ chainId }) => chainId !== null)?.chainId ?? null
}

/** The newest anchor of each log, by each node on its chain. A node that is away hides nothing that others show. */
export async function readHeads(logs: readonly PinnedLog[], urls: readonly string[]): Promise<Heads> {
  const nodes = await openNodes(urls)
  const heads: ContractHead[] = []
  const unread: string[] = []
  for (const { rpc, chainId, silent } of nodes) {
    if (silent !== null) unread.push(silent)
    const reason = await orReason(async () => {
      for (const log of logs.filter((candidate) => candidate.chainId === chainId)) heads.push(await readHead(rpc, log))
    })
    if (reason !== null) unread.push(reason)
  }
  return { nodes, heads, unread }
}

async function readHead(rpc: Rpc, log: PinnedLog): Promise<ContractHead> {
  const head = await askHead(rpc, log, 'latest')
  return { log, rpc, genuineCode: head !== null, size: head?.size ?? 0, time: head?.time ?? 0 }
}

/** Null when done, else why a node gave no answer. */
export async function orReason(ask: () => Promise<void>): Promise<string | null> {
  return ask().then(() => null, reasonOf)
}

/**
 * Compares the listed anchors with the recomputed log.
 * @param unread sizes of which the root could not be told
 */
export function compareWithLog(
  anchors: readonly Anchor[],
  size: number,
  roots: ReadonlyMap<number, Hash>,
  findings: Findings,
  unread: ReadonlySet<number> = new Set(),
): void {
  const untold: number[] = []
  for (const anchor of anchors) {
    const root = roots.get(anchor.size)
    const about = `The anchor of size ${anchor.size} on chain ${anchor.chainId}`
    const place = { logIndex: Math.min(anchor.size, size) }
    if (anchor.size > size)
      findings.fail('anchors.log', 'removed', `${about} covers more than the log's ${size} entries`, place)
    else if (unread.has(anchor.size)) untold.push(anchor.size)
    else if (!root || !equalBytes(root, anchor.root))
      findings.fail(
        'anchors.log',
        'rewritten',
        `${about} has another root than the log: an entry below it was changed`,
        null,
      )
  }
  if (anchors.length === 0) findings.skip('anchors.log', 'not_anchored', 'Nothing is anchored yet')
  else if (untold.length > 0) findings.skip('anchors.log', 'unreadable', untoldRoot(untold[0]!))
  else findings.pass('anchors.log', `${anchors.length} anchors, the newest of size ${anchors.at(-1)!.size}`)
}

export const untoldRoot = (size: number) =>
  `The root of the log’s first ${size.toLocaleString('en')} entries does not follow from what is served`

/** Compares the log with the contract: each listed anchor, and the contract's own head, which no list can leave out. */
export async function compareWithChain(
  anchors: readonly Anchor[],
  { nodes, heads, unread }: Heads,
  left: readonly string[],
  size: number,
  roots: ReadonlyMap<number, Hash>,
  findings: Findings,
): Promise<void> {
  const unanswered = [...unread]
  const untold: number[] = []
  const fail = (reason: AuditReason, message: string, logIndex?: number) =>
    findings.fail('anchors.chain', reason, message, logIndex === undefined ? null : { logIndex })
  for (const head of heads) {
    const about = `The contract ${head.log.contract} (asked at ${head.rpc.node})`
    const root = roots.get(head.size)
    if (!head.genuineCode) fail('code_foreign', `${about} is not the published AnchorLog: its code is another`)
    else if (head.size > size)
      fail(
        'removed',
        `${about} holds an anchor of ${head.size} entries; the log has only ${size}: entries were removed, or somebody else anchors with the publisher's key (who has receipts or checkpoints of those entries knows which)`,
        size,
      )
    else if (head.size > 0 && !root) untold.push(head.size)
    else if (root && head.size > 0) {
      const reason = await orReason(async () => {
        if (!(await holds(head, root)))
          fail(
            'rewritten',
            `${about} holds another root for ${head.size} entries: the log was rewritten, or somebody else anchors with the publisher's key`,
          )
      })
      if (reason !== null) unanswered.push(reason)
    }
  }
  for (let i = 0; i < anchors.length; i += AT_ONCE) {
    for (const fact of await readAnchors({ anchors: anchors.slice(i, i + AT_ONCE) }, nodes)) {
      const about = `The anchor of size ${fact.size} (${fact.contract}, asked at ${fact.node})`
      if ('unreadable' in fact) unanswered.push(`${about}: ${fact.unreadable}`)
      else if (!fact.genuineCode) fail('code_foreign', `${about}: the code there is not the published AnchorLog`)
      else if (!fact.anchored) fail('not_held', `${about} is not in the contract`)
      else if (fact.located === false)
        fail('block_mismatch', `${about} is not in the block and transaction that are listed for it`)
    }
  }
  if (unanswered[0] !== undefined) findings.skip('anchors.chain', 'node_unreadable', unanswered[0])
  else if (untold[0] !== undefined)
    findings.skip('anchors.chain', 'unreadable', `${untoldRoot(untold[0])}, which is the contract's newest anchor`)
  else if (left[0] !== undefined) findings.skip('anchors.chain', 'pinned_log_left', left[0])
  else if (heads.length === 0)
    findings.skip('anchors.chain', 'not_asked', 'None of the nodes is on the chain of this log')
  else if (anchors.length === 0 && heads.every((head) => head.size === 0))
    findings.skip('anchors.chain', 'not_anchored', 'The contract holds no anchor of this log')
  else
    findings.pass(
      'anchors.chain',
      `${anchors.length} anchors, and the contract's newest: ${heads.map((head) => head.size).join(', ')} entries`,
    )
}

/** Asks again before a no counts: one of several replicas behind an address may lag. @throws KillickError unreachable */
export async function holds({ log, rpc, size, time }: ContractHead, root: Hash): Promise<boolean> {
  const at = (tag: string) => askContract(rpc, { ...log, size, root, time }, tag)
  if ((await at('latest')).anchored) return true
  return (await at(`0x${(await readQuantity(rpc, 'eth_blockNumber')).toString(16)}`)).anchored
}
