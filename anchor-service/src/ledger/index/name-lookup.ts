// Finds the packs that may hold a name, in all runs with one query.
import type { Db } from '../../database/pool.ts'
import { schemesWith } from '../packs/filters.ts'
import { endsOf, heldRuns, OFFSET_MASK, offsetsBetween } from './runs.ts'

/** Bytes of a key that an entry begins with; its other bits of the key share a byte with the offset. */
const WHOLE_BYTES = 5

/** Blocks of one run that are looked at; a name has entries in one or two, unless many events claim it. */
const MANY_BLOCKS = 4

const BLOCKS =
  'select first, entries from key_blocks where scheme = (select scheme from best) and level = r.level and start = r.start'

/**
 * Runs and blocks are read in one snapshot. Names have keys in every scheme. Of each run the last block that can hold the name is
 * looked at, and those before it while they begin behind the name's first possible entry; they are sent where they may have it: in
 * one run, as a rule. A run without any block has gone.
 */
const NAMED = {
  name: 'named_packs',
  text: `with best as materialized (
      select s as scheme, (${endsOf('s')})[1] as end from unnest('{${NAMING}}'::smallint[]) s order by 2 desc, 1 desc limit 1),
    runs as (${heldRuns('(select scheme from best)', '0', '(select "end"::bigint from best)')})
    select "end"::float8 as at, null as entries, false as begins from best
    union all
    select r.start::float8, encode(b.entries, 'base64'), b.first > $1
    from runs r left join lateral (${BLOCKS} and first <= $2 order by first desc limit 1) last on true
    cross join lateral (
      select last.first, last.entries
      union all
      (${BLOCKS} and first < last.first and last.first > $1 order by first desc limit ${MANY_BLOCKS - 1})) b
    where b.first is null or b.first > $1 or position($3::bytea in b.entries) > 0`,
}

export type NamedPacks = {
  /** How many events the runs hold. */
  runsEnd: number
  /** Oldest first. */
  packs: number[]
  /** Whether these are all packs that the runs name. */
  isAll: boolean
}

/** @param key of the name */
export async function findNamedPacks(db: Db, key: Buffer): Promise<NamedPacks> {
  const low = key.readBigInt64BE() & ~BigInt(OFFSET_MASK)
  const high = low | BigInt(OFFSET_MASK)
  const values = [low, high, key.subarray(0, WHOLE_BYTES)]
  const { rows } = await db.query<{ at: number; entries: string | null; begins: boolean | null }>({ ...NAMED, values })
  const [ends, ...blocks] = rows
  const packs = blocks.flatMap(({ at, entries }) =>
    offsetsBetween(Buffer.from(entries ?? '', 'base64'), low, high).map((offset) => at + offset),
  )
  return {
    runsEnd: ends!.at,
    packs: [...new Set(packs)].sort((a, b) => a - b),
    isAll:
      blocks.every(({ begins }) => begins !== null) &&
      [...Map.groupBy(blocks, ({ at }) => at).values()].every(
        (ofRun) => ofRun.filter(({ begins }) => begins).length < MANY_BLOCKS,
      ),
  }
}
