// Finds the packs that may hold a name, in all runs with one query.
import type { Db } from '../../database/pool.ts'
import { schemesWith } from '../packs/filters.ts'
import { OFFSET_MASK, offsetsBetween, RUN_EVENTS } from './runs.ts'

const [SHORT, LONG] = RUN_EVENTS

/** Bytes of a key that an entry begins with; its other bits of the key share a byte with the offset. */
const WHOLE_BYTES = 5

/**
 * Runs and blocks are read in one snapshot. Names have keys in every scheme. Of each run the last block that can hold the name is
 * looked at, and sent only where it may: in one run, as a rule. A block that begins behind the name's first possible entry is not
 * enough, for the one before it may hold some too: `begins` tells.
 */
const NAMED = {
  name: 'named_packs',
  text: `with schemes as (
      select s as scheme,
        coalesce((select start + ${SHORT} from key_blocks b where b.scheme = s and level = 0 order by start desc limit 1), 0) as short,
        coalesce((select start + ${LONG} from key_blocks b where b.scheme = s and level = 1 order by start desc limit 1), 0) as long
      from unnest('{${schemesWith([])}}'::smallint[]) s),
    ends as (select * from schemes order by greatest(short, long) desc, scheme desc limit 1),
    runs as (
      select scheme, 1::smallint as level, start from ends, generate_series(0, long - 1, ${LONG}) start
      union all
      select scheme, 0::smallint, start from ends, generate_series(long, short - 1, ${SHORT}) start)
    select greatest(short, long)::float8 as at, null as entries, false as begins from ends
    union all
    select r.start::float8, encode(b.entries, 'base64'), b.first > $1 from runs r cross join lateral (
      select first, entries from key_blocks where scheme = r.scheme and level = r.level and start = r.start and first <= $2
      order by first desc limit 1) b
    where b.first > $1 or position($3::bytea in b.entries) > 0`,
}

type NamedRow = { at: number; entries: string | null; begins: boolean }

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
  const { rows } = await db.query<NamedRow>({ ...NAMED, values })
  const blocks = rows.filter(({ entries }) => entries !== null)
  const packs = blocks.flatMap(({ at, entries }) =>
    offsetsBetween(Buffer.from(entries!, 'base64'), low, high).map((offset) => at + offset),
  )
  return {
    runsEnd: rows.find(({ entries }) => entries === null)!.at,
    packs: [...new Set(packs)].sort((a, b) => a - b),
    isAll: !blocks.some(({ begins }) => begins),
  }
}
