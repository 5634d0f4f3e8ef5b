import { EMPTY_ROOT, type Hash } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { readRoot } from '../ledger/tree/tiles.ts'
import { Alarm } from './alarms.ts'
import { type Chain, type ChainView, NoQuorum, type Sighting } from './chain/chain.ts'
import type { ChainSigner } from './chain/signer.ts'
import type { Waiting } from './decide.ts'
import {
  abandonChain,
  hasGivenUp,
  type LogOnChain,
  type OpenAnchor,
  readCounting,
  readLargest,
  readLastPlace,
  replacedFacts,
  takeUpAgain,
} from './state.ts'
import type { Target } from './target.ts'
import { recordTold } from './tell.ts'

export type WorkerDeps = {
  target: Target
  chain: Chain
  signer: ChainSigner
  ledger: Ledger
  /** Called after a durable step. */
  moved?: (state: string, sighting?: Sighting) => void
  /** Called before and after each durable step; tests throw here, to die at that line. */
  door?: (step: string) => void | Promise<void>
}

/** Everything that one decision needs: the verified state of chain and ledger at this moment. */
export type StepContext = WorkerDeps & {
  view: ChainView
  place: LogOnChain
  /** Root of the tree that the contract holds, by our own ledger; the contract confirms it. */
  heldRoot: Hash
}

/** Reads chain and ledger. @throws Alarm if they give a reason not to go on */
export async function readContext(deps: WorkerDeps): Promise<StepContext> {
  const view = await look(deps)
  const place = await findPlace(deps, view)
  return { ...deps, view, place, heldRoot: await checkHeld(deps, view) }
}

/**
 * The log that the target anchors to now. A chain with the same id but another first block is another chain, unless its contract
 * holds what was anchored (then the nodes are wrong about the block). Anchors on the earlier chain are given up, and taken up again if it
 * comes back: a node may have been wrong about all of it for a while.
 */
async function findPlace(deps: WorkerDeps, { chainId, genesis, head }: ChainView): Promise<LogOnChain> {
  const { target, ledger } = deps
  const { name, contract, logId } = target
  const last = await readLastPlace(ledger.db, name, chainId)
  const place = { target: name, chainId, genesis: last?.genesis ?? genesis ?? '', contract, logId }
  if (genesis === null || genesis === last?.genesis) {
    strange.delete(deps.chain)
    return place
  }
  const found = { ...place, genesis }
  const held = head?.size ?? 0
  const isBack = await hasGivenUp(ledger.db, found, held)
  if (last !== null) {
    const largest = await readLargest(ledger.db, last)
    const isSameLog = last.contract === contract && last.logId === logId
    if (isSameLog && held >= largest && !(isBack && largest === 0)) return place
    if (largest > 0 && since(deps.chain, genesis) < target.lagMs)
      throw new Alarm('wrong_chain', `(Its first block is ${genesis}, that of what is anchored is ${last.genesis}.)`)
    await giveUp(deps, last)
  }
  // The last step: until it is done, the chain is found to be back again.
  if (isBack) await durable(deps, 'take up', () => takeUpAgain(ledger.db, found, held))
  return found
}

/** Since when nodes have shown another first block than that of the chain with what is anchored. */
const strange = new WeakMap<Chain, { genesis: string; at: number }>()

/** How long nodes have shown this first block, ms: a node that is set up anew may show another chain for a while. */
function since(chain: Chain, genesis: string): number {
  const known = strange.get(chain)
  const at = known?.genesis === genesis ? known.at : performance.now()
  strange.set(chain, { genesis, at })
  return performance.now() - at
}

/**
 * Gives up what is anchored on a chain that is gone. The log tells of each anchor that counted, of the largest first: so a worker that is killed
 * here goes on with the others, or, if the chain is back, with all that were withdrawn.
 */
async function giveUp(deps: WorkerDeps, place: LogOnChain): Promise<void> {
  const { ledger } = deps
  const counting = await readCounting(ledger.db, place)
  for (const anchor of counting) {
    const also = anchor === counting.at(-1) ? (db: Db) => abandonChain(db, place) : undefined
    await durable(deps, 'reorganised', () =>
      recordTold(ledger, place, anchor, 'reorganised', replacedFacts(anchor), also),
    )
  }
  if (counting.length === 0) await durable(deps, 'abandon', () => abandonChain(ledger.db, place))
}

/** The chain as it is, if it can be worked with. @throws Alarm */
export async function look({
  chain,
  target,
  signer,
}: Pick<WorkerDeps, 'chain' | 'target' | 'signer'>): Promise<ChainView> {
  const view = await onNodes(() => chain.look(target.contract, target.logId, signer.address))
  if (view.code === 'none') throw new Alarm('no_contract', `(${target.contract} on chain ${view.chainId})`)
  if (view.code === 'other') throw new Alarm('other_contract', `(${target.contract} on chain ${view.chainId})`)
  if (view.head === null && !target.mayOpen) throw new Alarm('not_opened', `(${target.logId})`)
  if (view.head !== null && view.head.publisher !== signer.address) {
    throw new Alarm('not_publisher', `(It is ${view.head.publisher}, the key is that of ${signer.address}.)`)
  }
  return view
}

/** The head of each chain that was last found to be ours. It need not be checked again, since a root never changes. */
const held = new WeakMap<Chain, { name: string; root: Hash }>()

/** How far the clocks of chain and process may be apart. ms */
const CLOCKS_MS = 120_000

/** The tree that the contract holds must be the beginning of ours. @throws Alarm */
export async function checkHeld(
  { chain, target, ledger }: Pick<WorkerDeps, 'chain' | 'target' | 'ledger'>,
  view: ChainView,
): Promise<Hash> {
  if (view.head === null || view.head.size === 0) {
    ledger.contractHolds(target.name, null)
    return EMPTY_ROOT
  }
  const { size, time } = view.head
  const name = `${view.genesis}/${target.contract}/${target.logId}/${size}/${time}`
  const known = held.get(chain)
  if (known?.name === name) {
    ledger.contractHolds(target.name, null)
    return known.root
  }
  const fault = await ledger.checkHead()
  if (fault !== null) {
    const found = fault.found?.size ?? 0
    throw new Alarm('log_went_back', `(Signed were ${fault.remembered.size} entries, the ledger has ${found}.)`)
  }
  const ours = (await ledger.head())?.size ?? 0
  // If so, this process remembers the log as it was when the anchor was made.
  const isRemembered = 1000 * time > ledger.headsKnownSince() + CLOCKS_MS
  const place = `(It holds ${size} entries since ${new Date(1000 * time).toISOString()}, the ledger has ${ours}.)`
  ledger.contractHolds(target.name, size > ours && !isRemembered ? size : null)
  if (size > ours) throw new Alarm(isRemembered ? 'publisher_stolen' : 'contract_ahead', place)
  const root = await readRoot(ledger.db, size)
  const isOurs = await onNodes(() => chain.isAnchored(target.contract, target.logId, size, root, time, view))
  if (!isOurs) throw new Alarm(isRemembered ? 'publisher_stolen' : 'not_a_prefix', place)
  held.set(chain, { name, root })
  return root
}

/** The anchor's transactions that are in blocks. */
export async function findAll({ chain, view, signer }: StepContext, anchor: OpenAnchor): Promise<Sighting[]> {
  // Only a transaction whose nonce is used can be in a block; the nonce is that of the key which publishes now.
  const spent = anchor.attempts.filter(({ sender, nonce }) => sender !== signer.address || nonce < view.nonce)
  const found = await onNodes(() => Promise.all(spent.map(({ transaction }) => chain.find(transaction, view))))
  return found.filter((sighting) => sighting !== null)
}

/** What is known of the anchor's transaction while it waits; null if none waits. */
export async function askWaiting({ chain, view, signer }: StepContext, anchor: OpenAnchor): Promise<Waiting | null> {
  const current = anchor.attempts.at(-1)
  if (anchor.state !== 'broadcast' || current === undefined || current.nonce < view.nonce) return null
  const [isKnown, pendingNonce, market] = await Promise.all([
    chain.knows(current.transaction),
    chain.pendingNonce(signer.address),
    chain.market(),
  ])
  return { isKnown, pendingNonce, market }
}

/** Does one durable step, and calls the test hooks before and after it. */
export async function durable<T>({ door }: WorkerDeps, step: string, work: () => Promise<T>): Promise<T> {
  await door?.(`before ${step}`)
  const result = await work()
  await door?.(`after ${step}`)
  return result
}

/** Reads from the nodes. @throws Alarm if too few answer or they disagree */
export async function onNodes<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof NoQuorum)) throw error
    const codes = {
      unreachable: 'nodes_unreachable',
      contradiction: 'nodes_disagree',
      wrong_chain: 'wrong_chain',
    } as const
    throw new Alarm(codes[error.kind], `(${error.message})`)
  }
}
