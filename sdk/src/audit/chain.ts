// Anchors: what the service lists, what the log hashes to at those sizes, and what the contract says.
import { keccak_256 } from '@noble/hashes/sha3.js'
import { equalBytes, toHex, utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { type Hash, parseHash } from '../core/hash.ts'
import { isObject } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { decodeBool, encodeIsAnchored } from '../verify/contract.ts'
import { readAnchors } from '../verify/readAnchors.ts'
import { openRpc, type Rpc } from '../verify/rpc.ts'
import type { PinnedLog } from '../verify/trust.ts'
import type { Api } from './api.ts'
import type { Findings } from './findings.ts'

const SETTLED = new Set(['confirmed', 'final'])
// Anchors asked about at a time: each takes a handful of requests.
const AT_ONCE = 8

export type Head = { log: PinnedLog; node: string; size: number; time: number }

/** What nodes said of the logs' newest anchors, and why those that said nothing did not. */
export type Heads = { heads: Head[]; unread: string[] }

/** Anchors that the service counts as settled, smallest size first. */
export async function listAnchors(api: Api): Promise<Anchor[]> {
  const anchors: Anchor[] = []
  for (let cursor = ''; ; ) {
    const page = await api.json(`/v1/anchors?limit=500${cursor}`)
    if (!isObject(page) || !Array.isArray(page.anchors))
      throw new KillickError('json_invalid', '/v1/anchors is not a list')
    for (const row of page.anchors) {
      if (!isObject(row) || !SETTLED.has(String(row.state))) continue
      const root = parseHash(row.root)
      if (root === null) throw new KillickError('json_invalid', '/v1/anchors holds a root that is not a hash')
      const { chainId, contract, logId, size, time, transaction, block } = row as unknown as Omit<Anchor, 'root'>
      anchors.push({ chainId, contract, logId, size, root, time, transaction, block })
    }
    if (page.next === null || page.next === undefined) break
    cursor = `&cursor=${encodeURIComponent(String(page.next))}`
  }
  return anchors.sort((a, b) => a.size - b.size)
}

const HEAD = `0x${toHex(keccak_256(utf8('head(bytes32)')).slice(0, 4))}`

/** The chain of the first node that answers; null when none does. */
export async function chainOf(urls: readonly string[]): Promise<number | null> {
  for (const url of urls) {
    try {
      return Number(await openRpc(url).call('eth_chainId', []))
    } catch (error) {
      if (!(error instanceof KillickError && error.code === 'unreachable')) throw error
    }
  }
  return null
}

/** The newest anchor of each log as each node on its chain has it. A node that is away hides nothing that others show. */
export async function readHeads(logs: readonly PinnedLog[], urls: readonly string[]): Promise<Heads> {
  const heads: Head[] = []
  const unread: string[] = []
  for (const rpc of urls.map((url) => openRpc(url))) {
    const reason = await orReason(async () => {
      const chainId = Number(await rpc.call('eth_chainId', []))
      for (const log of logs.filter((candidate) => candidate.chainId === chainId)) heads.push(await readHead(rpc, log))
    })
    if (reason !== null) unread.push(reason)
  }
  return { heads, unread }
}

async function readHead(rpc: Rpc, log: PinnedLog): Promise<Head> {
  const words = String(await rpc.call('eth_call', [{ to: log.contract, data: HEAD + log.logId.slice(2) }, 'latest']))
  // (address publisher, uint64 size, uint32 time)
  if (words.length !== 2 + 3 * 64)
    throw new KillickError('unreachable', `The node at ${rpc.node} knows no anchor contract at ${log.contract}`)
  const word = (i: number) => Number(`0x${words.slice(2 + 64 * i, 66 + 64 * i)}`)
  return { log, node: rpc.node, size: word(1), time: word(2) }
}

/** Null when done, or why a node gave no answer. */
async function orReason(ask: () => Promise<void>): Promise<string | null> {
  try {
    await ask()
    return null
  } catch (error) {
    if (error instanceof KillickError && error.code === 'unreachable') return error.message
    throw error
  }
}

/** Holds the listed anchors against the recomputed log. */
export function compareWithLog(
  anchors: readonly Anchor[],
  size: number,
  roots: ReadonlyMap<number, Hash>,
  findings: Findings,
): void {
  for (const anchor of anchors) {
    const root = roots.get(anchor.size)
    const about = `The anchor of size ${anchor.size} on chain ${anchor.chainId}`
    const place = { logIndex: Math.min(anchor.size, size) }
    if (anchor.size > size) findings.fail('anchors.log', `${about} covers more than the log's ${size} entries`, place)
    else if (!root || !equalBytes(root, anchor.root))
      findings.fail('anchors.log', `${about} has another root than the log: an entry below it was changed`, null)
  }
  if (anchors.length === 0) findings.skip('anchors.log', 'Nothing is anchored yet')
  else findings.pass('anchors.log', `${anchors.length} anchors, the newest of size ${anchors.at(-1)!.size}`)
}

/** Holds the log against the contract: each listed anchor, and the contract's own head, which no one can leave out. */
export async function compareWithChain(
  anchors: readonly Anchor[],
  { heads, unread }: Heads,
  size: number,
  roots: ReadonlyMap<number, Hash>,
  urls: readonly string[],
  findings: Findings,
): Promise<void> {
  const unanswered = [...unread]
  for (const { log, node, size: anchored, time } of heads) {
    if (anchored === 0) continue
    const about = `The contract ${log.contract} (asked at ${node})`
    const root = roots.get(anchored)
    if (anchored > size)
      findings.fail(
        'anchors.chain',
        `${about} holds an anchor of ${anchored} entries; the log has only ${size}: entries were removed`,
        { logIndex: size },
      )
    else if (root) {
      const reason = await orReason(async () => {
        if (!(await holds(log, anchored, root, time, urls)))
          findings.fail(
            'anchors.chain',
            `${about} holds another root for ${anchored} entries: the log was rewritten`,
            null,
          )
      })
      if (reason !== null) unanswered.push(reason)
    }
  }
  for (let i = 0; i < anchors.length; i += AT_ONCE) {
    for (const fact of await readAnchors({ anchors: anchors.slice(i, i + AT_ONCE) }, urls)) {
      const about = `The anchor of size ${fact.size} (${fact.contract}, asked at ${fact.node})`
      if ('unreadable' in fact) unanswered.push(`${about}: ${fact.unreadable}`)
      else if (!fact.genuineCode)
        findings.fail('anchors.chain', `${about}: the code there is not the published AnchorLog`, null)
      else if (!fact.anchored) findings.fail('anchors.chain', `${about} is not in the contract`, null)
    }
  }
  if (unanswered[0] !== undefined) findings.skip('anchors.chain', unanswered[0])
  else if (heads.length === 0) findings.skip('anchors.chain', 'None of the nodes is on the chain of this log')
  else if (anchors.length === 0 && heads.every((head) => head.size === 0))
    findings.skip('anchors.chain', 'The contract holds no anchor of this log')
  else
    findings.pass(
      'anchors.chain',
      `${anchors.length} anchors, and the contract's newest: ${heads.map((head) => head.size).join(', ')} entries`,
    )
}

async function holds(
  log: PinnedLog,
  size: number,
  root: Hash,
  time: number,
  urls: readonly string[],
): Promise<boolean> {
  const data = encodeIsAnchored(log.logId, size, root, time)
  for (const rpc of urls.map((url) => openRpc(url))) {
    if (Number(await rpc.call('eth_chainId', [])) !== log.chainId) continue
    if (!decodeBool(String(await rpc.call('eth_call', [{ to: log.contract, data }, 'latest'])))) return false
  }
  return true
}
