/** Events in the order they were accepted, and the neighbours of one in its stream. */
import { EVENT_COLUMNS, type FoundEvent, type Row, toFound, type UnreadableEvent } from './found.ts'
import { numberAt } from './search.ts'
import type { Db } from './tiles.ts'

/** (log index, position in the batch) */
export type Place = readonly [logIndex: number, pos: number]

/** The place of the newest event; (-1, 0) before the first. */
export async function lastPlace(db: Db): Promise<Place> {
  const { rows } = await db.query<Row>('select log_index, pos from events order by number desc limit 1')
  return rows[0] === undefined ? [-1, 0] : [rows[0].log_index, rows[0].pos]
}

/** Events accepted after a place, oldest first, each with its own place to go on from. */
export async function eventsAfter(
  db: Db,
  [logIndex, pos]: Place,
  limit: number,
): Promise<{ event: FoundEvent | UnreadableEvent; place: Place }[]> {
  const { rows } = await db.query<Row>(
    `select ${EVENT_COLUMNS} from events e where number > coalesce(${numberAt('$1', '$2::int')}, -1) order by number limit $3`,
    [logIndex, pos, limit],
  )
  const events = await toFound(db, rows)
  return rows.map((row, i) => ({ event: events[i]!, place: [row.log_index, row.pos] }))
}

/** The events of a stream from `seq - span` to `seq + span`, in order. */
export async function readNeighbours(
  db: Db,
  at: { source: string; stream: string; seq: number; span: number },
): Promise<(FoundEvent | UnreadableEvent)[]> {
  const [first, last] = [Math.max(0, at.seq - at.span), at.seq + at.span]
  const { rows } = await db.query<Row>(
    `with covering as (
       (select first_event - seq as shift, n, seq from batches
        where source = $1 and stream = $2 and seq <= $3 order by seq desc limit 1)
       union all
       select first_event - seq, n, seq from batches where source = $1 and stream = $2 and seq > $3 and seq <= $4)
     select ${EVENT_COLUMNS} from covering c join events e
       on e.number >= c.shift + greatest($3, c.seq) and e.number <= c.shift + least($4, c.seq + c.n - 1)
     order by c.seq, e.number`,
    [at.source, at.stream, first, last],
  )
  return toFound(db, rows)
}
