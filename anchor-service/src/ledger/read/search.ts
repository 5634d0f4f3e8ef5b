import { isSourceName, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { hidden, prepared } from '../../database/prepared.ts'
import { keyIndexOf } from '../index/key-index.ts'
import { eventsWith, type PackKeys, termKey } from '../packs/event-keys.ts'
import { asked, type Filters, schemesWith } from '../packs/filters.ts'
import { makeKeys, readWhole } from '../packs/make-keys.ts'
import { MAX_PACK_EVENTS, timeAt } from '../packs/read-pack.ts'
import { type EventPlace, type FoundEvent, type PlacedEvent, readFound, type UnreadableEvent } from './events.ts'

/** Conditions that must all hold; times are times of recording, `from` inclusive, `to` exclusive. */
export type EventConditions = Filters & {
  from?: Date | undefined
  to?: Date | undefined
  /** False: without the ledger's own events. */
  own?: boolean | undefined
}

export type EventQuery = EventConditions & {
  /** 1 to 500 */
  limit: number
  /** the last event of the page before */
  before?: EventPlace | undefined
}

/**
 * A page of events, newest first. The next page starts after its last event; null: there is none. Events that cannot be read, or
 * that have lost the field in question, are shown if the columns beside them say that they may match.
 */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: (FoundEvent | UnreadableEvent)[]; next: EventPlace | null }> {
  const found: PlacedEvent[] = []
  const missing = () => query.limit + 1 - found.length
  for await (const numbers of candidates(db, query, missing)) {
    const read = await readFound(db, numbers)
    found.push(...read.filter(({ event }) => matches(event, query)))
    if (missing() <= 0) break
  }
  const page = found.slice(0, query.limit)
  return { events: page.map(({ event }) => event), next: found.length > query.limit ? page.at(-1)!.place : null }
}

/**
 * Numbers of the newest events that may match, at most `most`, to be read with `readMatching`. The next part of the search begins
 * before `next`; null: there is none. What is recorded meanwhile comes before all of them, and is in no later part.
 */
export async function findPart(
  db: Db,
  query: EventConditions & Pick<EventQuery, 'before'>,
  most: number,
): Promise<{ numbers: number[]; next: EventPlace | null }> {
  const found: number[] = []
  const missing = () => most + 1 - found.length
  for await (const numbers of candidates(db, { ...query, limit: most }, () => Math.min(TAKEN, missing()))) {
    found.push(...numbers)
    if (missing() <= 0) break
  }
  const numbers = found.slice(0, most)
  return { numbers, next: found.length > most ? await placeOf(db, numbers.at(-1)!) : null }
}

/** The events of a part that do match, in order: as many at a time as have half a megabyte. */
export async function* readMatching(
  db: Db,
  numbers: readonly number[],
  query: EventConditions,
): AsyncGenerator<(FoundEvent | UnreadableEvent)[]> {
  for (let at = 0, step = FIRST_STEP; at < numbers.length; ) {
    const read = await readFound(db, numbers.slice(at, at + step))
    at += step
    const bytes = read.reduce((sum, { event }) => sum + ('error' in event ? 0 : event.token.length), 0)
    step = Math.min(TAKEN, Math.max(1, Math.floor((step * STEP_BYTES) / Math.max(1, bytes))))
    yield read.filter(({ event }) => matches(event, query)).map(({ event }) => event)
  }
}

/** The first events are so few that they may be as large as an event can be. */
const FIRST_STEP = 8
const STEP_BYTES = 1 << 19

/** Null: the log does not hold it any more, nor any before it. */
async function placeOf(db: Db, number: number): Promise<EventPlace | null> {
  const { rows } = await db.query<{ log_index: number; pos: number }>(
    'select log_index, pos + ($1 - first_event)::int as pos from packs where first_event <= $1 order by first_event desc limit 1',
    [number],
  )
  return rows[0] === undefined ? null : [rows[0].log_index, rows[0].pos]
}

/** All events that match, newest first, each with its number in the log. It reads no more of them than are taken. */
export async function* findPlaced(
  db: Db,
  query: EventConditions,
): AsyncGenerator<{ event: FoundEvent | UnreadableEvent; number: number }> {
  for await (const numbers of candidates(db, { ...query, limit: TAKEN }, () => TAKEN)) {
    const read = await readFound(db, numbers)
    yield* read.filter(({ event }) => matches(event, query))
  }
}

/** How many events are read at a time where all are wanted. */
const TAKEN = 500

/**
 * Numbers of the events that may match, newest first and down to `low`, at most `most`. They are not read: what search keys and
 * times say of them counts, which is all there is to say of any but altered events.
 */
export async function findNumbers(db: Db, query: EventConditions, low: number, most: number): Promise<number[]> {
  const found: number[] = []
  for await (const numbers of candidates(db, { ...query, limit: most }, () => Math.max(1, most - found.length))) {
    found.push(...numbers.filter((number) => number >= low))
    if (found.length >= most || numbers.at(-1)! < low) break
  }
  return found.slice(0, most)
}

/** Whether a candidate matches; one that cannot be read always may. */
export function matches(event: FoundEvent | UnreadableEvent, query: EventConditions): boolean {
  if (query.own === false && event.source === SYSTEM.source) return false
  if ('error' in event) return true
  const { source, stream, fields, missing = 0, erased = 0, expired = 0 } = event
  const shown = { source, stream, fields, isWhole: missing + erased + expired === 0 }
  return (
    asked(query).every(([filter, text]) => filter.matches(shown, text)) && isOfTime(Date.parse(event.recordedAt), query)
  )
}

/** Numbers of events that may match, newest first, as many at a time as are still wanted. */
function candidates(db: Db, query: EventQuery, wanted: () => number): AsyncIterable<number[]> | number[][] {
  const { source, from, to } = query
  const isNone = (from && to && from >= to) || (source !== undefined && !isSourceName(source))
  if (isNone) return []
  if (asked(query).length > (source === undefined ? 0 : 1)) return findByTerms(db, query, wanted)
  return source !== undefined || from || to || query.own === false
    ? findByBatch(db, query, wanted)
    : findNewest(db, query, wanted)
}

/** Collects the values of a statement's parameters. */
function parameters() {
  const values: unknown[] = []
  return { values, place: (value: unknown) => `$${values.push(value)}` }
}

type Parameter = (value: unknown) => string

/** Condition for batches with events of the query's time, even where clocks jumped; null: the query has no time. */
function ofTime({ from, to }: EventConditions, place: Parameter): string | null {
  if (!from && !to) return null
  return `tstzrange(b.earliest, b.latest, '[]') && tstzrange(${place(from ?? null)}, ${place(to ?? null)})`
}

/** SQL for the number of the event at a place; null if the log ends before it. */
export const numberAt = (logIndex: string, pos: string) =>
  `(select first_event + ${pos} from batches where log_index = ${logIndex})`

/** Up to this many batches of a time are read and sorted, instead of walked to from an end of the log. */
const FEW_BATCHES = 1000

/** The range of numbers of the events asked for; [0, 0]: there are none. */
async function readBounds(db: Db, query: EventQuery): Promise<[low: number, high: number]> {
  const { values, place } = parameters()
  const time = ofTime(query, place)
  // PostgreSQL assumes that the batches of a time are spread over the whole log, and would walk from its end to the first of
  // them. That is right if they are many. If they are few, the index by time gives all of them, and they are sorted.
  const edge = (what: string, order: 'asc' | 'desc') =>
    `case when (select count(*) from hits) < ${FEW_BATCHES} then (select ${what} from hits b order by b.log_index ${order} limit 1)
       else (select ${what} from batches b where ${time} order by b.log_index ${order} limit 1) end`
  const hits =
    time &&
    `with hits as materialized (select log_index, first_event, n from batches b where ${time} limit ${FEW_BATCHES})`
  // The oldest packs may have been dropped.
  const low = ['(select first_event from packs order by first_event limit 1)']
  const high = ['(select first_event + n from batches order by log_index desc limit 1)']
  if (time) low.push(edge('b.first_event', 'asc'))
  if (time) high.push(edge('b.first_event + b.n', 'desc'))
  if (query.before) high.push(numberAt(place(query.before[0]), `${place(query.before[1])}::int`))
  const { rows } = await db.query<{ low: (number | null)[]; high: (number | null)[] }>(
    // Not prepared: how the index by time is best read depends on how long the time is.
    `${hits ?? ''} select array[${low}]::float8[] as low, array[${high}]::float8[] as high`,
    values,
  )
  const bounds = rows[0]!
  if (bounds.low.includes(null) || bounds.high.includes(null)) return [0, 0]
  return [Math.max(...(bounds.low as number[])), Math.min(...(bounds.high as number[]))]
}

/** Whether a time of recording (ms) is within the query's time. */
const isOfTime = (time: number | null, { from, to }: EventConditions) =>
  (from === undefined || (time !== null && time >= from.getTime())) &&
  (to === undefined || (time !== null && time < to.getTime()))

/** Consecutive events: the number of the first, how many, and if it matters, their times of recording. */
type Run = { first: number; n: number; times: Buffer | null }

async function* findNewest(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  yield* numbersOf(query, await readBounds(db, query), wanted, async (high, most) => {
    const { rows } = await db.query<Run>(
      prepared(
        'select first_event as first, n, null as times from packs where first_event < $1 order by first_event desc limit $2',
        [high, most],
      ),
    )
    return { runs: rows, isMore: rows.length === most }
  })
}

/** A batch has its source and the range of its events' times, so the batches are the index. */
async function* findByBatch(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  let before = query.before ? query.before[0] + 1 : null
  const bounds = await readBounds(db, { ...query, from: undefined, to: undefined })
  yield* numbersOf(query, bounds, wanted, async (_, most) => {
    const { values, place } = parameters()
    const time = ofTime(query, place)
    const conditions = time ? [time] : []
    if (query.source !== undefined) conditions.push(`b.source = ${place(query.source)}`)
    if (query.own === false) conditions.push(`b.source <> ${place(SYSTEM.source)}`)
    if (before !== null) conditions.push(`b.log_index < ${place(before)}`)
    // Not prepared: whether it is read by time or down the log depends on how many batches the time has.
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

/** The numbers between two that are in ranges, from the upper one down. `read` gives the next ranges below a number. */
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

/** The keys of a search for packs. */
type Wanted = {
  /** Keys that one event must have. */
  ofEvents: Buffer[]
  /** Keys that its pack must have: these, and those of the pack itself. */
  ofPack: Buffer[]
  /** The schemes that have them all. */
  schemes: number[]
}

async function* findByTerms(db: Db, query: EventQuery, wanted: () => number): AsyncGenerator<number[]> {
  const filters = asked(query).map(([filter, text]) => ({ ...filter, ...filter.term(text) }))
  const terms = filters.map(({ kind, text, isOfPack }) => ({ key: termKey(kind, text), isOfPack }))
  const keys: Wanted = {
    ofEvents: terms.filter(({ isOfPack }) => !isOfPack).map(({ key }) => key),
    ofPack: terms.map(({ key }) => key),
    schemes: schemesWith(filters),
  }
  const [low, end] = await readBounds(db, query)
  // The pack that holds the lowest event may begin before it.
  for await (const packs of packsWith(db, keys, Math.max(0, low - MAX_PACK_EVENTS), end)) {
    // Events of all packs that were read together are passed on together, since each time they are read costs a statement.
    const numbers: number[] = []
    for (const pack of packs) {
      const { first_event, times } = pack
      const places = isKeyed(pack) ? eventsWith(keys.ofEvents, pack) : await lookThrough(db, pack, keys)
      const found = places
        .filter((pos) => isOfTime(timeAt(times, pos), query))
        .map((pos) => first_event + pos)
        .filter((number) => number >= low && number < end)
      numbers.push(...found.reverse())
      while (numbers.length >= wanted()) yield numbers.splice(0, wanted())
    }
    if (numbers.length > 0) yield numbers
  }
}

/** Which events of a pack without stored keys may have all of some keys: those that have them, and those that cannot be read. */
async function lookThrough(db: Db, { first_event, n }: KeyedPack, { ofEvents, ofPack }: Wanted): Promise<number[]> {
  for await (const pack of readWhole(db, first_event, first_event + 1)) {
    const made = await makeKeys(pack)
    if (made === null) break
    const { keys, lost } = made
    const isFound = ofPack.every((key) => keys.includes(key))
    const found = new Set([...(isFound ? eventsWith(ofEvents, made) : []), ...lost])
    return [...found].sort((a, b) => a - b)
  }
  return Array.from({ length: n }, (_, pos) => pos)
}

/** A pack with its keys; null: it has no keys of a suitable scheme. */
type KeyedPack = { first_event: number; n: number; times: Buffer; keys: Buffer | null; key_counts: Buffer | null }

const isKeyed = (pack: KeyedPack): pack is KeyedPack & PackKeys => pack.keys !== null && pack.key_counts !== null

const KEYED_PACK = 'p.first_event, p.n, p.times, k.keys, k.key_counts'

/** How many packs are read at first and at most; twice as many whenever they were not enough. */
const FEW_PACKS = 4
const MANY_PACKS = 64
/** A range of so few events, as that of a short time is, is looked through at once: each statement costs more than some packs. */
const SHORT_RANGE = 4096
const packsAtFirst = (from: number, to: number) => (to - from <= SHORT_RANGE ? MANY_PACKS : FEW_PACKS)

/**
 * The packs that begin in [from, to) and have all keys, or have no keys of the schemes, newest first, each once, as many together as are
 * read together. Each of the newest packs, which no run holds yet, is looked at; of all others, those that the runs name.
 */
async function* packsWith(db: Db, wanted: Wanted, from: number, to: number): AsyncGenerator<KeyedPack[]> {
  const index = keyIndexOf(db)
  const { scheme, end } = await index.end(wanted.schemes)
  yield* readPacks(db, wanted, Math.max(from, end), to)
  const search = { from, to: Math.min(to, end), order: 'newest' } as const
  let many = packsAtFirst(from, to)
  for await (const found of index.find(scheme, wanted.ofPack, search))
    for (; found.length > 0; many = Math.min(MANY_PACKS, 2 * many))
      yield once(await readFoundPacks(db, wanted, found.splice(0, many)))
}

/**
 * The rows with the keys of pack `p`, to be followed by `offset 0`: without it PostgreSQL joins both tables as it thinks best. Of a
 * partition that it has not counted yet it thinks that hardly anything is in it, and it compared each row of one with each of the other.
 */
const keysOfPack = ({ schemes }: Wanted, place: Parameter) =>
  `select first_event, keys, key_counts from pack_keys
   where first_event = p.first_event and scheme = any(${place(schemes)}::smallint[])`

function haveKeys({ ofPack }: Wanted, place: Parameter): string {
  return `(k.first_event is null or ${ofPack.map((key) => `position(${place(key)}::bytea in k.keys) > 0`).join(' and ')})`
}

/** A pack may have keys of several schemes, which say the same. */
const once = (packs: readonly KeyedPack[]) =>
  packs.filter(({ first_event }, i) => packs[i - 1]?.first_event !== first_event)

async function* readPacks(db: Db, wanted: Wanted, from: number, end: number): AsyncGenerator<KeyedPack[]> {
  for (let high = end, many = packsAtFirst(from, end); high > from; many = Math.min(MANY_PACKS, 2 * many)) {
    const { values, place } = parameters()
    const [low, below] = [place(from), place(high)]
    const { rows } = await db.query<KeyedPack>(
      prepared(
        `select ${KEYED_PACK} from packs p left join lateral (
           ${keysOfPack(wanted, place)} and first_event >= ${low} and first_event < ${below} offset 0) k on true
         where p.first_event >= ${low} and p.first_event < ${below} and ${haveKeys(wanted, place)}
         order by p.first_event desc limit ${place(many)}`,
        values,
      ),
    )
    yield once(rows)
    high = rows.length < many ? from : rows.at(-1)!.first_event
  }
}

/** Of some packs, those that have all keys, or no keys of the schemes, newest first. */
async function readFoundPacks(db: Db, wanted: Wanted, found: readonly number[]): Promise<KeyedPack[]> {
  const { values, place } = parameters()
  const { rows } = await db.query<KeyedPack>(
    prepared(
      `select ${KEYED_PACK} from unnest(${hidden(`${place(found)}::bigint[]`)}) as found (first_event) join packs p using (first_event)
         left join lateral (${keysOfPack(wanted, place)} offset 0) k on true
       where ${haveKeys(wanted, place)} order by p.first_event desc`,
      values,
    ),
  )
  return rows
}
