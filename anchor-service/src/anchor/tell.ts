import { printHash } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { type AnchorFacts, type AnchorState, readHistory } from '../ledger/registry/anchors.ts'
import { type AnchorOfPlace, type LogOnChain, recordState } from './state.ts'

/** A change of an anchor that counts, or counted, is an event of the ledger too. */
const EVENTS: Partial<Record<string, string>> = { confirmed: 'anchor.commit', reorganised: 'anchor.withdraw' }

/**
 * Moves an anchor on, with the event that tells of it if there is one.
 * @param also what else is written with the event
 * @throws Overtaken
 */
export async function recordTold(
  ledger: Ledger,
  place: LogOnChain,
  anchor: AnchorOfPlace,
  state: AnchorState,
  facts: AnchorFacts,
  also?: (db: Db) => Promise<void>,
): Promise<void> {
  const wasCounted = anchor.state === 'confirmed' || anchor.state === 'final'
  const action = state === 'confirmed' || wasCounted ? EVENTS[state] : undefined
  if (action === undefined || anchor.size === 0) return recordState(ledger.db, anchor, state, facts)
  const history = await readHistory(ledger.db, anchor.id, anchor.seq + 1)
  const event = describe(action, place, anchor, { seq: anchor.seq + 1, state, ...facts }, history)
  await ledger.record(event, async (db, logIndex) => {
    await recordState(db, anchor, state, facts, logIndex)
    await also?.(db)
  })
}

type StateRow = AnchorFacts & { seq: number; state: AnchorState }

/** The whole row of the recorded state and a digest of the rows before it, so that an audit can compare the tables with it. */
function describe(action: string, place: LogOnChain, anchor: AnchorOfPlace, row: StateRow, history: string) {
  const { target, chainId, genesis, contract, logId } = place
  const { size, root } = anchor
  const known = Object.entries(row).filter(([, value]) => value !== null && value !== undefined)
  return {
    action,
    actor: { type: 'service', id: 'anchor-service' },
    targets: [{ type: 'anchor', id: `${chainId}/${contract}/${logId}/${size}` }],
    metadata: {
      ...{ target, chainId, genesis, contract, logId, size, root: printHash(root) },
      ...Object.fromEntries(known),
      history,
    },
  }
}
