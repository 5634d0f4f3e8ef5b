/** Events in the order of acceptance, and an event's neighbours in its stream. */

import type { Db } from '../../database/pool.ts'
import { type EventPlace, type FoundEvent, type PlacedEvent, readFound, type UnreadableEvent } from './events.ts'
import { numberAt } from './search.ts'

/** The place of the newest event; (-1, 0) before the first. */
export async function lastPlace(db: Db): Promise<EventPlace> {
  const { rows } = await db.query<{ log_index: number; n: number }>(
    'select log_index, n from batches order by log_index desc limit 1',
  )
  return rows[0] === undefined ? [-1, 0] : [rows[0].log_index, rows[0].n - 1]
}

/** Events accepted after a place, oldest first, each with the place to continue from. */
export async function eventsAfter(db: Db, [logIndex, pos]: EventPlace, limit: number): Promise<PlacedEvent[]> {
  const { rows } = await db.query<{ number: number }>(
    `select number from
       (select coalesce(${numberAt('$1', '$2::int')}, -1) as last) p,
       (select first_event + n as size from batches order by log_index desc limit 1) b,
       generate_series(last + 1, least(last + $3, size - 1)) number`,
    [logIndex, pos, limit],
  )
  return readFound(
    db,
    rows.map(({ number }) => number),
  )
}

/** The events of a stream from `seq - span` to `seq + span`, in order. */
export async function readNeighbours(
  db: Db,
  at: { source: string; stream: string; seq: number; span: number },
): Promise<(FoundEvent | UnreadableEvent)[]> {
  const [first, last] = [Math.max(0, at.seq - at.span), at.seq + at.span]
  const { rows } = await db.query<{ number: number }>(
    `with covering as (
       (select first_event - seq as shift, n, seq from batches
        where source = $1 and stream = $2 and seq <= $3 order by seq desc limit 1)
       union all
       select first_event - seq, n, seq from batches where source = $1 and stream = $2 and seq > $3 and seq <= $4)
     select number from covering, generate_series(shift + greatest($3, seq), shift + least($4, seq + n - 1)) number
     order by seq, number`,
    [at.source, at.stream, first, last],
  )
  const found = await readFound(
    db,
    rows.map(({ number }) => number),
  )
  return found.map(({ event }) => event)
}
