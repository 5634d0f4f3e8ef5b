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

/** Collects the values of a statement's parameters. */
function parameters() {
  const values: unknown[] = []
  return { values, place: (value: unknown) => `$${values.push(value)}` }
}

/** A page of events, newest first. The next page starts behind its last event; null: there is none. */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: (FoundEvent | UnreadableEvent)[]; next: readonly [number, number] | null }> {
  const isEmpty = query.from && query.to && query.from >= query.to
  const { action, actor, target } = query
  const isByBatch = [action, actor, target].every((term) => term === undefined) && (query.source || timeOf(query))
  const find = target !== undefined ? findByTarget : isByBatch ? findByBatch : findByTerm
  const rows = isEmpty ? [] : await find(db, query)
  const page = rows.slice(0, query.limit)
  const last = page.at(-1)
  return { events: await toFound(db, page), next: rows.length > query.limit ? [last!.log_index, last!.pos] : null }
}

type Place = (value: unknown) => string

const timeOf = ({ from, to }: EventQuery) => (from || to ? { from: from ?? null, to: to ?? null } : null)

/** What is asked of an event itself. */
function conditionsOf(query: EventQuery, place: Place): string[] {
  const conditions: string[] = []
  const add = (value: unknown, condition: (place: string) => string) => {
    if (value !== undefined && value !== null) conditions.push(condition(place(value)))
  }
  add(searchTerm(query.action), (term) => `e.action = ${term}`)
  add(searchTerm(query.actor), (term) => `e.actor = ${term}`)
  add(searchTerm(query.target), (term) => `e.targets @> array[${term}::text]`)
  add(searchTerm(query.source), (term) => `e.source = ${term}`)
  const time = timeOf(query)
  if (time) conditions.push(`tstzrange(${place(time.from)}, ${place(time.to)}) @> e.recorded_at`)
  return conditions
}

const where = (conditions: readonly string[]) => (conditions.length > 0 ? `where ${conditions.join(' and ')}` : '')

/** Batches with events of that time, wherever clocks jumped. */
const overlap = ({ from, to }: NonNullable<ReturnType<typeof timeOf>>, place: Place) =>
  `tstzrange(b.earliest, b.latest, '[]') && tstzrange(${place(from)}, ${place(to)})`

/** Bounds on an event's number: those of the page before, and of the batches with events of that time; null: there are none. */
function boundsOf(query: EventQuery, place: Place): { from: string[]; to: string[] } {
  const time = timeOf(query)
  const batch = (what: string, order: string) =>
    `(select ${what} from batches b where ${overlap(time!, place)} order by b.log_index ${order} limit 1)`
  return {
    from: time ? [batch('b.first_event', 'asc')] : [],
    to: [
      ...(query.before ? [numberAt(place(query.before[0]), `${place(query.before[1])}::int`)] : []),
      ...(time ? [batch('b.first_event + b.n', 'desc')] : []),
    ],
  }
}

async function findByTerm(db: Db, query: EventQuery): Promise<Row[]> {
  const { values, place } = parameters()
  const { from, to } = boundsOf(query, place)
  const bounds = [...from.map((number) => `e.number >= ${number}`), ...to.map((number) => `e.number < ${number}`)]
  const { rows } = await db.query<Row>(
    `select ${EVENT_COLUMNS} from events e ${where([...conditionsOf(query, place), ...bounds])}
     order by e.number desc limit ${place(query.limit + 1)}`,
    values,
  )
  return rows
}

/** A batch knows its source and the times of its events, so batches are the index; each gives its events newest first. */
async function findByBatch(db: Db, query: EventQuery): Promise<Row[]> {
  const { values, place } = parameters()
  const limit = place(query.limit + 1)
  const time = timeOf(query)
  const batches = time ? [overlap(time, place)] : []
  if (query.source !== undefined) batches.push(`b.source = ${place(searchTerm(query.source))}`)
  const events = [
    'e.number >= b.first_event',
    'e.number < b.first_event + b.n',
    ...conditionsOf({ ...query, source: undefined }, place),
  ]
  if (query.before) {
    const [logIndex, pos] = query.before
    batches.push(`b.log_index <= ${place(logIndex)}`)
    events.push(`e.number < ${numberAt(place(logIndex), `${place(pos)}::int`)}`)
  }
  const { rows } = await db.query<Row>(
    `select ${EVENT_COLUMNS} from batches b cross join lateral (
       select * from events e ${where(events)} order by e.number desc limit ${limit}) e
     ${where(batches)} order by b.log_index desc, e.number desc limit ${limit}`,
    values,
  )
  return rows
}

/** How many of the newest events are looked through for a target, then how many more. */
const SPANS = [2 ** 14, 2 ** 18, 2 ** 22, Number.POSITIVE_INFINITY]

/**
 * The index on targets has no order, and PostgreSQL guesses poorly how often one of them occurs; taking the log from its end
 * for one that is rare, it would read all of it. So the newest are looked through from the end, and of what lies further back
 * all events of the target are asked for, which only the index can give, and then sorted: the rarer, the further back.
 */
async function findByTarget(db: Db, query: EventQuery): Promise<Row[]> {
  const [low, high] = await readBounds(db, query)
  for (const span of SPANS) {
    const { values, place } = parameters()
    const from = Math.max(low, high - span)
    const bounds = [`e.number >= ${place(from)}`, `e.number < ${place(high)}`]
    const { rows } = await db.query<Row>(
      `with found as ${span === SPANS[0] ? 'not ' : ''}materialized (select e.number from events e ${where([...conditionsOf(query, place), ...bounds])})
       select ${EVENT_COLUMNS} from (select number from found order by number desc limit ${place(query.limit + 1)}) f
       join events e using (number) order by e.number desc`,
      values,
    )
    if (rows.length > query.limit || from === low) return rows
  }
  return []
}

/** Between which numbers the events asked for are; [0, 0]: there are none. */
async function readBounds(db: Db, query: EventQuery): Promise<[number, number]> {
  const { values, place } = parameters()
  const { from, to } = boundsOf(query, place)
  const end = '(select first_event + n from batches order by log_index desc limit 1)'
  const { rows } = await db.query<{ from: (number | null)[]; to: (number | null)[] }>(
    `select array[${['0', ...from].join()}]::float8[] as from, array[${[end, ...to].join()}]::float8[] as to`,
    values,
  )
  const [low, high] = [rows[0]!.from, rows[0]!.to]
  if (low.includes(null) || high.includes(null)) return [0, 0]
  return [Math.max(...(low as number[])), Math.min(...(high as number[]))]
}
