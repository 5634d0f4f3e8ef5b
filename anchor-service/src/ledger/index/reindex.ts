/**
 * Makes search keys again from the packs: rows of keys that somebody altered or deleted, rows that only an older scheme has, and
 * the runs over them. It works on one part of the log at a time, each in its own transaction. So services go on beside it, and a
 * stop at any point loses at most one part.
 */

import type pg from 'pg'
import type { PackKeys } from '../packs/event-keys.ts'
import { NEWEST } from '../packs/filters.ts'
import { makeKeys, readWhole, type WholePack } from '../packs/make-keys.ts'
import { LEVELS, RUN_EVENTS, type Run, readCoverage, readLength, strayRuns } from './runs.ts'
import { INDEX_LOCK, insertKeys, isRunRight, makeRun, writeRun } from './write-run.ts'

/** How often each thing was done; `events` is the number of events in the log. */
export type Reindexed = {
  events: number
  packs: number
  /** Rows of keys that did not match their pack, or had none. */
  mended: number
  /** Packs that had no row of the newest scheme. */
  added: number
  /** Rows of older schemes, which are no longer needed. */
  dropped: number
  /** Runs that did not match the keys. */
  runs: number
  /** Packs with events that cannot be read: their keys were left as they are. */
  left: number
}

/** @param from a number that an earlier reindex has passed to `passed` */
export type Reindexing = {
  from?: number
  /** How many events a part has. */
  part?: number
  /** Called when this many events are done, durably. */
  passed?: (events: number) => Promise<void>
}

/** @param pool connected as the owner of the schema: others may not delete */
export async function reindex(
  pool: pg.Pool,
  { from = 0, part = RUN_EVENTS[0], passed = async () => {} }: Reindexing = {},
): Promise<Reindexed> {
  const done = { events: 0, packs: 0, mended: 0, added: 0, dropped: 0, runs: 0, left: 0 }
  const start = from - (from % part)
  for (let at = start; at < (await readLength(pool)); at += part) {
    await inTransaction(pool, async (client) => {
      await mendKeys(client, at, at + part, done)
      await mendRuns(client, at + part, done)
    })
    await passed(at + part)
  }
  await inTransaction(pool, (client) => dropStrays(client, done))
  while (await makeRun(pool));
  // Now every pack has keys of the newest scheme, and its runs hold what the runs of older schemes held.
  await inTransaction(pool, async (client) => {
    await client.query('delete from key_blocks where scheme <> $1', [NEWEST])
  })
  done.events = await readLength(pool)
  return done
}

async function inTransaction(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query(`begin; select pg_advisory_xact_lock(${INDEX_LOCK})`)
    await work(client)
    await client.query('commit')
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    client.release(failure)
  }
}

type KeyRow = PackKeys & { first_event: number; scheme: number }

async function mendKeys(client: pg.ClientBase, from: number, to: number, done: Reindexed): Promise<void> {
  for await (const pack of readWhole(client, from, to)) {
    done.packs++
    await mendPack(client, pack, done)
  }
  done.mended += await deleteOrphans(client, from, to)
}

async function mendPack(client: pg.ClientBase, pack: WholePack, done: Reindexed): Promise<void> {
  const { rows: read } = await client.query<KeyRow & { emptied: boolean }>(
    `select k.first_event, k.scheme, k.keys, k.key_counts, p.body = '' as emptied
     from packs p left join pack_keys k using (first_event) where p.first_event = $1`,
    [pack.first_event],
  )
  // A drop has taken the events since the pack was read, and their keys must not come back.
  if (read[0]?.emptied && pack.body.length > 0) {
    for await (const now of readWhole(client, pack.first_event, pack.first_event + 1)) await mendPack(client, now, done)
    return
  }
  const rows = read.filter(({ scheme }) => scheme !== null)
  const made = await makeKeys(pack)
  const found = rows.find(({ scheme }) => scheme === NEWEST)
  // The keys of events that cannot be read may be all that is left of them.
  const isWhole = made !== null && made.lost.length === 0
  if (!isWhole) done.left++
  if (made !== null && found === undefined) {
    await insertKeys(client, pack.first_event, made)
    done.added++
  } else if (isWhole && !(made.keys.equals(found!.keys) && made.key_counts.equals(found!.key_counts))) {
    await client.query('delete from pack_keys where first_event = $1 and scheme = $2', [pack.first_event, NEWEST])
    await insertKeys(client, pack.first_event, made)
    done.mended++
  }
  if (!isWhole || !rows.some(({ scheme }) => scheme !== NEWEST)) return
  const others = 'delete from pack_keys where first_event = $1 and scheme <> $2'
  done.dropped += (await client.query(others, [pack.first_event, NEWEST])).rowCount ?? 0
}

/** Deletes keys of packs that do not exist. */
async function deleteOrphans(client: pg.ClientBase, from: number, to: number | null): Promise<number> {
  const { rowCount } = await client.query(
    `delete from pack_keys k where first_event >= $1 and ($2::bigint is null or first_event < $2)
       and not exists (select from packs p where p.first_event = k.first_event)`,
    [from, to],
  )
  return rowCount ?? 0
}

/** Makes again the runs that end at `end` and are wrong. */
async function mendRuns(client: pg.ClientBase, end: number, done: Reindexed): Promise<void> {
  const { ends } = await readCoverage(client)
  for (const level of LEVELS) {
    const run: Run = { scheme: NEWEST, level, start: end - RUN_EVENTS[level]! }
    const isThere = end % RUN_EVENTS[level]! === 0 && end <= ends[level]! && run.start >= (ends[level + 1] ?? 0)
    if (!isThere || (await isRunRight(client, run, 'refused'))) continue
    await deleteRun(client, run)
    await writeRun(client, run)
    done.runs++
  }
}

async function deleteRun(client: pg.ClientBase, run: { scheme: number; level: number; start: number }): Promise<void> {
  const sql = 'delete from key_blocks where scheme = $1 and level = $2 and start = $3'
  await client.query(sql, [run.scheme, run.level, run.start])
}

/** Drops keys and runs that belong to no event. */
async function dropStrays(client: pg.ClientBase, done: Reindexed): Promise<void> {
  done.mended += await deleteOrphans(client, await readLength(client), null)
  for (const run of await strayRuns(client)) {
    await deleteRun(client, run)
    done.runs++
  }
}
