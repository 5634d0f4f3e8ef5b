/**
 * How far the log's front is pruned, as C2SP tlog-tiles says: by a published policy, behind final anchors, and by refusing requests.
 * Nothing is taken out of the database.
 */
import { type EventInput, pruningFields } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { readClock, readDue } from './policies.ts'

/** What the log says of its front. */
export type Pruning = {
  /** After how many days entries are not published any more; null: never. */
  afterDays: number | null
  /** Log index of the event that says so. */
  logIndex: number
  /** No entry before this one is published to everybody. */
  minimumIndex: number
}

/** The policy that counts: the newest that the newest final anchor covers. Null: there is none, and all is published. */
export async function readPruning(db: Db): Promise<Pruning | null> {
  const clock = await readClock(db)
  if (clock === null) return null
  const { rows } = await db.query<{ log_index: number; after_days: number | null }>(
    'select log_index::float8 as log_index, after_days from prunings where log_index < $1 order by prunings.log_index desc limit 1',
    [clock.size],
  )
  const [row] = rows
  if (row === undefined) return null
  const { log_index: logIndex, after_days: afterDays } = row
  return { afterDays, logIndex, minimumIndex: afterDays === null ? 0 : await readDue(db, clock, afterDays) }
}

/** How long the minimum index is kept in memory, ms: tiles are asked for often, and it rises with anchors. */
const KEPT_MS = 2_000

/** The minimum index, up to two seconds old. */
export function watchPruning(db: Db): () => Promise<number> {
  let known: { at: number; index: Promise<number> } | null = null
  return () => {
    if (known === null || performance.now() - known.at > KEPT_MS) {
      const index = readPruning(db).then((pruning) => pruning?.minimumIndex ?? 0)
      // One that could not be read is asked for again.
      index.catch(() => {
        known = null
      })
      known = { at: performance.now(), index }
    }
    return known.index
  }
}

/** Sets after how many days entries are not published any more, in an event of the system stream. Said again, nothing happens. */
export async function setPruning(ledger: Ledger, afterDays: number | null, actor: EventInput['actor']): Promise<void> {
  const { rows } = await ledger.db.query<{ after_days: number | null }>(
    'select after_days from prunings order by log_index desc limit 1',
  )
  if ((rows[0]?.after_days ?? null) === afterDays) return
  await ledger.record({ actor, ...pruningFields(ledger.log.origin, afterDays) }, async (db, logIndex) => {
    await db.query('insert into prunings (log_index, after_days) values ($1, $2)', [logIndex, afterDays])
  })
}
