// What a run must hold: by pack_keys, or by the runs of the level below it.
import type { Db } from '../../database/pool.ts'
import { free } from '../../release-memory.ts'
import { ENTRY, firstFrom, lengthOf, OFFSET_MASK, RUN_EVENTS, type Run, readCoverage, runsOf } from './runs.ts'
import { EntrySorter, sortEntries } from './sorter.ts'

/** Most bytes of entries that are sorted at a time: a short run has 0.7 MB, or 130 MB if each event has a thousand targets. */
const SORTED_BYTES = 16 * 1024 * 1024
/** How many packs are read at a time. */
const READ_PACKS = 64

/** What a run must hold, in order, a part at a time: the entries of the packs that begin in it. */
export async function* readEntries(db: Db, run: Run): AsyncGenerator<Buffer> {
  const { scheme, start } = run
  const end = start + lengthOf(run)
  const { rows } = await db.query<{ bytes: number }>(
    `select coalesce(sum(length(keys)), 0)::float8 as bytes from pack_keys
     where scheme = $1 and first_event >= $2 and first_event < $3`,
    [scheme, start, end],
  )
  const sorter = new EntrySorter(Math.min(SORTED_BYTES, rows[0]!.bytes))
  for (let isLast = false; !isLast; ) {
    for await (const { first_event, keys } of readKeys(db, scheme, start, end)) sorter.add(first_event - start, keys)
    const sorted = sorter.take()
    yield sorted.entries
    isLast = sorted.isLast
  }
  sorter.close()
}

/** The run of a scheme that holds the entries of the pack that begins at an event; null: none does yet. */
export async function heldIn(db: Db, scheme: number, first: number): Promise<Run | null> {
  const runs = runsOf(await readCoverage(db, [scheme]))
  return runs.find((run) => run.start <= first && first < run.start + lengthOf(run)) ?? null
}

/** The entries that a run holds for the keys of a pack, each once. */
export function entriesOf({ start }: Run, first: number, keys: Buffer): bigint[] {
  const entries = new Set<bigint>()
  const offset = BigInt(first - start)
  for (let i = 0; i + ENTRY <= keys.length; i += ENTRY)
    entries.add((keys.readBigInt64BE(i) & ~BigInt(OFFSET_MASK)) | offset)
  return [...entries]
}

/** Blocks of each run that are merged at a time. */
const MERGED_BLOCKS = 32

/** The same, of the entries of the runs of the level below it, with offsets from its own beginning. */
export async function* readMerged(db: Db, { scheme, level, start }: Run): AsyncGenerator<Buffer> {
  const length = RUN_EVENTS[level - 1]!
  const count = RUN_EVENTS[level]! / length
  const parts = Array.from(
    { length: count },
    (_, i) => new Part(db, { scheme, level: level - 1, start: start + i * length }, i * length),
  )
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

/** A run on the way into a longer one. */
class Part {
  /** Entries with the offsets of the longer run, as far as they have been read and not been taken. */
  entries: Buffer = Buffer.alloc(0)
  isDone = false
  readonly #db: Db
  readonly #run: Run
  readonly #offset: number
  #after: string | null = null

  /** @param offset from the beginning of the longer run */
  constructor(db: Db, run: Run, offset: number) {
    this.#db = db
    this.#run = run
    this.#offset = offset
  }

  /** Reads on if nothing is left. */
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

  /** Takes its entries up to `end`, or all. */
  take(end: bigint | null): Buffer {
    const cut = end === null ? this.entries.length : ENTRY * firstFrom(this.entries, end + 1n)
    const taken = this.entries.subarray(0, cut)
    this.entries = this.entries.subarray(cut)
    return taken
  }
}

async function* readKeys(
  db: Db,
  scheme: number,
  start: number,
  end: number,
): AsyncGenerator<{ first_event: number; keys: Buffer }> {
  for (let from = start; ; ) {
    const { rows } = await db.query<{ first_event: number; keys: Buffer }>(
      `select first_event, keys from pack_keys where scheme = $1 and first_event >= $2 and first_event < $3
       order by first_event limit ${READ_PACKS}`,
      [scheme, from, end],
    )
    yield* rows
    if (rows.length < READ_PACKS) return
    from = rows.at(-1)!.first_event + 1
  }
}

export type Block = { begins: string; entries: Buffer }

/** Up to `most` blocks of a run in order, from the beginning or after one. */
export async function readBlocks(
  db: Db,
  { scheme, level, start }: Run,
  after: string | null,
  most: number,
): Promise<Block[]> {
  const { rows } = await db.query<Block>(
    `select first::text as begins, entries from key_blocks
     where scheme = $1 and level = $2 and start = $3 and ($4::bigint is null or first > $4) order by first limit $5`,
    [scheme, level, start, after, most],
  )
  return rows
}
