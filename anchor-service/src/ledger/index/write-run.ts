// Makes the runs of runs.ts behind the commits. Before each run it makes the keys that packs of older versions lack.

import { createHash } from 'node:crypto'
import type pg from 'pg'
import { TupleWriter } from '../../database/copy.ts'
import { runAll } from '../../database/exchange.ts'
import type { Db } from '../../database/pool.ts'
import { free } from '../../release-memory.ts'
import type { PackKeys } from '../packs/event-keys.ts'
import { NEWEST } from '../packs/filters.ts'
import { makeKeys, readWhole } from '../packs/make-keys.ts'
import { type Block, readBlocks, readEntries, readMerged } from './run-entries.ts'
import {
  type Coverage,
  ENTRY,
  LEVELS,
  lengthOf,
  OFFSET_MASK,
  RUN_EVENTS,
  type Run,
  readCoverage,
  readLength,
} from './runs.ts'

/** The process that makes a run holds this lock, so that no other makes the same run. */
export const INDEX_LOCK = 7_019_322
/** Bytes of a block's entries: four blocks fit into a page of PostgreSQL. */
const BLOCK_BYTES = 240 * ENTRY
/** Lower bound stored as `first` of a run's first block, so that every run has one. */
const LEAST = Buffer.from('8000000000000000', 'hex')
/** How many blocks are written to PostgreSQL, or read from it, at a time. */
const SENT_BLOCKS = 256
/**
 * Makes the next run, if the log is long enough for it.
 * @param signal aborts it, with nothing changed. @throws the signal's reason then
 * @returns whether it made one; null if another process is making one
 */
export async function makeRun(pool: pg.Pool, signal?: AbortSignal): Promise<boolean | null> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    const { rows } = await client.query('select pg_try_advisory_xact_lock($1) as mine', [INDEX_LOCK])
    const isMine: boolean = rows[0].mine
    const run = isMine ? nextRun(await readCoverage(client), await readLength(client)) : null
    if (run !== null) await (run.level === 0 ? writeRun(client, run, signal) : merge(client, run, signal))
    await client.query('commit')
    return isMine ? run !== null : null
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    // A connection whose transaction failed is discarded, and the transaction with it.
    client.release(failure)
  }
}

/** Makes a run of the keys of packs, in a transaction that holds INDEX_LOCK. */
export async function writeRun(client: pg.ClientBase, run: Run, signal?: AbortSignal): Promise<void> {
  await fillKeys(client, run.start, run.start + lengthOf(run), signal)
  await insertRun(client, run, readEntries(client, run), signal)
}

/** Makes a run of those of the level below it, which it takes the place of: in the same transaction, so that readers see either. */
async function merge(client: pg.ClientBase, run: Run, signal?: AbortSignal): Promise<void> {
  await insertRun(client, run, readMerged(client, run), signal)
  const { scheme, level, start } = run
  await client.query('select drop_merged($1, $2, $3, $4)', [scheme, level, start, start + lengthOf(run)])
}

async function insertRun(
  client: pg.ClientBase,
  run: Run,
  parts: AsyncGenerator<Buffer>,
  signal?: AbortSignal,
): Promise<void> {
  let isFirst = true
  for await (const entries of parts) {
    signal?.throwIfAborted()
    await insertBlocks(client, run, entries, isFirst)
    isFirst = false
  }
}

/** New events first, then what there is enough of to be merged. */
function nextRun({ scheme, ends }: Coverage, events: number): Run | null {
  const level = LEVELS.find((at) => (ends[at - 1] ?? events) >= ends[at]! + RUN_EVENTS[at]!)
  return level === undefined ? null : { scheme, level, start: ends[level]! }
}

/** Adds the keys of the newest scheme to packs that begin in [from, to) and have none. */
async function fillKeys(client: pg.ClientBase, from: number, to: number, signal?: AbortSignal): Promise<void> {
  for await (const pack of readWhole(client, from, to, NEWEST)) {
    signal?.throwIfAborted()
    const made = await makeKeys(pack)
    if (made !== null) await insertKeys(client, pack.first_event, made)
  }
}

/** Stores a pack's keys of the newest scheme. */
export async function insertKeys(db: Db, first: number, { keys, key_counts }: PackKeys): Promise<void> {
  await db.query('insert into pack_keys (first_event, scheme, keys, key_counts) values ($1, $2, $3, $4)', [
    ...[first, NEWEST, keys, key_counts],
  ])
}

async function insertBlocks(client: pg.ClientBase, run: Run, entries: Buffer, isFirst: boolean): Promise<void> {
  const count = Math.max(isFirst ? 1 : 0, Math.ceil(entries.length / BLOCK_BYTES))
  for (let sent = 0; sent < count; sent += SENT_BLOCKS) {
    const blocks = new TupleWriter(SENT_BLOCKS * (BLOCK_BYTES + 64))
    for (let i = sent; i < Math.min(count, sent + SENT_BLOCKS); i++) {
      const block = entries.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
      blocks.begin(5)
      blocks.int2(run.scheme)
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

const COPY = 'copy key_blocks (scheme, level, start, first, entries) from stdin (format binary)'

/**
 * Does a run hold what pack_keys make of it? It may hold more of packs whose events were dropped: what they were found by before, which leads
 * to nothing, and goes when the run is made again.
 * @param surplus `refused`: it may not
 */
export async function isRunRight(db: Db, run: Run, surplus: 'allowed' | 'refused' = 'allowed'): Promise<boolean> {
  const dropped = surplus === 'allowed' ? await droppedIn(db, run) : new Set<number>()
  const made = new Entries(dropped)
  for await (const entries of readEntries(db, run)) made.add(entries)
  const stored = new Entries(dropped)
  let last: string | null = null
  for (let isMore = true; isMore; ) {
    const blocks: Block[] = await readBlocks(db, run, last, SENT_BLOCKS)
    for (const { begins, entries } of blocks) {
      const first = last === null ? LEAST : entries
      if (first.length < ENTRY || BigInt(begins) !== first.readBigInt64BE()) return false
      stored.add(entries)
      last = begins
    }
    isMore = blocks.length === SENT_BLOCKS
  }
  return last !== null && stored.holds(made)
}

/** Where in a run packs begin that were dropped. */
async function droppedIn(db: Db, run: Run): Promise<ReadonlySet<number>> {
  const { rows } = await db.query<{ offset: number }>(
    `select (p.first_event - $1)::float8 as offset from packs p where p.first_event >= $1 and p.first_event < $2 and p.body = ''
       and exists (select from drops d where d.entries @> p.log_index)`,
    [run.start, run.start + lengthOf(run)],
  )
  return new Set(rows.map(({ offset }) => offset))
}

/** Entries of a run in order; those of packs that were dropped by themselves. */
class Entries {
  readonly #dropped: ReadonlySet<number>
  readonly #hash = createHash('sha256')
  readonly #ofDropped: Buffer[] = []
  #isSorted = true
  #last: bigint | null = null

  constructor(dropped: ReadonlySet<number>) {
    this.#dropped = dropped
  }

  add(entries: Buffer): void {
    if (this.#dropped.size === 0) {
      this.#hash.update(entries)
      return
    }
    for (let at = 0; at + ENTRY <= entries.length; at += ENTRY) {
      const entry = entries.subarray(at, at + ENTRY)
      const value = entry.readBigInt64BE()
      if (this.#last !== null && value <= this.#last) this.#isSorted = false
      this.#last = value
      if (this.#dropped.has(entry.readInt32BE(4) & OFFSET_MASK)) this.#ofDropped.push(Buffer.from(entry))
      else this.#hash.update(entry)
    }
  }

  /** Whether it has the same entries, and of packs that were dropped at least those. */
  holds(made: Entries): boolean {
    let found = 0
    for (const entry of this.#ofDropped) if (made.#ofDropped[found]?.equals(entry)) found += 1
    return this.#isSorted && found === made.#ofDropped.length && this.#hash.digest().equals(made.#hash.digest())
  }
}
