/**
 * The runs that a process knows of, each with what it needs to know of the names in it: of the newest, in which pack each name may be,
 * so that nobody is asked for it; of others a filter, so that one run is asked for a name, and not each of them. What is known may lag
 * behind: a run that has gone since is noticed when it is asked, and a name that no known run has is looked for in all that there are.
 * Packs that are named here have the last word. So nothing that is found, or not found, depends on it.
 */

import type { Db } from '../../database/pool.ts'
import { NameFilter } from './name-filter.ts'
import { RunNames } from './run-names.ts'
import { ENTRY, lengthOf, NAMING, type Run, readCoverage, runsOf } from './runs.ts'

/** `names`: null where they have not been read, or there is no room for them; then the run is always asked. */
type Known = { run: Run; names: RunNames | NameFilter | null }

/** Bytes of the packs of names, for 1,300,000 events, and of filters, for 8,000,000 events before these. */
const MAX_PACKS_BYTES = 16 * 1024 * 1024
const MAX_FILTERS_BYTES = 32 * 1024 * 1024

export class KnownRuns {
  readonly #db: Db
  readonly #maxPacksBytes: number
  #known: Known[] = []
  #end = 0
  #isStale = false
  #reading: Promise<void> | null = null

  constructor(db: Db, maxPacksBytes: number = MAX_PACKS_BYTES) {
    this.#db = db
    this.#maxPacksBytes = maxPacksBytes
  }

  get bytes(): number {
    return this.#known.reduce((sum, { names }) => sum + (names?.bytes ?? 0), 0)
  }

  /** How many events these runs hold. */
  get end(): number {
    return this.#end
  }

  /** The runs that may hold a name, the oldest first. @param key of the name */
  thatMayHave(key: Buffer): Run[] {
    return this.#known.filter(({ names }) => names === null || names.has(key)).map(({ run }) => run)
  }

  /** The same, but for those of which it is known in which packs the name may be. */
  find(key: Buffer): { packs: number[]; runs: Run[] } {
    const packs: number[] = []
    const runs: Run[] = []
    for (const { run, names } of this.#known) {
      if (names instanceof RunNames && names.isWhole)
        for (const offset of names.find(key)) packs.push(run.start + offset)
      else if (names === null || names.has(key)) runs.push(run)
    }
    return { packs, runs }
  }

  /** What is known is not what there is: it is read again, and the names of new runs after it. Nobody waits for these. */
  async refresh(): Promise<void> {
    const coverage = await readCoverage(this.#db, NAMING)
    const before = new Map(this.#known.map((known) => [nameOf(known.run), known]))
    this.#known = runsOf(coverage).map((run) => before.get(nameOf(run)) ?? { run, names: null })
    this.#end = coverage.ends[0]!
    this.#isStale = true
    // They are for speed alone; where they cannot be read, the next refresh tries again.
    this.#reading ??= this.#readNames()
      .catch(() => {})
      .finally(() => {
        this.#reading = null
      })
  }

  /** All names there is room for have been read. */
  async whole(): Promise<void> {
    await this.#reading
  }

  async #readNames(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      let packsBytes = 0
      let filtersBytes = 0
      // The newest are asked for most.
      for (const known of this.#known.toReversed()) {
        if (this.#isStale) break
        packsBytes += packsBytesOf(known.run)
        const hasPacks = packsBytes <= this.#maxPacksBytes
        if (!hasPacks) filtersBytes += filterBytesOf(known.run)
        if (filtersBytes > MAX_FILTERS_BYTES) known.names = null
        else if (!(known.names instanceof (hasPacks ? RunNames : NameFilter)))
          known.names = await readNames(this.#db, known.run, hasPacks)
      }
    }
  }
}

const nameOf = ({ scheme, level, start }: Run) => `${scheme} ${level} ${start}`

/** Each event has two names. */
const namesOf = (run: Run) => 2 * lengthOf(run)
const filterBytesOf = (run: Run) => 4 * namesOf(run)
const packsBytesOf = (run: Run) => 6 * namesOf(run)

/** Blocks that are read at a time: a millisecond's work. */
const PAGE = 64
/** Keys of names are all but those that begin with the bits 11: of an id from the least on, of a leaf hash from 0 on. */
const ID_END = -(2n ** 62n)

/** @returns null where the run has gone */
async function readNames(db: Db, run: Run, hasPacks: boolean): Promise<RunNames | NameFilter | null> {
  const names = hasPacks ? new RunNames(namesOf(run)) : new NameFilter(namesOf(run))
  let blocks = 0
  for (const [from, to] of [
    [-(2n ** 63n), ID_END],
    [0n, 2n ** 63n - 1n],
  ] as const) {
    for await (const entries of readBlocks(db, run, from, to)) {
      blocks++
      for (let at = 0; at + ENTRY <= entries.length; at += ENTRY) {
        const high = entries.readInt32BE(at)
        if (high >= 0 || high < Number(ID_END >> 32n)) names.add(entries, at)
      }
    }
  }
  return blocks === 0 ? null : names
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
