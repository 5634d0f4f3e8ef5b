/**
 * Runs, of which the index of keys consists (key-index.ts): sorted stretches of the keys of consecutive events, as log-structured
 * merge trees have them (O'Neil et al., "The log-structured merge-tree", 1996). Why not an index of PostgreSQL's:
 * docs/decisions/0004-keys-in-sorted-runs.md.
 *
 * A run of the lowest level is made of the keys of packs; one of each other level of the runs of the level below, whose place it
 * takes in one transaction. So each event is in one run, or in none yet, and a run is never changed.
 *
 * An entry is a number of 64 bits: the first bits of a key, and how many events from the run's beginning its pack begins. So it names
 * packs that may have a key; the packs have the last word.
 *
 * Each scheme of keys has its own runs. Those of the newest scheme grow with the log; a newer scheme begins new ones.
 */

import type { Db } from '../../database/pool.ts'
import { hidden, prepared } from '../../database/prepared.ts'
import { NEWEST, SCHEMES, schemesWith } from '../packs/filters.ts'

/** Events of a run, by its level. Each is a multiple of the one before it, and the last a power of two. */
export const RUN_EVENTS = [16_384, 262_144] as const

/** Its levels, from the lowest up. */
export const LEVELS: readonly number[] = RUN_EVENTS.map((_, level) => level)

/** One run among all. `start`: the number of its first event, a multiple of what its level holds */
export type Run = { scheme: number; level: number; start: number }

export const lengthOf = ({ level }: Pick<Run, 'level'>): number => RUN_EVENTS[level]!

export const ENTRY = 8
/** Bits of an entry that say where the pack begins: enough for the longest run. */
export const OFFSET_MASK: number = RUN_EVENTS[RUN_EVENTS.length - 1]! - 1

/** The schemes that have keys of names: all. */
export const NAMING: readonly number[] = schemesWith([])

/** Which runs of a scheme there are: those of a level hold the events from where those of the next one end, up to `ends[level]`. */
export type Coverage = { scheme: number; ends: number[] }

/** Where the runs of each level end, for SQL, as an array; none ends before those of a higher level. */
export const endsOf = (scheme: string): string => {
  const own = RUN_EVENTS.map(
    (length, level) =>
      `(select start + ${length} from key_blocks b where b.scheme = ${scheme} and level = ${level} order by start desc limit 1) as own_${level}`,
  )
  const ends = LEVELS.map((level) => `greatest(0, ${LEVELS.slice(level).map((at) => `own_${at}`)})`)
  return `(select array[${ends}]::float8[] from (select ${own} offset 0) own)`
}

/**
 * The runs that hold events from a number on, before another one, for SQL: level, start and length. Together they hold all events up
 * to where the lowest level ends, each once.
 */
export const heldRuns = (scheme: string, from: string, to: string): string => {
  const runs = RUN_EVENTS.map(
    (length, level) =>
      `select ${level}::smallint as level, start, ${length} as length from ends, generate_series(
         greatest(${level + 1 < LEVELS.length ? `ends[${level + 2}]` : 0}, ${from} - ${from} % ${length}), least(ends[${level + 1}], ${to}) - 1, ${length}) start`,
  )
  return `with ends as materialized (select ${endsOf(scheme)}::bigint[] as ends) ${runs.join(' union all ')}`
}

/** The coverage of the scheme whose runs hold most, out of some; the newest if several hold the same. */
export async function readCoverage(db: Db, schemes: readonly number[] = [NEWEST]): Promise<Coverage> {
  const { rows } = await db.query<Coverage>(
    prepared(
      `select s.scheme, ${endsOf('s.scheme')} as ends from unnest(${hidden('$1::smallint[]')}) as s (scheme) order by scheme desc`,
      [schemes],
    ),
  )
  return rows.reduce((best, other) => (other.ends[0]! > best.ends[0]! ? other : best))
}

/** The runs of a coverage, the oldest first. */
export function runsOf({ scheme, ends }: Coverage): Run[] {
  return LEVELS.toReversed().flatMap((level) => {
    const from = ends[level + 1] ?? 0
    const n = Math.max(0, (ends[level]! - from) / RUN_EVENTS[level]!)
    return Array.from({ length: n }, (_, i) => ({ scheme, level, start: from + i * RUN_EVENTS[level]! }))
  })
}

export async function readLength(db: Db): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select first_event + n as n from batches order by log_index desc limit 1',
  )
  return rows[0]?.n ?? 0
}

/** Stored runs that there cannot be: of a scheme that is not known, where the log has no such run, or where a longer one has its place. */
export async function strayRuns(db: Db): Promise<Run[]> {
  const { rows } = await db.query<Run & { above: number; length: number }>(STORED)
  const isRun = ({ scheme, level, start, above, length }: (typeof rows)[number]) =>
    scheme in SCHEMES &&
    LEVELS.includes(level) &&
    start % RUN_EVENTS[level]! === 0 &&
    start >= above &&
    start + RUN_EVENTS[level]! <= length
  return rows.filter((row) => !isRun(row)).map(({ scheme, level, start }) => ({ scheme, level, start }))
}

/** Each run once, whatever the number of its blocks, with where runs of higher levels end, and how long the log is. */
const STORED = `
  with recursive runs as (
    (select scheme, level, start from key_blocks order by scheme, level, start limit 1)
    union all
    select next.* from runs r cross join lateral (
      select scheme, level, start from key_blocks where (scheme, level, start) > (r.scheme, r.level, r.start)
      order by scheme, level, start limit 1) next),
  ends as materialized (select scheme, ${endsOf('s.scheme')} as ends from (select distinct scheme from runs) s)
  select r.scheme, r.level, r.start::float8 as start, coalesce(e.ends[r.level + 2], 0) as above,
    coalesce((select first_event + n from batches order by log_index desc limit 1), 0)::float8 as length
  from runs r join ends e using (scheme)`

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
