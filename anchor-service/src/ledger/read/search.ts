import { isSourceName, type JsonValue } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { findPacks, readCoverage } from '../index/runs.ts'
import { idOf, termKey } from '../packs/event-keys.ts'
import { MAX_PACK_EVENTS, timeAt } from '../packs/read-pack.ts'
import { type EventPlace, type FoundEvent, type PlacedEvent, readFound, type UnreadableEvent } from './events.ts'

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
  before?: EventPlace | undefined
}

/**
 * A page of events, newest first. The next page starts behind its last event; null: there is none. Events that cannot be read, and
 * those that have lost the field that is asked for, are shown wherever what stands beside them says that they may match.
 */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: (FoundEvent | UnreadableEvent)[]; next: EventPlace | null }> {
  const found: PlacedEvent[] = []
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
  // Every event had these when it was accepted.
  const {
    action = query.action,
    actor = { id: query.actor ?? null },
    targets = [{ id: query.target ?? null }],
  } = fields
  return (
    is(query.source, source) &&
    is(query.action, action) &&
    is(query.actor, idOf(actor)) &&
    (query.target === undefined || (targets as JsonValue[]).some((target) => idOf(target) === query.target)) &&
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

async function* findByTerms(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  const kinds = (['action', 'actor', 'target'] as const).filter((kind) => query[kind] !== undefined)
  const ofEvents = kinds.map((kind) => termKey(kind, query[kind]!))
  const ofPack = query.source === undefined ? ofEvents : [...ofEvents, termKey('source', query.source)]
  const [low, end] = await readBounds(db, query)
  // The pack that holds the lowest event may begin before it.
  for await (const pack of packsWith(db, ofPack, Math.max(0, low - MAX_PACK_EVENTS), end)) {
    const { first_event, times, keys, key_counts } = pack
    const numbers = eventsWith(ofEvents, keys, key_counts)
      .filter((pos) => isOfTime(timeAt(times, pos), query))
      .map((pos) => first_event + pos)
      .filter((number) => number >= low && number < end)
      .reverse()
    while (numbers.length > 0) yield numbers.splice(0, wanted())
  }
}

/** What events of a pack are found by. */
type PackKeys = { first_event: number; times: Buffer; keys: Buffer; key_counts: Buffer }

const PACK_KEYS = 'first_event, times, keys, key_counts'

/** Packs that are read at first, and at most; twice as many each time that they were not enough. */
const FEW_PACKS = 4
const MANY_PACKS = 64

/**
 * The packs that begin in [from, to) and have all keys, newest first: of the newest, which are in no run yet, each is looked at;
 * of all others, those that runs name.
 */
async function* packsWith(db: Db, keys: readonly Buffer[], from: number, to: number): AsyncGenerator<PackKeys> {
  const coverage = await readCoverage(db)
  yield* readPacks(db, keys, Math.max(from, coverage.all), to)
  const search = { from, to: Math.min(to, coverage.all), order: 'newest' } as const
  let many = FEW_PACKS
  for await (const found of findPacks(db, coverage, keys, search))
    for (; found.length > 0; many = Math.min(MANY_PACKS, 2 * many))
      yield* await readFoundPacks(db, keys, found.splice(0, many))
}

function haveKeys(keys: readonly Buffer[], place: Parameter): string {
  return keys.map((key) => `position(${place(key)}::bytea in keys) > 0`).join(' and ')
}

async function* readPacks(db: Db, keys: readonly Buffer[], from: number, end: number): AsyncGenerator<PackKeys> {
  for (let high = end, many = FEW_PACKS; high > from; many = Math.min(MANY_PACKS, 2 * many)) {
    const { values, place } = parameters()
    const { rows } = await db.query<PackKeys>(
      `select ${PACK_KEYS} from packs where first_event >= ${place(from)} and first_event < ${place(high)}
         and ${haveKeys(keys, place)} order by first_event desc limit ${place(many)}`,
      values,
    )
    yield* rows
    high = rows.length < many ? from : rows.at(-1)!.first_event
  }
}

/** Those of some packs that have all keys, newest first. */
async function readFoundPacks(db: Db, keys: readonly Buffer[], found: readonly number[]): Promise<PackKeys[]> {
  const { values, place } = parameters()
  const { rows } = await db.query<PackKeys>(
    `select ${PACK_KEYS} from unnest(${place(found)}::bigint[]) as found (first_event) join packs using (first_event)
     where ${haveKeys(keys, place)} order by first_event desc`,
    values,
  )
  return rows
}

/** Which events of a pack have all keys. The first key of a pack is that of its source. */
function eventsWith(wanted: readonly Buffer[], keys: Buffer, keyCounts: Buffer): number[] {
  const [some, ...others] = wanted.map((key) => ownersOf(key, keys, keyCounts))
  return [...some!].filter((pos) => others.every((owners) => owners.has(pos)))
}

function ownersOf(key: Buffer, keys: Buffer, keyCounts: Buffer): Set<number> {
  const owners = new Set<number>()
  let event = -1
  let end = 8
  for (let at = keys.indexOf(key, end); at >= 0; at = keys.indexOf(key, at + 1)) {
    if (at % 8 !== 0) continue
    while (at >= end && 2 * (event + 1) < keyCounts.length) end += 8 * keyCounts.readUInt16BE(2 * ++event)
    if (event >= 0) owners.add(event)
  }
  return owners
}
