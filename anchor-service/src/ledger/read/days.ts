/** What happened day by day: counts that cost a few index lookups each, however long the log is. */
import { SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { findNumbers } from './search.ts'

/** A day in UTC, by the ledger's own clock: when it accepted events, not when they are said to have happened. */
export type DayCount = {
  /** YYYY-MM-DD */
  day: string
  /** All events that were accepted. */
  events: number
  /** Of them those of the ledger's own; null: there are too many to count. */
  own: number | null
  /** Of them those with this outcome, as their search keys say; null: there are too many to count. */
  denied: number | null
  failed: number | null
}

/** Batches of the ledger's own, and events of an outcome, that are counted at most, newest first. */
const MOST = { own: 50_000, found: 2_000 }
const DAY_MS = 86_400_000

/**
 * The days up to that of `now`, oldest first. Days begin where the log was at midnight, which is searched for by halves: log entries
 * are in the order of their acceptance, but for those that waited for the log at the same moment.
 */
export async function readDays(
  db: Db,
  days: number,
  now: number,
  most = MOST,
): Promise<{ events: number; days: DayCount[] }> {
  const first = Math.floor(now / DAY_MS) - days + 1
  const starts = Array.from({ length: days }, (_, i) => new Date((first + i) * DAY_MS))
  const { rows } = await db.query<{ entry: number; event: number }>(
    `with recursive log as (
       select coalesce(max(log_index) + 1, 0) as entries, coalesce(max(first_event + n), 0) as events
       from (select log_index, first_event, n from batches order by log_index desc limit 1) last),
     search (day, low, high) as (
       select day, 0::bigint, entries from log, unnest($1::timestamptz[]) day
       union all
       select day, case when accepted_at < day then mid + 1 else low end, case when accepted_at < day then high else mid end
       from (select *, (low + high) / 2 as mid from search where low < high) half
       left join lateral (select accepted_at from batches where log_index = mid) at on true)
     select low::float8 as entry, coalesce((select first_event from batches where log_index = low), events)::float8 as event
     from log, search where low = high
     union all select entries::float8, events::float8 from log
     order by entry, event`,
    [starts],
  )
  const bounds = rows.map(({ event }) => event)
  const own = await countOwn(
    db,
    rows.map(({ entry }) => entry),
    most.own,
  )
  const [denied, failed] = await Promise.all(
    (['denied', 'failure'] as const).map(async (outcome) =>
      countByDay(await findNumbers(db, { outcome }, bounds[0] ?? 0, most.found), bounds, most.found),
    ),
  )
  const counts = starts.map((start, i) => ({
    day: start.toISOString().slice(0, 10),
    events: bounds[i + 1]! - bounds[i]!,
    own: own[i]!,
    denied: denied![i]!,
    failed: failed![i]!,
  }))
  return { events: bounds.at(-1)!, days: counts }
}

/** Events of the ledger's own between each two entries. */
async function countOwn(db: Db, entries: readonly number[], most: number): Promise<(number | null)[]> {
  const { rows } = await db.query<{ day: number; events: number; oldest: number; batches: number }>(
    `select width_bucket(log_index, $2::bigint[]) as day, sum(n)::float8 as events, min(log_index)::float8 as oldest,
            count(*)::float8 as batches
     from (select log_index, n from batches where source = $1 and log_index >= $3 order by log_index desc limit $4) own
     group by 1`,
    [SYSTEM.source, entries, entries[0] ?? 0, most],
  )
  const isWhole = rows.reduce((sum, { batches }) => sum + batches, 0) < most
  const oldest = isWhole ? -1 : Math.min(...rows.map((row) => row.oldest))
  return entries.slice(0, -1).map((entry, i) => {
    // Several days may begin at one entry: width_bucket gives those behind it to the last of them.
    const count = rows.find(({ day }) => day === i + 1)?.events ?? 0
    return entry < oldest ? null : count
  })
}

/** How many of some numbers, the newest first, lie between each two bounds. */
function countByDay(numbers: readonly number[], bounds: readonly number[], most: number): (number | null)[] {
  const oldest = numbers.length < most ? -1 : numbers.at(-1)!
  return bounds
    .slice(0, -1)
    .map((low, i) =>
      low < oldest ? null : numbers.filter((number) => number >= low && number < bounds[i + 1]!).length,
    )
}
