// Finds the packs that may hold a name, in all runs with one query.
import type { Db } from '../../database/pool.ts'
import { endsOf, heldRuns, NAMING, OFFSET_MASK, offsetsBetween, type Run } from './runs.ts'

/** Bytes of a key that an entry begins with; its other bits of the key share a byte with the offset. */
const WHOLE_BYTES = 5

/** Blocks of one run that are looked at; a name has entries in one or two, unless many events claim it. */
const MANY_BLOCKS = 4

/**
 * Of each run `r` the last block that can hold the name is looked at, and those before it while they begin behind the name's first
 * possible entry; they are sent where they may have it. A run without any block has gone.
 * $1 and $2 the least and the greatest entry that the name can have, $3 what both begin with
 */
const blocksOf = (runs: string, scheme: string): string => {
  const blocks = `select first, entries from key_blocks where scheme = ${scheme} and level = r.level and start = r.start`
  return `select r.start::float8 as at, encode(b.entries, 'base64') as entries, b.first > $1 as begins
    from ${runs} r left join lateral (${blocks} and first <= $2 order by first desc limit 1) last on true
    cross join lateral (
      select last.first, last.entries
      union all
      (${blocks} and first < last.first and last.first > $1 order by first desc limit ${MANY_BLOCKS - 1})) b
    where b.first is null or b.first > $1 or position($3::bytea in b.entries) > 0`
}

/** In all runs that there are, as of one moment. Names have keys in every scheme. */
const NAMED = {
  name: 'named_packs',
  text: `with best as materialized (
      select s as scheme, (${endsOf('s')})[1] as end from unnest('{${NAMING}}'::smallint[]) s order by 2 desc, 1 desc limit 1),
    runs as (${heldRuns('(select scheme from best)', '0', '(select "end"::bigint from best)')})
    select "end"::float8 as at, null as entries, false as begins from best
    union all
    ${blocksOf('runs', '(select scheme from best)')}`,
}

// The arrays are hidden from the planner, which would plan anew each time to know how long they are.
const NAMED_IN = {
  name: 'named_packs_in',
  text: blocksOf(
    '(select * from unnest((select $4::bigint[] offset 0), (select $5::smallint[] offset 0)) r (start, level))',
    '$6::smallint',
  ),
}

type BlockRow = { at: number; entries: string | null; begins: boolean | null }

export type NamedPacks = {
  /** How many events the runs hold. */
  runsEnd: number
  /** Oldest first. */
  packs: number[]
  /** Are these all that the runs name? Not where one of them has gone, or where very many packs have the name. */
  isAll: boolean
}

/** @param key of the name */
export async function findNamedPacks(db: Db, key: Buffer): Promise<NamedPacks> {
  const { rows } = await db.query<BlockRow>({ ...NAMED, values: valuesOf(key) })
  const [ends, ...blocks] = rows
  return { runsEnd: ends!.at, ...packsOf(key, blocks) }
}

/** The same of some runs of one scheme. */
export async function findNamedPacksIn(
  db: Db,
  runs: readonly Run[],
  key: Buffer,
): Promise<Omit<NamedPacks, 'runsEnd'>> {
  if (runs.length === 0) return { packs: [], isAll: true }
  const places = [runs.map(({ start }) => start), runs.map(({ level }) => level), runs[0]!.scheme]
  const { rows } = await db.query<BlockRow>({ ...NAMED_IN, values: [...valuesOf(key), ...places] })
  return packsOf(key, rows)
}

const leastOf = (key: Buffer) => key.readBigInt64BE() & ~BigInt(OFFSET_MASK)
const greatestOf = (key: Buffer) => leastOf(key) | BigInt(OFFSET_MASK)
const valuesOf = (key: Buffer) => [leastOf(key), greatestOf(key), key.subarray(0, WHOLE_BYTES)]

function packsOf(key: Buffer, blocks: readonly BlockRow[]): { packs: number[]; isAll: boolean } {
  const [least, greatest] = [leastOf(key), greatestOf(key)]
  const packs = blocks.flatMap(({ at, entries }) =>
    offsetsBetween(Buffer.from(entries ?? '', 'base64'), least, greatest).map((offset) => at + offset),
  )
  const byRun = [...Map.groupBy(blocks, ({ at }) => at).values()]
  return {
    packs: [...new Set(packs)].sort((a, b) => a - b),
    isAll: byRun.every(
      (ofRun) =>
        ofRun.every(({ begins }) => begins !== null) && ofRun.filter(({ begins }) => begins).length < MANY_BLOCKS,
    ),
  }
}
