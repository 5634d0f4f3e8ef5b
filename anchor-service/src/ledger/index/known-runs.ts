/**
 * The runs that a process knows of, each with a filter of the names that it may hold: so that one run is asked for a name, and not
 * each of them. What is known may lag behind: a run that has gone since is noticed when it is asked, and a name that no known run has
 * is looked for in all that there are. So nothing that is found, or not found, depends on it.
 */

import type { Db } from '../../database/pool.ts'
import { NameFilter } from './name-filter.ts'
import { ENTRY, lengthOf, NAMING, type Run, readCoverage, runsOf } from './runs.ts'

type Known = { run: Run; filter: NameFilter | null }

/** Bytes of filters: those of 8,000,000 events. The runs beyond are always asked. */
const MAX_BYTES = 32 * 1024 * 1024

export class KnownRuns {
  readonly #db: Db
  #known: Known[] = []
  #end = 0
  #isStale = false
  #reading: Promise<void> | null = null

  constructor(db: Db) {
    this.#db = db
  }

  get bytes(): number {
    return this.#known.reduce((sum, { filter }) => sum + (filter?.bytes ?? 0), 0)
  }

  /** How many events these runs hold. */
  get end(): number {
    return this.#end
  }

  /** The runs that may hold a name, the oldest first. @param key of the name */
  thatMayHave(key: Buffer): Run[] {
    return this.#known.filter(({ filter }) => filter === null || filter.has(key)).map(({ run }) => run)
  }

  /** What is known is not what there is: it is read again, and the filters of new runs after it. Nobody waits for these. */
  async refresh(): Promise<void> {
    const coverage = await readCoverage(this.#db, NAMING)
    const before = new Map(this.#known.map((known) => [nameOf(known.run), known]))
    this.#known = runsOf(coverage).map((run) => before.get(nameOf(run)) ?? { run, filter: null })
    this.#end = coverage.ends[0]!
    this.#isStale = true
    // A filter is for speed alone; where it cannot be read, the next refresh tries again.
    this.#reading ??= this.#readFilters()
      .catch(() => {})
      .finally(() => {
        this.#reading = null
      })
  }

  /** Every filter there is room for has been read. */
  async whole(): Promise<void> {
    await this.#reading
  }

  async #readFilters(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      // The newest are asked for most.
      for (const known of this.#known.toReversed()) {
        if (this.#isStale) break
        if (known.filter !== null || this.bytes + filterBytes(known.run) > MAX_BYTES) continue
        known.filter = await readFilter(this.#db, known.run)
      }
    }
  }
}

const nameOf = ({ scheme, level, start }: Run) => `${scheme} ${level} ${start}`

/** Each event has two names. */
const namesOf = (run: Run) => 2 * lengthOf(run)
const filterBytes = (run: Run) => 4 * namesOf(run)

/** Blocks that are read at a time: a millisecond's work. */
const PAGE = 64
/** Keys of names are all but those that begin with the bits 11: of an id from the least on, of a leaf hash from 0 on. */
const ID_END = -(2n ** 62n)

/** @returns null where the run has gone */
async function readFilter(db: Db, run: Run): Promise<NameFilter | null> {
  const filter = new NameFilter(namesOf(run))
  let blocks = 0
  for (const [from, to] of [
    [-(2n ** 63n), ID_END],
    [0n, 2n ** 63n - 1n],
  ] as const) {
    for await (const entries of readBlocks(db, run, from, to)) {
      blocks++
      for (let at = 0; at + ENTRY <= entries.length; at += ENTRY) {
        const high = entries.readInt32BE(at)
        if (high >= 0 || high < Number(ID_END >> 32n)) filter.add(entries, at)
      }
    }
  }
  return blocks === 0 ? null : filter
}

/** The blocks of a run that may hold entries in [from, to]. */
async function* readBlocks(db: Db, { scheme, level, start }: Run, from: bigint, to: bigint): AsyncGenerator<Buffer> {
  for (let next: string | null = null; ; ) {
    const { rows }: { rows: { begins: string; entries: string }[] } = await db.query({
      name: 'name_blocks',
      text: `select first::text as begins, encode(entries, 'base64') as entries from key_blocks
        where scheme = $1 and level = $2 and start = $3 and first <= $5 and first >= coalesce($6::bigint + 1, (
          select first from key_blocks where scheme = $1 and level = $2 and start = $3 and first <= $4 order by first desc limit 1))
        order by first limit ${PAGE}`,
      values: [scheme, level, start, from, to, next],
    })
    for (const { entries } of rows) yield Buffer.from(entries, 'base64')
    if (rows.length < PAGE) return
    next = rows.at(-1)!.begins
  }
}
