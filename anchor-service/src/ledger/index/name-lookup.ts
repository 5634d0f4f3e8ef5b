// Finds the packs that may hold a name, in all runs with one query.
import type { Db } from '../../database/pool.ts'
import { schemesWith } from '../packs/filters.ts'
import { OFFSET_MASK, offsetsBetween, RUN_EVENTS } from './runs.ts'

/** How many blocks of one run are looked at; a name has entries in one or two, unless many events claim it. */
const MANY_BLOCKS = 4

const [SHORT, LONG] = RUN_EVENTS

// One snapshot for runs and blocks. The block before the first wanted entry may hold that entry. Names have keys in every scheme.
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
    select greatest(short, long)::float8 as at, null as entries from ends
    union all
    select r.start::float8, encode(b.entries, 'base64') from runs r cross join lateral (
      select entries from key_blocks where scheme = r.scheme and level = r.level and start = r.start and first <= $2 and first >= (
        select first from key_blocks where scheme = r.scheme and level = r.level and start = r.start and first <= $1 order by first desc limit 1)
      order by first limit ${MANY_BLOCKS}) b`,
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
  const { rows } = await db.query<{ at: number; entries: string | null }>({ ...NAMED, values: [low, high] })
  const blocks = rows.filter(({ entries }) => entries !== null)
  const packs = blocks.flatMap(({ at, entries }) =>
    offsetsBetween(Buffer.from(entries!, 'base64'), low, high).map((offset) => at + offset),
  )
  const inOne = Math.max(0, ...[...Map.groupBy(blocks, ({ at }) => at).values()].map(({ length }) => length))
  return {
    runsEnd: rows.find(({ entries }) => entries === null)!.at,
    packs: [...new Set(packs)].sort((a, b) => a - b),
    isAll: inOne < MANY_BLOCKS,
  }
}
