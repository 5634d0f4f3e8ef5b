// The packs that runs name for keys, in order.
import type { Db } from '../../database/pool.ts'
import { hidden, prepared } from '../../database/prepared.ts'
import { ENTRY, heldRuns, lengthOf, OFFSET_MASK, offsetsBetween, RUN_EVENTS, type Run } from './runs.ts'

/** Runs that are asked at a time, at first and at most; twice as many each time. */
const FEW_RUNS = 2
const MANY_RUNS = 128
/** Blocks of one run that are read for a key at first, and at most; four times as many each time that they were not enough. */
const FEW_BLOCKS = 2
const MANY_BLOCKS = 128

/** What is looked for: packs that begin in [from, to), and which of them come first. */
export type Search = { from: number; to: number; order: 'newest' | 'oldest' }

/** As `KeyIndex` says. @param blocks of one run that are read for a key */
export async function* findPacks(
  db: Db,
  scheme: number,
  keys: readonly Buffer[],
  search: Search,
  blocks: number = FEW_BLOCKS,
): AsyncGenerator<number[]> {
  let rest = search
  for (let many = FEW_RUNS; rest.from < rest.to; many = Math.min(MANY_RUNS, 2 * many)) {
    const held = await readRuns(db, scheme, keys, rest, many, blocks)
    const gap = gapBefore(rest, held)
    if (gap !== null) {
      yield* packsIn(db, gap)
      rest = behind(rest, gap)
      continue
    }
    for (const { run, lists } of held) {
      const part = { ...rest, from: Math.max(rest.from, run.start), to: Math.min(rest.to, run.start + lengthOf(run)) }
      yield* lists === null ? packsIn(db, part) : packsOf(db, scheme, keys, part, lists, blocks)
      rest = behind(rest, part)
    }
  }
}

/** What is left of a search when a part that comes first has been answered. */
const behind = (rest: Search, part: Search): Search =>
  rest.order === 'newest' ? { ...rest, to: part.from } : { ...rest, from: part.to }

/** What comes first of a search and is in no run, a short run of it; null: nothing is. */
function gapBefore(rest: Search, held: readonly Held[]): Search | null {
  const { from, to, order } = rest
  if (order === 'oldest') return held.length > 0 ? null : { ...rest, to: Math.min(to, from + RUN_EVENTS[0]) }
  const end = held[0] === undefined ? from : held[0].run.start + lengthOf(held[0].run)
  return end < to ? { ...rest, from: Math.max(from, end, to - RUN_EVENTS[0]) } : null
}

async function* packsOf(
  db: Db,
  scheme: number,
  keys: readonly Buffer[],
  search: Search,
  lists: readonly List[],
  blocks: number,
): AsyncGenerator<number[]> {
  const whole = lists.filter(({ isWhole }) => isWhole)
  const [list, ...others] = whole.length > 0 ? whole : [farthest(lists, search.order)]
  const sets = others.map(({ packs }) => new Set(packs))
  const packs = list!.packs.filter((pack) => sets.every((set) => set.has(pack)))
  if (packs.length > 0) yield packs
  const last = list!.packs.at(-1)
  if (list!.isWhole || last === undefined) return
  const rest = search.order === 'newest' ? { ...search, to: last } : { ...search, from: last + 1 }
  yield* findPacks(db, scheme, keys, rest, Math.min(MANY_BLOCKS, 4 * blocks))
}

/** Packs with one key in one run, in the order of the search; `isWhole`: these are all. */
type List = { packs: number[]; isWhole: boolean }

const farthest = (lists: readonly List[], order: Search['order']) =>
  lists.toSorted((a, b) => (order === 'newest' ? 1 : -1) * (a.packs.at(-1)! - b.packs.at(-1)!))[0]!

/** A run with the list of each key; null: the run has gone, and is to be made again. */
type Held = { run: Run; lists: List[] | null }

type BlockRow = { level: number; start: number; key: number; low: string; high: string; entries: Buffer | null }

// The block before the first wanted entry may hold it.
const blocksIn = (direction: 'asc' | 'desc') =>
  `with runs as (
     select * from (${heldRuns(hidden('$1::smallint'), hidden('$2::bigint'), hidden('$3::bigint'))}) r
     order by start ${direction} limit ${hidden('$5::bigint')}),
   wanted as (
     select r.*, key, least + greatest(0, $2 - start) as low, least + greatest(0, least(length, $3 - start) - 1) as high
     from runs r, unnest(${hidden('$4::bigint[]')}) with ordinality k (least, key))
   select level, start::float8 as start, key::int, low::text, high::text, entries
   from wanted w left join lateral (
     select first, entries from key_blocks where scheme = $1 and level = w.level and start = w.start and first <= w.high and first >= (
       select first from key_blocks where scheme = $1 and level = w.level and start = w.start and first <= w.low order by first desc limit 1)
     order by first ${direction} limit ${hidden('$6::bigint')}) blocks on true
   order by w.start ${direction}, key, first ${direction}`
const BLOCKS = { asc: blocksIn('asc'), desc: blocksIn('desc') }

/**
 * The first runs of a search, and of each the list of each key, as far as so many blocks hold it: all as of one moment. A run begins
 * below whatever is looked for, so one that gives nothing for a key has gone.
 */
async function readRuns(
  db: Db,
  scheme: number,
  keys: readonly Buffer[],
  { from, to, order }: Search,
  many: number,
  most: number,
): Promise<Held[]> {
  const direction = order === 'newest' ? 'desc' : 'asc'
  const least = keys.map((key) => key.readBigInt64BE() & ~BigInt(OFFSET_MASK))
  const { rows } = await db.query<BlockRow>(prepared(BLOCKS[direction], [scheme, from, to, least, many, most]))
  const runs = [...Map.groupBy(rows, ({ start }) => start).values()]
  return runs.map((ofRun) => {
    const { level, start } = ofRun[0]!
    const run = { scheme, level, start }
    if (ofRun.some(({ entries }) => entries === null)) return { run, lists: null }
    const ofKeys = Map.groupBy(ofRun, ({ key }) => key)
    return { run, lists: [...ofKeys.values()].map((blocks) => listOf(start, blocks, order, most)) }
  })
}

function listOf(start: number, blocks: readonly BlockRow[], order: Search['order'], most: number): List {
  const low = BigInt(blocks[0]!.low)
  const high = BigInt(blocks[0]!.high)
  const packs = blocks.flatMap(({ entries }) => {
    const offsets = offsetsBetween(entries!, low, high)
    return (order === 'newest' ? offsets.reverse() : offsets).map((offset) => start + offset)
  })
  const last = blocks.at(-1)!.entries!
  return { packs, isWhole: blocks.length < most || (order === 'newest' ? begins(last, low) : ends(last, high)) }
}

/** All packs that begin in a part of the log. */
async function* packsIn(db: Db, { from, to, order }: Search): AsyncGenerator<number[]> {
  const { rows } = await db.query<{ first_event: number }>(
    `select first_event from packs where first_event >= $1 and first_event < $2
     order by first_event ${order === 'newest' ? 'desc' : 'asc'}`,
    [from, to],
  )
  if (rows.length > 0) yield rows.map(({ first_event }) => first_event)
}

/** Whether no block before this one holds an entry from `low` on; an empty one, which somebody has made so, ends the list too. */
const begins = (entries: Buffer, low: bigint) => entries.length < ENTRY || entries.readBigInt64BE() <= low
const ends = (entries: Buffer, high: bigint) =>
  entries.length < ENTRY || entries.readBigInt64BE(entries.length - ENTRY) >= high
