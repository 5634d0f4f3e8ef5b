import type { Head } from '../ledger/checkpoints.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { isYounger } from './decide.ts'
import { ANCHOR_ACTIONS } from './moves.ts'
import { type Place, readLastPlan } from './state.ts'
import type { Target } from './target.ts'

/** The checkpoint to anchor now, if it is time: the newest one. */
export async function findDue(ledger: Ledger, place: Place, { intervalMs, growth }: Target): Promise<Head | null> {
  const head = await ledger.head()
  if (head === null) return null
  const last = await readLastPlan(ledger.db, place)
  const size = last?.size ?? 0
  if (head.size <= size) return null
  if (last !== null && isYounger(last.ageMs, intervalMs) && head.size - size < growth) return null
  return (await hasNews(ledger, size)) ? head : null
}

/** An anchor is itself an event of the ledger; were that a reason to anchor, anchoring would never rest. */
async function hasNews({ db }: Ledger, size: number): Promise<boolean> {
  const { rows } = await db.query(
    `select exists (
       select from events where number >= (select first_event from batches where log_index = $1)
         and not (source = 'killick' and action = any($2))) as news`,
    [size, ANCHOR_ACTIONS],
  )
  return rows[0].news
}
