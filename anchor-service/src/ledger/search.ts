import { EVENT_COLUMNS, type FoundEvent, type Row, toFound, type UnreadableEvent } from './found.ts'
import { searchTerm } from './rows.ts'
import type { Db } from './tiles.ts'

/** Conditions that all must hold; times are when the event was recorded, `from` inclusive, `to` exclusive. */
export type EventQuery = {
  action?: string | undefined
  /** id of the actor */
  actor?: string | undefined
  /** id of one of the targets */
  target?: string | undefined
  source?: string | undefined
  from?: Date | undefined
  to?: Date | undefined
  /** 1 to 500 */
  limit: number
  /** the last event of the page before: (log index, position in its batch) */
  before?: readonly [logIndex: number, pos: number] | undefined
}

/** The number of the event at a place, for SQL; null where the log ends before it. */
export const numberAt = (logIndex: string, pos: string) =>
  `(select first_event + ${pos} from batches where log_index = ${logIndex})`

/** A page of events, newest first. The next page starts behind its last event; null: there is none. */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: (FoundEvent | UnreadableEvent)[]; next: readonly [number, number] | null }> {
  const values: unknown[] = []
  const place = (value: unknown) => `$${values.push(value)}`
  const conditions: string[] = []
  const add = (value: unknown, condition: (place: string) => string) => {
    if (value !== undefined && value !== null) conditions.push(condition(place(value)))
  }
  add(searchTerm(query.action), (term) => `e.action = ${term}`)
  add(searchTerm(query.actor), (term) => `e.actor = ${term}`)
  add(searchTerm(query.target), (term) => `e.targets @> array[${term}::text]`)
  const window: string[] = []
  if (query.from || query.to) {
    if (query.from && query.to && query.from >= query.to) return { events: [], next: null }
    const [from, to] = [place(query.from ?? null), place(query.to ?? null)]
    window.push(`tstzrange(b.earliest, b.latest, '[]') && tstzrange(${from}, ${to})`)
    conditions.push(`tstzrange(${from}, ${to}) @> e.recorded_at`)
  }
  if (query.before) {
    const [logIndex, pos] = query.before
    conditions.push(`e.number < ${numberAt(place(logIndex), `${place(pos)}::int`)}`)
  }
  const limit = place(query.limit + 1)
  const source = searchTerm(query.source)
  const isFoundByTerm = [query.action, query.actor, query.target].some((term) => term !== undefined)
  let sql: string
  if (!isFoundByTerm && (source !== null || window.length > 0)) {
    // A batch knows its source and the times of its events, so batches are the index, wherever clocks jumped; each gives its
    // events newest first.
    if (source !== null) window.push(`b.source = ${place(source)}`)
    if (query.before) window.push(`b.log_index <= ${place(query.before[0])}`)
    sql = `select ${EVENT_COLUMNS} from batches b cross join lateral (
             select * from events e
             where ${['e.number >= b.first_event', 'e.number < b.first_event + b.n', ...conditions].join(' and ')}
             order by e.number desc limit ${limit}) e
           where ${window.join(' and ')}
           order by b.log_index desc, e.number desc limit ${limit}`
  } else {
    if (source !== null) conditions.push(`e.source = ${place(source)}`)
    if (window.length > 0) {
      // Of a frequent term, only what lies between the first and the last batch with events of that time.
      const bound = (what: string, order: string) =>
        `(select ${what} from batches b where ${window.join(' and ')} order by b.log_index ${order} limit 1)`
      conditions.push(`e.number >= ${bound('b.first_event', 'asc')}`)
      conditions.push(`e.number < ${bound('b.first_event + b.n', 'desc')}`)
    }
    sql = `select ${EVENT_COLUMNS} from events e ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
           order by e.number desc limit ${limit}`
  }
  const { rows } = await db.query<Row>(sql, values)
  const page = rows.slice(0, query.limit)
  const last = page.at(-1)
  return { events: await toFound(db, page), next: rows.length > query.limit ? [last!.log_index, last!.pos] : null }
}
