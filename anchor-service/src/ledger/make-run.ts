// Makes the runs of runs.ts behind the commits.
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { free } from '../free.ts'
import { runAll, TupleWriter } from './copy.ts'
import { type Coverage, ENTRY, firstFrom, RUN_EVENTS, type Run, readCoverage } from './runs.ts'
import { EntrySorter, sortEntries } from './sorter.ts'
import type { Db } from './tiles.ts'

/** Held by whoever makes a run, so that no other process makes the same. */
const INDEX_LOCK = 7_019_322
/** Bytes of a block's entries: what fits four times into a page of PostgreSQL. */
const BLOCK_BYTES = 240 * ENTRY
/** Stands for a run's first entry: no other is less, and it is there even where there is none. */
const LEAST = Buffer.from('8000000000000000', 'hex')
/** Bytes of entries that are sorted at a time, at most: a short run has 0.7 MB, or 130 MB where each event has a thousand targets. */
const SORTED_BYTES = 16 * 1024 * 1024
/** Blocks that go to PostgreSQL, or come from there, at a time. */
const SENT_BLOCKS = 256
/** Packs that are read at a time. */
const READ_PACKS = 64

/**
 * Makes the next run, if the log is long enough for it.
 * @param signal ends it, with nothing done. @throws its reason then
 * @returns whether it has made one; null while another process makes one
 */
export async function makeRun(pool: pg.Pool, signal?: AbortSignal): Promise<boolean | null> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    const { rows } = await client.query('select pg_try_advisory_xact_lock($1) as mine', [INDEX_LOCK])
    const isMine: boolean = rows[0].mine
    const run = isMine ? nextRun(await readCoverage(client), await readLength(client)) : null
    if (run !== null) await writeRun(client, run, signal)
    await client.query('commit')
    return isMine ? run !== null : null
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    // A connection whose transaction failed is thrown away, and the transaction with it.
    client.release(failure)
  }
}

async function writeRun(client: pg.ClientBase, run: Run, signal?: AbortSignal): Promise<void> {
  let isFirst = true
  for await (const entries of readEntries(client, run)) {
    signal?.throwIfAborted()
    await insertBlocks(client, run, entries, isFirst)
    isFirst = false
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

function nextRun({ long, all }: Coverage, events: number): Run | null {
  if (events >= all + RUN_EVENTS[0]) return { level: 0, start: all }
  if (all >= long + RUN_EVENTS[1]) return { level: 1, start: long }
  return null
}

/** What a run must hold, in order, a part at a time. */
const readEntries = (db: Db, run: Run): AsyncGenerator<Buffer> =>
  run.level === 0 ? sortKeys(db, run.start) : mergeShort(db, run.start)

/** The entries of a short run: of the packs that begin in it. */
async function* sortKeys(db: Db, start: number): AsyncGenerator<Buffer> {
  const end = start + RUN_EVENTS[0]
  const { rows } = await db.query<{ bytes: number }>(
    'select coalesce(sum(length(keys)), 0)::float8 as bytes from packs where first_event >= $1 and first_event < $2',
    [start, end],
  )
  const sorter = new EntrySorter(Math.min(SORTED_BYTES, rows[0]!.bytes))
  for (let isLast = false; !isLast; ) {
    for await (const { first_event, keys } of readKeys(db, start, end)) sorter.add(first_event - start, keys)
    const sorted = sorter.take()
    yield sorted.entries
    isLast = sorted.isLast
  }
  sorter.close()
}

/** Blocks of each short run that are merged at a time. */
const MERGED_BLOCKS = 32

/** The entries of a long run: those of its short ones, with offsets from its own beginning. */
async function* mergeShort(db: Db, start: number): AsyncGenerator<Buffer> {
  const count = RUN_EVENTS[1] / RUN_EVENTS[0]
  const parts = Array.from({ length: count }, (_, i) => new Part(db, start, start + i * RUN_EVENTS[0]))
  for (;;) {
    for (const part of parts) await part.fill()
    // Up to here every part is known.
    const ends = parts.flatMap(({ entries, isDone }) =>
      isDone ? [] : [entries.readBigInt64BE(entries.length - ENTRY)],
    )
    const end = ends.toSorted((a, b) => (a < b ? -1 : 1))[0] ?? null
    const taken = parts.map((part) => part.take(end))
    const entries = Buffer.from(new ArrayBuffer(taken.reduce((sum, { length }) => sum + length, 0)))
    for (let at = 0, i = 0; i < count; at += taken[i++]!.length) entries.set(taken[i]!, at)
    yield sortEntries(entries)
    free(entries)
    if (end === null) return
  }
}

/** A short run on the way into a long one. */
class Part {
  /** Entries with the offsets of the long run, as far as they have been read and not been taken. */
  entries: Buffer = Buffer.alloc(0)
  isDone = false
  readonly #db: Db
  readonly #run: Run
  readonly #offset: number
  #after: string | null = null

  constructor(db: Db, longStart: number, start: number) {
    this.#db = db
    this.#run = { level: 0, start }
    this.#offset = start - longStart
  }

  /** Reads on where nothing is left. */
  async fill(): Promise<void> {
    while (!this.isDone && this.entries.length === 0) {
      const blocks = await readBlocks(this.#db, this.#run, this.#after, MERGED_BLOCKS)
      this.entries = Buffer.concat(blocks.map(({ entries }) => entries))
      for (let i = 4; i < this.entries.length; i += ENTRY)
        this.entries.writeInt32BE(this.entries.readInt32BE(i) | this.#offset, i)
      this.#after = blocks.at(-1)?.begins ?? null
      this.isDone = blocks.length < MERGED_BLOCKS
    }
  }

  /** Gives its entries up to `end`, or all. */
  take(end: bigint | null): Buffer {
    const cut = end === null ? this.entries.length : ENTRY * firstFrom(this.entries, end + 1n)
    const taken = this.entries.subarray(0, cut)
    this.entries = this.entries.subarray(cut)
    return taken
  }
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

/** Does a run hold what the packs, or its short runs, make of it? */
export async function isRunRight(db: Db, run: Run): Promise<boolean> {
  const stored = createHash('sha256')
  let last: string | null = null
  for (let isMore = true; isMore; ) {
    const blocks: Block[] = await readBlocks(db, run, last, SENT_BLOCKS)
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

async function readBlocks(db: Db, { level, start }: Run, after: string | null, most: number): Promise<Block[]> {
  const { rows } = await db.query<Block>(
    `select first::text as begins, entries from key_blocks
     where level = $1 and start = $2 and ($3::bigint is null or first > $3) order by first limit $4`,
    [level, start, after, most],
  )
  return rows
}
