/**
 * Index from search key to packs, kept as sorted runs: a log-structured merge tree of two levels (O'Neil et al., "The
 * log-structured merge-tree", 1996). docs/decisions/0004-keys-in-sorted-runs.md says why it is not an index of PostgreSQL. A run
 * holds the keys of a fixed number of consecutive events, short or long; the newest packs, which no run holds yet, are read
 * themselves. Runs never change: a long run is made from sixteen short ones, beside them, and is read instead.
 *
 * An entry is a number of 64 bits: the first 46 bits of a key, and the distance in events from the run's beginning to the pack's.
 * So an entry names a pack that may have a key, and the search must look into the pack.
 *
 * Each scheme of keys has its own runs. Those of the newest scheme grow with the log; a newer scheme begins new ones.
 */

import type { Db } from '../../database/pool.ts'
import { NEWEST, SCHEMES } from '../packs/filters.ts'

/** How many events a run holds: a short one (level 0) and a long one (level 1). */
export const RUN_EVENTS = [16_384, 262_144] as const

/** Names one run. `start`: the number of its first event, a multiple of RUN_EVENTS[level] */
export type Run = { scheme: number; level: 0 | 1; start: number }

export const ENTRY = 8
/** Bits of an entry for the pack's beginning: enough for a long run. */
export const OFFSET_MASK: number = 2 ** 18 - 1

/** Which runs a scheme has: how many events its long runs hold, and how many all its runs hold. */
export type Coverage = { scheme: number; long: number; all: number }

/** The coverage of the scheme whose runs hold most, out of some; the newest if several hold the same. */
export async function readCoverage(db: Db, schemes: readonly number[] = [NEWEST]): Promise<Coverage> {
  const end = (level: 0 | 1) =>
    `coalesce((select start + ${RUN_EVENTS[level]} from key_blocks b where b.scheme = s.scheme and level = ${level} order by start desc limit 1), 0)::float8`
  const { rows } = await db.query<{ scheme: number; short: number; long: number }>(
    `select s.scheme, ${end(0)} as short, ${end(1)} as long from unnest($1::smallint[]) as s (scheme) order by scheme desc`,
    [schemes],
  )
  const all = rows.map(({ scheme, short, long }) => ({ scheme, long, all: Math.max(short, long) }))
  return all.reduce((best, other) => (other.all > best.all ? other : best))
}

/** How many of the newest events no run holds yet. */
export async function readUnindexed(db: Db): Promise<number> {
  const { all } = await readCoverage(db)
  return Math.max(0, (await readLength(db)) - all)
}

export async function readLength(db: Db): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select first_event + n as n from batches order by log_index desc limit 1',
  )
  return rows[0]?.n ?? 0
}

/** The runs that hold events between two numbers, oldest first; long ones if they exist. */
export function runsBetween({ scheme, long, all }: Coverage, from: number, to: number): Run[] {
  const runs: Run[] = []
  for (let at = Math.max(0, from); at < Math.min(to, all); ) {
    const level = at < long ? 1 : 0
    const start = at - (at % RUN_EVENTS[level])
    runs.push({ scheme, level, start })
    at = start + RUN_EVENTS[level]
  }
  return runs
}

/** Stored runs that should not exist: of an unknown scheme, or for a part that the log does not have. */
export async function strayRuns(db: Db): Promise<{ scheme: number; level: number; start: number }[]> {
  const { rows } = await db.query<{ scheme: number; level: number; start: number }>(STORED)
  const length = await readLength(db)
  const isRun = ({ scheme, level, start }: (typeof rows)[number]) =>
    scheme in SCHEMES &&
    (level === 0 || level === 1) &&
    start % RUN_EVENTS[level] === 0 &&
    start + RUN_EVENTS[level] <= length
  return rows.filter((row) => !isRun(row))
}

/** Each run once, however many blocks it has. */
const STORED = `
  with recursive runs as (
    (select scheme, level, start from key_blocks order by scheme, level, start limit 1)
    union all
    select next.* from runs r cross join lateral (
      select scheme, level, start from key_blocks where (scheme, level, start) > (r.scheme, r.level, r.start)
      order by scheme, level, start limit 1) next)
  select scheme, level, start::float8 as start from runs`

/** Most runs that are read at a time; the number doubles each time. */
const MANY_RUNS = 128
/** How many blocks of one run are read for a key at first and at most; four times as many whenever they were not enough. */
const FEW_BLOCKS = 2
const MANY_BLOCKS = 128

/** A search for packs that begin in [from, to), in an order. */
export type Search = { from: number; to: number; order: 'newest' | 'oldest' }

/**
 * Packs that the runs name for all of some keys, in order, a few at a time. If every key is in very many packs, only the rarest
 * key is looked up, so the caller must look into the packs.
 */
export async function* findPacks(
  db: Db,
  coverage: Coverage,
  keys: readonly Buffer[],
  search: Search,
): AsyncGenerator<number[]> {
  const runs = runsBetween(coverage, search.from, search.to)
  if (search.order === 'newest') runs.reverse()
  for (let many = 1; runs.length > 0; many = Math.min(MANY_RUNS, 2 * many)) {
    const some = runs.splice(0, many)
    const lists = await readLists(db, some, keys, search, FEW_BLOCKS)
    for (const [i, run] of some.entries()) yield* packsOf(db, run, keys, search, lists[i]!)
  }
}

/** @param lists of the keys, as much of them as FEW_BLOCKS hold */
async function* packsOf(db: Db, run: Run, keys: readonly Buffer[], search: Search, lists: readonly List[]) {
  for (let blocks = FEW_BLOCKS; ; ) {
    const whole = lists.filter(({ isWhole }) => isWhole)
    const [list, ...others] = whole.length > 0 ? whole : [farthest(lists, search.order)]
    const sets = others.map(({ packs }) => new Set(packs))
    const packs = list!.packs.filter((pack) => sets.every((set) => set.has(pack)))
    if (packs.length > 0) yield packs
    const last = list!.packs.at(-1)
    if (list!.isWhole || last === undefined) return
    search = search.order === 'newest' ? { ...search, to: last } : { ...search, from: last + 1 }
    blocks = Math.min(MANY_BLOCKS, 4 * blocks)
    lists = (await readLists(db, [run], keys, search, blocks))[0]!
  }
}

/** Packs with one key in one run, in the order of the search; `isWhole`: there are no others. */
type List = { packs: number[]; isWhole: boolean }

const farthest = (lists: readonly List[], order: Search['order']) =>
  lists.toSorted((a, b) => (order === 'newest' ? 1 : -1) * (a.packs.at(-1)! - b.packs.at(-1)!))[0]!

/** For each run the list of each key, as much of it as `most` blocks hold. */
async function readLists(
  db: Db,
  runs: readonly Run[],
  keys: readonly Buffer[],
  { from, to, order }: Search,
  most: number,
): Promise<List[][]> {
  const wanted = runs.flatMap((run) => keys.map((key) => ({ ...run, ...entriesOf(run, key, from, to) })))
  const direction = order === 'newest' ? 'desc' : 'asc'
  const { rows } = await db.query<{ i: number; entries: Buffer }>(
    // The block before the first wanted entry may hold that entry.
    `select i::int, entries
     from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[]) with ordinality w (level, start, low, high, i)
     cross join lateral (
       select first, entries from key_blocks where scheme = $6 and level = w.level and start = w.start and first <= w.high and first >= (
         select first from key_blocks where scheme = $6 and level = w.level and start = w.start and first <= w.low order by first desc limit 1)
       order by first ${direction} limit $5) blocks
     order by i, first ${direction}`,
    [
      wanted.map(({ level }) => level),
      wanted.map(({ start }) => start),
      wanted.map(({ low }) => low),
      wanted.map(({ high }) => high),
      most,
      runs[0]!.scheme,
    ],
  )
  const blocks = Map.groupBy(rows, ({ i }) => i - 1)
  // A run begins below every entry, so a run that gives nothing is gone: it was made again, or will be.
  const gone = runs.filter((_, i) => keys.some((_, k) => !blocks.has(i * keys.length + k)))
  const begun = new Map(
    await Promise.all(gone.map(async (run) => [run, await packsIn(db, run, { from, to, order })] as const)),
  )
  const lists = wanted.map(({ start, low, high }, i): List => {
    const own = blocks.get(i) ?? []
    const packsOfGone = begun.get(runs[Math.floor(i / keys.length)]!)
    if (packsOfGone !== undefined) return { packs: packsOfGone, isWhole: true }
    const packs = own.flatMap(({ entries }) => {
      const offsets = offsetsBetween(entries, low, high)
      return (order === 'newest' ? offsets.reverse() : offsets).map((offset) => start + offset)
    })
    const last = own.at(-1)?.entries
    return { packs, isWhole: own.length < most || (order === 'newest' ? begins(last!, low) : ends(last!, high)) }
  })
  return runs.map((_, i) => lists.slice(i * keys.length, (i + 1) * keys.length))
}

/** All packs that begin in a run. */
async function packsIn(db: Db, { level, start }: Run, { from, to, order }: Search): Promise<number[]> {
  const { rows } = await db.query<{ first_event: number }>(
    `select first_event from packs where first_event >= $1 and first_event < $2
     order by first_event ${order === 'newest' ? 'desc' : 'asc'}`,
    [Math.max(from, start), Math.min(to, start + RUN_EVENTS[level])],
  )
  return rows.map(({ first_event }) => first_event)
}

/** Whether no earlier block holds an entry from `low` on. An empty block, which somebody must have altered, ends the list too. */
const begins = (entries: Buffer, low: bigint) => entries.length < ENTRY || entries.readBigInt64BE() <= low
const ends = (entries: Buffer, high: bigint) =>
  entries.length < ENTRY || entries.readBigInt64BE(entries.length - ENTRY) >= high

/** The least and the greatest entry that a key may have in a run, for packs that begin in [from, to). */
function entriesOf(run: Run, key: Buffer, from: number, to: number): { low: bigint; high: bigint } {
  const least = key.readBigInt64BE() & ~BigInt(OFFSET_MASK)
  const { start } = run
  const last = Math.min(RUN_EVENTS[run.level], to - start) - 1
  return { low: least + BigInt(Math.max(0, from - start)), high: least + BigInt(Math.max(0, last)) }
}

export function offsetsBetween(entries: Buffer, low: bigint, high: bigint): number[] {
  const offsets: number[] = []
  let at = ENTRY * firstFrom(entries, low)
  for (; at + ENTRY <= entries.length && entries.readBigInt64BE(at) <= high; at += ENTRY)
    offsets.push(entries.readInt32BE(at + 4) & OFFSET_MASK)
  return offsets
}

/** Index of the first entry that is not less than `low`. */
export function firstFrom(entries: Buffer, low: bigint): number {
  let from = 0
  let to = Math.floor(entries.length / ENTRY)
  while (from < to) {
    const middle = (from + to) >> 1
    if (entries.readBigInt64BE(ENTRY * middle) < low) from = middle + 1
    else to = middle
  }
  return from
}
