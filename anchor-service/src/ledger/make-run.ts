// Makes the runs of runs.ts behind the commits.
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { free } from '../free.ts'
import { runAll, TupleWriter } from './copy.ts'
import { type Coverage, ENTRY, EntrySorter, RUN_EVENTS, type Run, readCoverage } from './runs.ts'
import type { Db } from './tiles.ts'

/** Held by whoever makes a run, so that no other process makes the same. */
const INDEX_LOCK = 7_019_322
/** Bytes of a block's entries: what fits four times into a page of PostgreSQL. */
const BLOCK_BYTES = 240 * ENTRY
/** Stands for a run's first entry: no other is less, and it is there even where there is none. */
const LEAST = Buffer.from('8000000000000000', 'hex')
/** Bytes of entries that are sorted at a time, about. Events may have a thousand targets each, so a run may have many more. */
const SORTED_BYTES = 32 * 1024 * 1024
/** Blocks that go to PostgreSQL, or come from there, at a time. */
const SENT_BLOCKS = 256
/** Packs that are read at a time. */
const READ_PACKS = 64

/**
 * Makes the next run, if the log is long enough for it.
 * @returns whether there may be more to do
 */
export async function makeRun(pool: pg.Pool): Promise<boolean> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query(`begin; select pg_advisory_xact_lock(${INDEX_LOCK})`)
    const run = nextRun(await readCoverage(client), await readLength(client))
    if (run !== null) {
      let isFirst = true
      for await (const entries of readEntries(client, run)) {
        await insertBlocks(client, run, entries, isFirst)
        isFirst = false
      }
    }
    await client.query('commit')
    return run !== null
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    // A connection whose transaction failed is thrown away, and the transaction with it.
    client.release(failure)
  }
}

/** How many of the newest events no run holds yet. */
export async function readUnindexed(db: Db): Promise<number> {
  const { all } = await readCoverage(db)
  return Math.max(0, (await readLength(db)) - all)
}

async function readLength(db: Db): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    'select first_event + n as n from batches order by log_index desc limit 1',
  )
  return rows[0]?.n ?? 0
}

/** A long one, if there are events enough; a short one otherwise. */
function nextRun({ long, all }: Coverage, events: number): Run | null {
  if (events >= long + RUN_EVENTS[1]) return { level: 1, start: long }
  if (events >= all + RUN_EVENTS[0]) return { level: 0, start: all }
  return null
}

/** What a run must hold, by the packs, in order; a part at a time, where it is much. */
async function* readEntries(db: Db, run: Run): AsyncGenerator<Buffer> {
  const { start } = run
  const end = start + RUN_EVENTS[run.level]
  const { rows } = await db.query<{ bytes: number }>(
    'select coalesce(sum(length(keys)), 0)::float8 as bytes from packs where first_event >= $1 and first_event < $2',
    [start, end],
  )
  const { bytes } = rows[0]!
  const parts = Math.max(1, Math.ceil(bytes / SORTED_BYTES))
  const sorter = new EntrySorter(bytes / parts)
  for (let part = 0; part < parts; part++) {
    const edge = (i: number) => Math.floor((2 ** 32 * i) / parts) - 2 ** 31
    for await (const { first_event, keys } of readKeys(db, start, end))
      sorter.add(first_event - start, keys, edge(part), edge(part + 1))
    yield sorter.take()
  }
  sorter.close()
}

async function* readKeys(db: Db, start: number, end: number): AsyncGenerator<{ first_event: number; keys: Buffer }> {
  for (let from = start; ; ) {
    const { rows } = await db.query<{ first_event: number; keys: Buffer }>(
      `select first_event, keys from packs where first_event >= $1 and first_event < $2 order by first_event limit ${READ_PACKS}`,
      [from, end],
    )
    yield* rows
    if (rows.length < READ_PACKS) return
    from = rows.at(-1)!.first_event + 1
  }
}

async function insertBlocks(client: pg.ClientBase, run: Run, entries: Buffer, isFirst: boolean): Promise<void> {
  const count = Math.max(isFirst ? 1 : 0, Math.ceil(entries.length / BLOCK_BYTES))
  for (let sent = 0; sent < count; sent += SENT_BLOCKS) {
    const blocks = new TupleWriter(SENT_BLOCKS * (BLOCK_BYTES + 64))
    for (let i = sent; i < Math.min(count, sent + SENT_BLOCKS); i++) {
      const block = entries.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
      blocks.begin(4)
      blocks.int2(run.level)
      blocks.int8(run.start)
      blocks.bytes(isFirst && i === 0 ? LEAST : block.subarray(0, ENTRY))
      blocks.bytes(block)
    }
    const tuples = blocks.done()
    await runAll(client, [{ sql: COPY, tuples: [tuples] }])
    free(tuples.bytes)
  }
}

const COPY = 'copy key_blocks (level, start, first, entries) from stdin (format binary)'

/** Does a run hold what the packs make of it? */
export async function isRunRight(db: Db, run: Run): Promise<boolean> {
  const stored = createHash('sha256')
  let last: string | null = null
  for (let isMore = true; isMore; ) {
    const blocks: Block[] = await readBlocks(db, run, last)
    for (const { begins, entries } of blocks) {
      const first = last === null ? LEAST : entries
      if (first.length < ENTRY || BigInt(begins) !== first.readBigInt64BE()) return false
      stored.update(entries)
      last = begins
    }
    isMore = blocks.length === SENT_BLOCKS
  }
  const made = createHash('sha256')
  for await (const entries of readEntries(db, run)) made.update(entries)
  return last !== null && stored.digest().equals(made.digest())
}

type Block = { begins: string; entries: Buffer }

async function readBlocks(db: Db, { level, start }: Run, after: string | null): Promise<Block[]> {
  const { rows } = await db.query<Block>(
    `select first::text as begins, entries from key_blocks
     where level = $1 and start = $2 and ($3::bigint is null or first > $3) order by first limit ${SENT_BLOCKS}`,
    [level, start, after],
  )
  return rows
}
