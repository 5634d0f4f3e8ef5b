import type { AnchorState } from '../ledger/registry/anchors.ts'
import {
  bumpedFees,
  type ChainView,
  type FeeLimits,
  type Fees,
  isPayable,
  type Market,
  type Sighting,
} from './chain/chain.ts'
import type { Attempt, OpenAnchor } from './state.ts'

/** Everything that a decision goes by: pure data, read from chain and ledger. */
export type Truth = {
  view: Pick<ChainView, 'block' | 'head' | 'nonce'>
  /** The newest block that the chain itself calls final; null if the chain has no finality. */
  finalized: number | null
  anchor: OpenAnchor
  /** The anchor's transactions that are in blocks. */
  sightings: readonly Sighting[]
  /** What is known of the current transaction while it waits; null if it does not wait, or if there is none. */
  waiting: Waiting | null
  /** How long the nodes have been behind a block that they had shown, ms; 0: they are not behind. */
  behindMs: number
}

export type Waiting = {
  /** Whether a node has the transaction. */
  isKnown: boolean
  /** The sender's next nonce after all transactions that wait without a gap. */
  pendingNonce: number
  market: Market
}

export type Patience = {
  /** Blocks, counting its own, after which an anchor counts. */
  confirmations: number
  /** ms that a transaction may wait before its fee is raised. */
  bumpAfterMs: number
  /** How long nodes may be behind a block that they have shown, or a transaction that they took, before it counts as gone. ms */
  lagMs: number
  fees: FeeLimits
}

/** What to do next about one anchor: one durable step, or nothing. */
export type Move =
  /** Record that the chain shows the anchor in another state than the ledger. */
  | { move: 'record'; state: AnchorState; sighting?: Sighting; detail?: string }
  /** Sign a transaction for it: a new one, or one that replaces `replaces`. */
  | { move: 'sign'; replaces: Attempt | null; fees: Fees | null }
  | { move: 'broadcast'; attempt: Attempt }
  /** Only look again later; `detail` says what the worker waits for. */
  | { move: 'wait'; detail: string }
  /** The next anchor may go ahead. */
  | { move: 'done' }

const onChain: readonly AnchorState[] = ['mined', 'confirmed', 'final']

/**
 * The state machine of an anchor's life. It looks at what the chain shows, never at how the ledger came to its state, so
 * the way after a crash is the way without one:
 *
 *     planned → signed → broadcast → mined → confirmed → final
 *     mined, confirmed, final → reorganised     the block fell out: the same transaction again
 *     broadcast → dropped                       no node has it any more: the same transaction again, or a new one
 *     broadcast → replaced                      it waits too long: same nonce, higher fee
 *     broadcast → reverted                      the contract refused it: a new one
 *     any → abandoned                           the contract holds a larger size, so this one cannot be anchored any more
 */
export function decide({ view, finalized, anchor, sightings, waiting, behindMs }: Truth, patience: Patience): Move {
  const { state, attempts } = anchor
  const success = sightings.find((sighting) => sighting.succeeded)
  if (success) return follow(success, { view, finalized, anchor }, patience)

  if (onChain.includes(state)) {
    if (view.block < anchor.block! && behindMs < patience.lagMs) return wait('the nodes are behind')
    return record('reorganised', `Block ${anchor.block} fell out of the chain.`)
  }
  const held = view.head?.size ?? -1
  if (anchor.size <= held) {
    // The anchor's own transaction may have done this: some nodes show a receipt a little later than its effect.
    if (attempts.length > 0 && isYounger(anchor.ageMs, patience.bumpAfterMs)) return wait('waiting for the receipt')
    return record('abandoned', `The contract holds size ${held} already.`)
  }

  const current = attempts.at(-1)
  if (state === 'planned' || state === 'reverted' || current === undefined) return sign()
  const failed = sightings.find((sighting) => sighting.transaction === current.transaction)
  if (failed)
    return { move: 'record', state: 'reverted', sighting: failed, detail: 'The contract refused the transaction.' }

  const isNonceUsed = current.nonce < view.nonce
  if (state === 'dropped' && isNonceUsed) return sign()
  if (isNonceUsed) return record('dropped', `Another transaction has used nonce ${current.nonce}.`)
  if (state !== 'broadcast' || waiting === null) return { move: 'broadcast', attempt: current }

  if (!waiting.isKnown) {
    // Behind one address there may be several nodes, and one that was just told is not always the one that is asked.
    if (isYounger(anchor.ageMs, patience.lagMs)) return wait('the nodes do not show the transaction yet')
    return record('dropped', 'No node has the transaction any more.')
  }
  if (isYounger(anchor.ageMs, patience.bumpAfterMs)) return wait('waiting for a block')
  // Nodes hold a transaction back while an earlier nonce is missing; this anchor itself fills the gap.
  if (waiting.pendingNonce < current.nonce) return sign()
  if (view.nonce < current.nonce && isPayable(current, waiting.market)) {
    return wait(`waiting for the transaction with nonce ${view.nonce}`)
  }
  const fees = bumpedFees(current, patience.fees)
  if (fees === null) return wait('waiting for fees to fall: a higher one would exceed the cap')
  return { move: 'sign', replaces: current, fees }
}

/** Whether an age is below a limit. A negative age means that the database's clock was set back, which is no reason to wait. */
export const isYounger = (ageMs: number, thanMs: number): boolean => ageMs >= 0 && ageMs < thanMs

/** What to do about an anchor that is in a block, by the block's depth. */
function follow(
  seen: Sighting,
  { view, finalized, anchor }: Pick<Truth, 'view' | 'finalized' | 'anchor'>,
  patience: Patience,
): Move {
  const isRecorded = onChain.includes(anchor.state)
  if (isRecorded && anchor.blockHash !== seen.blockHash) {
    return record('reorganised', `Block ${anchor.block} fell out of the chain.`)
  }
  const depth = view.block - seen.block + 1
  const isFinal = finalized === null ? depth >= patience.confirmations : seen.block <= finalized
  const state = isFinal ? 'final' : depth >= patience.confirmations ? 'confirmed' : 'mined'
  // No state is skipped, so every anchor has the records of every state.
  const next = !isRecorded ? 'mined' : anchor.state === 'mined' && state !== 'mined' ? 'confirmed' : state
  if (onChain.indexOf(next) > onChain.indexOf(anchor.state)) return { move: 'record', state: next, sighting: seen }
  return anchor.state === 'mined' ? wait(`${depth} of ${patience.confirmations} confirmations`) : { move: 'done' }
}

const record = (state: AnchorState, detail: string): Move => ({ move: 'record', state, detail })
const wait = (detail: string): Move => ({ move: 'wait', detail })
const sign = (): Move => ({ move: 'sign', replaces: null, fees: null })
