import type { Ledger } from '../ledger/ledger.ts'
import { hasNews } from '../ledger/read/activity.ts'
import type { SignedHead } from '../ledger/tree/checkpoints.ts'
import { isYounger } from './decide.ts'
import { ANCHOR_ACTIONS, type LogOnChain, readLastPlan, wasSigned } from './state.ts'
import type { Target } from './target.ts'

/** The checkpoint to anchor now, if it is time: the newest one. @param held the size that the contract holds */
export async function findDue(
  ledger: Ledger,
  place: LogOnChain,
  { intervalMs, growth }: Target,
  held: number,
): Promise<SignedHead | null> {
  const head = await ledger.head()
  if (head === null) return null
  const last = await readLastPlan(ledger.db, place)
  const size = last?.size ?? 0
  if (head.size <= size) return null
  if (last !== null && isYounger(last.ageMs, intervalMs) && head.size - size < growth) return null
  // What the contract holds already would be given up as soon as it is planned. If it was ours, its receipt is looked for again.
  if (head.size <= held && !(await wasSigned(ledger.db, place, head.size))) return null
  // An anchor is itself an event of the ledger; if that were a reason to anchor, anchoring would never end.
  return (await hasNews(ledger.db, ANCHOR_ACTIONS, size, head.size)) ? head : null
}
