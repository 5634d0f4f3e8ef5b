import { EMPTY_ROOT, type Hash } from '@killick/sdk/core'
import type pg from 'pg'
import { Alarm } from './alarms.ts'
import { type Chain, RpcError } from './chain/chain.ts'
import { decide } from './decide.ts'
import { withLock } from './lock.ts'
import { findDue } from './next-checkpoint.ts'
import { perform } from './perform.ts'
import { type LogOnChain, type OpenAnchor, Overtaken, planAnchor, readOpenAnchors } from './state.ts'
import {
  askWaiting,
  durable,
  findAll,
  look,
  onNodes,
  readContext,
  type StepContext,
  type WorkerDeps,
} from './step-context.ts'

/** How a visit ended. */
export type Visit =
  /** Another worker is visiting the target. */
  | { outcome: 'taken' }
  /** Nothing to do until the log grows. `held`: the size that the contract holds */
  | { outcome: 'idle'; place: LogOnChain; held: number }
  /** An anchor is under way; look again soon. */
  | { outcome: 'waiting'; detail: string }
  /** All anchors count; some are not final yet. */
  | { outcome: 'settling' }

/**
 * Advances a target as far as possible now: it repeatedly reads chain and ledger, decides, and does one durable step. It keeps
 * nothing in memory between two steps, so it may be killed at any line, and any process can continue.
 *
 * Two workers may run at once: only one can record an anchor's next state, a nonce is mined once, and the contract takes a size
 * once.
 *
 * @param locks connections for locks: one for each target that is being advanced
 * @throws Alarm
 */
export async function advance(deps: WorkerDeps, locks: pg.Pool): Promise<Visit> {
  const { chainId } = await look(deps)
  let wasRefused = false
  const work = async (): Promise<Visit> => {
    for (;;) {
      try {
        const ended = await step(await readContext(deps))
        if (ended !== null) return ended
      } catch (error) {
        // The chain may have moved on between the two reads, so it is read once more.
        const isRefusal = error instanceof Alarm && error.code === 'contract_refuses'
        if (!(error instanceof Overtaken) && (wasRefused || !isRefusal)) throw error
        wasRefused ||= isRefusal
      }
    }
  }
  try {
    return (await withLock(locks, `${chainId}/${deps.signer.address}`, work)) ?? { outcome: 'taken' }
  } catch (error) {
    throw error instanceof RpcError ? new Alarm('nodes_unreachable', `(${error.message})`) : error
  }
}

/** Does one durable step and returns null, or returns why there is nothing to do. */
async function step(context: StepContext): Promise<Visit | null> {
  const { ledger, place, view, target } = context
  const held = view.head?.size ?? -1
  const anchors = await readOpenAnchors(ledger.db, place, held)
  const behindMs = timeBehind(context, anchors)
  let waitsFor: string | null = null
  let finalized: number | null | undefined
  for (const anchor of anchors) {
    const sightings = await findAll(context, anchor)
    const waiting = sightings.length > 0 ? null : await askWaiting(context, anchor)
    if (finalized === undefined && sightings.length > 0) finalized = await onNodes(() => context.chain.finalized(view))
    const move = decide({ view, finalized: finalized ?? null, anchor, sightings, waiting, behindMs }, target)
    if (move.move === 'done') continue
    if (move.move === 'wait') {
      waitsFor ??= move.detail
      continue
    }
    // Transactions go out in the order of their sizes; what the chain shows is recorded in any order.
    if (move.move !== 'record' && waitsFor !== null) continue
    waitsFor = await perform(context, anchor, move)
    if (waitsFor === null) return null
  }
  if (waitsFor !== null) return { outcome: 'waiting', detail: waitsFor }
  const due = view.head === null ? { size: 0, root: EMPTY_ROOT } : await findDue(ledger, place, target, held)
  if (due !== null) return plan(context, due)
  return anchors.length > 0 ? { outcome: 'settling' } : { outcome: 'idle', place, held }
}

/** Since when a chain's nodes have been behind a block that they had shown. */
const behind = new WeakMap<Chain, number>()

function timeBehind({ chain, view }: StepContext, anchors: readonly OpenAnchor[]): number {
  if (!anchors.some(({ block }) => block !== null && block > view.block)) {
    behind.delete(chain)
    return 0
  }
  const since = behind.get(chain) ?? performance.now()
  behind.set(chain, since)
  return performance.now() - since
}

async function plan(context: StepContext, { size, root }: { size: number; root: Hash }): Promise<null> {
  await durable(context, 'plan', () => planAnchor(context.ledger.db, context.place, size, root))
  context.moved?.('planned')
  return null
}
