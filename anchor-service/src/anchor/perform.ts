import type { AnchorFacts } from '../ledger/registry/anchors.ts'
import { readCheckpoint } from '../ledger/tree/checkpoints.ts'
import { readConsistency } from '../ledger/tree/tiles.ts'
import { Alarm } from './alarms.ts'
import { bumpedFees, calls, explainRevert, type Fees, openingFees, RpcError } from './chain/chain.ts'
import type { Move } from './decide.ts'
import { type Attempt, type OpenAnchor, recordState } from './state.ts'
import { durable, type StepContext } from './step-context.ts'
import { recordTold } from './tell.ts'

/** Carries out a decision about an anchor. Null: done, decide again; else what to wait for. @throws Alarm */
export async function perform(context: StepContext, anchor: OpenAnchor, move: Move): Promise<string | null> {
  if (move.move === 'record') await record(context, anchor, move)
  if (move.move === 'sign') await sign(context, anchor, move.replaces, move.fees)
  if (move.move === 'broadcast') return broadcast(context, anchor, move.attempt)
  return null
}

async function record(context: StepContext, anchor: OpenAnchor, move: Move & { move: 'record' }): Promise<void> {
  const { ledger, place, view } = context
  const { state, sighting, detail } = move
  const facts: AnchorFacts = { transaction: anchor.transaction, detail: detail ?? null }
  if (sighting) {
    const { transaction, block, blockHash, time, gasUsed, gasPrice } = sighting
    const attempt = anchor.attempts.find((sent) => sent.transaction === transaction)
    Object.assign(facts, attempt && factsOf(attempt))
    // A final anchor needs no count any more.
    const confirmations = state === 'final' ? null : view.block - block + 1
    Object.assign(facts, { block, blockHash, time, gasUsed, gasPrice, confirmations })
  }
  await durable(context, state, () => recordTold(ledger, place, anchor, state, facts))
  context.moved?.(state, sighting)
}

/** Signs a transaction for the anchor and stores it; it is not sent before it is stored. */
async function sign(
  context: StepContext,
  anchor: OpenAnchor,
  replaces: Attempt | null,
  bumped: Fees | null,
): Promise<void> {
  const { target, chain, signer, ledger, place } = context
  const to = target.contract
  const data = await callData(context, anchor)
  const [gas, nonce, fees] = await Promise.all([
    chain.estimate({ from: signer.address, to, data }).catch(explain),
    replaces?.nonce ?? chain.pendingNonce(signer.address),
    bumped ?? chain.market().then((market) => openingFees(market, target.fees)),
  ])
  const fields = { chainId: place.chainId, nonce, to, data, gas, fees }
  const signed = await chain.sign(signer, fields).catch((error: Error) => {
    throw new Alarm('signer_failed', `(${error.message})`)
  })
  const attempt = { ...signed, sender: signer.address, nonce, ...fees }
  const state = replaces === null ? 'signed' : 'replaced'
  await durable(context, state, () => recordState(ledger.db, anchor, state, { ...factsOf(attempt), raw: signed.raw }))
  context.moved?.(state)
}

async function callData({ target, view, heldRoot, ledger }: StepContext, anchor: OpenAnchor): Promise<string> {
  if (anchor.size === 0) return calls.open(ledger.log.origin)
  const checkpoint = await readCheckpoint(ledger.db, anchor.size)
  const path = await readConsistency(ledger.db, view.head?.size ?? 0, anchor.size)
  return calls.anchor(target.logId, anchor.size, checkpoint!.root, heldRoot, path)
}

function explain(error: unknown): never {
  if (!(error instanceof RpcError) || error.kind !== 'refused') throw error
  const reason = explainRevert(error.data)
  if (reason !== null || /revert/i.test(error.message))
    throw new Alarm('contract_refuses', `(${reason ?? error.message})`)
  if (/funds|balance/i.test(error.message)) throw new Alarm('unfunded', `(${error.message})`)
  throw new Alarm('node_refuses', `(${error.message})`)
}

async function broadcast(context: StepContext, anchor: OpenAnchor, attempt: Attempt): Promise<string | null> {
  const { target, chain, ledger } = context
  const sent = await durable(context, 'send', () => chain.send(attempt.raw))
  switch (sent.result) {
    case 'taken':
      await durable(context, 'broadcast', () => recordState(ledger.db, anchor, 'broadcast', factsOf(attempt)))
      context.moved?.('broadcast')
      return null
    case 'unfunded':
      throw new Alarm('unfunded', `(${sent.detail})`)
    case 'refused':
      throw new Alarm('node_refuses', `(${sent.detail})`)
    case 'underpriced': {
      const fees = bumpedFees(attempt, target.fees, openingFees(await chain.market(), target.fees))
      if (fees === null) return 'waiting for fees to fall: a higher one would exceed the cap'
      await sign(context, anchor, attempt, fees)
      return null
    }
    default:
      return sent.detail
  }
}

function factsOf({ transaction, sender, nonce, max, tip }: Omit<Attempt, 'raw'>): AnchorFacts {
  return { transaction, sender, nonce, maxFee: String(max), maxPriorityFee: tip === null ? null : String(tip) }
}
