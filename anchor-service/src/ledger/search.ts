import { isSourceName } from '@killick/sdk'
import { type Found, type FoundEvent, type Place, readFound, type UnreadableEvent } from './found.ts'
import { MAX_PACK_EVENTS, PARTITION, readPartitions, timeAt } from './packs.ts'
import { idOf, printKey, type TermKind, termKey } from './sketch.ts'
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
  /** the last event of the page before */
  before?: Place | undefined
}

/**
 * A page of events, newest first. The next page starts behind its last event; null: there is none. Events that cannot be read are
 * shown wherever what stands beside them says that they may match.
 */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: (FoundEvent | UnreadableEvent)[]; next: Place | null }> {
  const found: Found[] = []
  const missing = () => query.limit + 1 - found.length
  for await (const numbers of candidates(db, query, missing)) {
    const read = await readFound(db, numbers)
    found.push(...read.filter(({ event }) => 'error' in event || matches(event, query)))
    if (missing() <= 0) break
  }
  const page = found.slice(0, query.limit)
  return { events: page.map(({ event }) => event), next: found.length > query.limit ? page.at(-1)!.place : null }
}

function matches({ source, recordedAt, fields }: FoundEvent, query: EventQuery): boolean {
  const is = (wanted: string | undefined, value: unknown) => wanted === undefined || wanted === value
  const targets = Array.isArray(fields.targets) ? fields.targets : []
  return (
    is(query.source, source) &&
    is(query.action, fields.action) &&
    is(query.actor, idOf(fields.actor)) &&
    (query.target === undefined || targets.some((target) => idOf(target) === query.target)) &&
    isOfTime(Date.parse(recordedAt), query)
  )
}

/** Numbers of events that may match, from the newest on, as many at a time as are still wanted. */
function candidates(db: Db, query: EventQuery, wanted: () => number): AsyncIterable<number[]> | number[][] {
  const { action, actor, target, source, from, to } = query
  const isNone = (from && to && from >= to) || (source !== undefined && !isSourceName(source))
  if (isNone) return []
  if ([action, actor, target].some((term) => term !== undefined)) return findByTerms(db, query, wanted)
  return source !== undefined || from || to ? findByBatch(db, query, wanted) : findNewest(db, query, wanted)
}

/** Collects the values of a statement's parameters. */
function parameters() {
  const values: unknown[] = []
  return { values, place: (value: unknown) => `$${values.push(value)}` }
}

type Parameter = (value: unknown) => string

/** Batches with events of the query's time, wherever clocks jumped; null: it asks for no time. */
function ofTime({ from, to }: EventQuery, place: Parameter): string | null {
  if (!from && !to) return null
  return `tstzrange(b.earliest, b.latest, '[]') && tstzrange(${place(from ?? null)}, ${place(to ?? null)})`
}

/** The number of the event at a place, for SQL; null where the log ends before it. */
export const numberAt = (logIndex: string, pos: string) =>
  `(select first_event + ${pos} from batches where log_index = ${logIndex})`

/** So many batches of a time are read rather than looked for from an end of the log. */
const FEW_BATCHES = 1000

/** Between which numbers the events asked for are; [0, 0]: there are none. */
async function readBounds(db: Db, query: EventQuery): Promise<[low: number, high: number]> {
  const { values, place } = parameters()
  const time = ofTime(query, place)
  // PostgreSQL takes the batches of a time to be spread over the whole log, and would walk from its end to the first of them,
  // which is right for many. Of few the index by time gives all, and they are sorted.
  const edge = (what: string, order: 'asc' | 'desc') =>
    `case when (select count(*) from hits) < ${FEW_BATCHES} then (select ${what} from hits b order by b.log_index ${order} limit 1)
       else (select ${what} from batches b where ${time} order by b.log_index ${order} limit 1) end`
  const hits =
    time &&
    `with hits as materialized (select log_index, first_event, n from batches b where ${time} limit ${FEW_BATCHES})`
  // Of the oldest, packs may have been given up.
  const low = ['(select first_event from packs order by first_event limit 1)']
  const high = ['(select first_event + n from batches order by log_index desc limit 1)']
  if (time) low.push(edge('b.first_event', 'asc'))
  if (time) high.push(edge('b.first_event + b.n', 'desc'))
  if (query.before) high.push(numberAt(place(query.before[0]), `${place(query.before[1])}::int`))
  const { rows } = await db.query<{ low: (number | null)[]; high: (number | null)[] }>(
    `${hits ?? ''} select array[${low}]::float8[] as low, array[${high}]::float8[] as high`,
    values,
  )
  const bounds = rows[0]!
  if (bounds.low.includes(null) || bounds.high.includes(null)) return [0, 0]
  return [Math.max(...(bounds.low as number[])), Math.min(...(bounds.high as number[]))]
}

/** Whether an event that was recorded at a time (ms) is of the time that is asked for. */
const isOfTime = (time: number | null, { from, to }: EventQuery) =>
  (from === undefined || (time !== null && time >= from.getTime())) &&
  (to === undefined || (time !== null && time < to.getTime()))

/** Consecutive events: the number of the first, how many, and, where it matters, when they were recorded. */
type Run = { first: number; n: number; times: Buffer | null }

async function* findNewest(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  yield* numbersOf(query, await readBounds(db, query), wanted, async (high, most) => {
    const { rows } = await db.query<Run>(
      'select first_event as first, n, null as times from packs where first_event < $1 order by first_event desc limit $2',
      [high, most],
    )
    return { runs: rows, isMore: rows.length === most }
  })
}

/** A batch knows its source and between which times its events were recorded, so batches are the index. */
async function* findByBatch(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  let before = query.before ? query.before[0] + 1 : null
  const bounds = await readBounds(db, { ...query, from: undefined, to: undefined })
  yield* numbersOf(query, bounds, wanted, async (_, most) => {
    const { values, place } = parameters()
    const time = ofTime(query, place)
    const conditions = time ? [time] : []
    if (query.source !== undefined) conditions.push(`b.source = ${place(query.source)}`)
    if (before !== null) conditions.push(`b.log_index < ${place(before)}`)
    const { rows } = await db.query<Run & { log_index: number; first: number | null }>(
      `select b.log_index, p.first_event as first, p.n, ${time ? 'p.times' : 'null'} as times from (
         select log_index, least(first_event, 9007199254740991) as first_event, n from batches b
         where ${conditions.join(' and ')} order by log_index desc limit ${place(most)}) b
       left join packs p on p.first_event >= b.first_event and p.first_event < b.first_event + b.n
       order by b.log_index desc, p.first_event desc`,
      values,
    )
    before = rows.at(-1)?.log_index ?? null
    const batches = new Set(rows.map(({ log_index }) => log_index)).size
    return { runs: rows.filter(({ first }) => first !== null), isMore: batches === most }
  })
}

/** The numbers between two that lie in runs, from the upper one down. `read` gives the runs next below a number. */
async function* numbersOf(
  query: EventQuery,
  [low, end]: readonly [number, number],
  wanted: () => number,
  read: (high: number, most: number) => Promise<{ runs: Run[]; isMore: boolean }>,
): AsyncGenerator<number[]> {
  let numbers: number[] = []
  for (let high = end, isLast = high <= low; !isLast; ) {
    const { runs, isMore } = await read(high, wanted())
    for (const { first, n, times } of runs) {
      for (high = Math.min(high, first + n); high > Math.max(first, low); ) {
        high--
        if (times !== null && !isOfTime(timeAt(times, high - first), query)) continue
        numbers.push(high)
        if (numbers.length < wanted()) continue
        yield numbers
        numbers = []
      }
    }
    isLast = !isMore || high <= low
  }
  if (numbers.length > 0) yield numbers
}

/** How many packs are walked through at first, how many more each time, and at most at a time. */
const FIRST_STEP = 4
const STEP_GROWTH = 16
const LAST_STEP = 4096
/** Where fewer than one of so many packs hold the keys, walking on is not worth it. */
const SPARSE = 64
/** Packs that are read at first, and at most; twice as many each time that they were not enough. */
const FEW_PACKS = 4
const MANY_PACKS = 256

/**
 * Packs are found by the keys of their events, in an index that has no order: of a partition it gives all packs with the keys,
 * which are then sorted. So what is frequent is looked for in the newest packs, one after another; and what proves to be rare
 * there, or would be few packs of a partition in any case, by the index, in ever more partitions. PostgreSQL is left no choice,
 * for it guesses poorly how often a key occurs, and does not know that the keys of a large pack lie apart from its row, so that
 * reading them costs a thousand times as much.
 */
async function* findByTerms(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  const kinds = (['action', 'actor', 'target'] as const).filter((kind) => query[kind] !== undefined)
  const keyOf = (kind: TermKind) => printKey(termKey(kind, query[kind]!))
  const ofEvents = kinds.map(keyOf)
  const ofPack = query.source === undefined ? ofEvents : [...ofEvents, keyOf('source')]
  const [low, end] = await readBounds(db, query)
  // The pack that holds the lowest event may begin before it.
  const least = low - MAX_PACK_EVENTS
  let high = end
  let found = 0

  async function* look(from: number, partitions: number[] | null): AsyncGenerator<number[]> {
    found = 0
    for (let most = FEW_PACKS, isMore = true; isMore; most = Math.min(MANY_PACKS, 2 * most)) {
      const packs = await readMatches(db, ofPack, ofEvents, { from, high, most, partitions })
      for (const { first_event, times, matches } of packs) {
        high = first_event
        const isWanted = (number: number) =>
          number >= low && number < end && isOfTime(timeAt(times, number - first_event), query)
        const numbers = matches.filter(isWanted)
        while (numbers.length > 0) yield numbers.splice(0, wanted())
      }
      found += packs.length
      isMore = packs.length === most
    }
    high = Math.min(high, from)
  }

  for (let step = FIRST_STEP; high > least; step = Math.min(LAST_STEP, STEP_GROWTH * step)) {
    const from = Math.max(least, await readStep(db, high, step))
    const areLarge = high - from >= SPARSE * step
    yield* look(from, null)
    if (found * SPARSE < step && (areLarge || step > FIRST_STEP)) break
  }
  const partitions = high > least ? await readPartitions(db) : []
  const rest = partitions.filter((partition) => partition * PARTITION < high && (partition + 1) * PARTITION > least)
  for (let many = 1; rest.length > 0; many *= 2) {
    const some = rest.splice(0, many)
    yield* look(Math.max(least, some.at(-1)! * PARTITION), some)
  }
}

/** Where the `step`-th pack below `high` begins; -∞ where there are not so many. */
async function readStep(db: Db, high: number, step: number): Promise<number> {
  const { rows } = await db.query<{ first_event: number }>(
    'select first_event from packs where first_event < $1 order by first_event desc offset $2 limit 1',
    [high, step - 1],
  )
  return rows[0]?.first_event ?? Number.NEGATIVE_INFINITY
}

/** Packs that begin in [from, high), by their order or by the index of some partitions; at most `most`. */
type Range = { from: number; high: number; most: number; partitions: number[] | null }

/** The newest packs of a range that have all keys; of each, the numbers of events that have them, newest first. */
async function readMatches(
  db: Db,
  ofPack: readonly string[],
  ofEvents: readonly string[],
  { from, high, most, partitions }: Range,
) {
  const { values, place } = parameters()
  const places = ofEvents.map((key) => `array_positions(keys, ${place(key)}::bigint) as "${key}"`)
  const hasKeys = `keys @> ${place(ofPack)}::bigint[]`
  const inRange = `first_event >= ${place(from)} and first_event < ${place(high)}`
  const tables = (partitions ?? []).map((partition) => `select first_event from packs_${partition} where ${hasKeys}`)
  const found =
    partitions === null
      ? `select first_event from packs where ${hasKeys} and ${inRange}`
      : `select first_event from found where ${inRange}`
  const { rows } = await db.query<{ first_event: number; key_counts: Buffer; times: Buffer; [key: string]: unknown }>(
    `${partitions === null ? '' : `with found as materialized (${tables.join(' union all ')})`}
     select first_event, key_counts, times, ${places}
     from (${found} order by first_event desc limit ${place(most)}) newest join packs using (first_event)
     order by first_event desc`,
    values,
  )
  return rows.map((row) => {
    const { first_event, key_counts, times } = row
    const [some, ...others] = ofEvents.map((key) => ownersOf(row[key] as number[], key_counts))
    const all = [...some!].filter((pos) => others.every((owners) => owners.has(pos)))
    return { first_event, times, matches: all.map((pos) => first_event + pos).reverse() }
  })
}

/** Which events of a pack have the keys at these places (from 1; the first is that of the source). */
function ownersOf(places: readonly number[], keyCounts: Buffer): Set<number> {
  const owners = new Set<number>()
  let event = -1
  let end = 1
  for (const place of places) {
    while (place > end && 2 * (event + 1) < keyCounts.length) end += keyCounts.readUInt16BE(2 * ++event)
    if (event >= 0) owners.add(event)
  }
  return owners
}
