/**
 * Names of the newest events, which no run holds yet: their ids and leaf hashes, with their packs. They are kept in memory and
 * updated from new packs, whichever process commits them. So PostgreSQL need not look through all these packs for each name.
 *
 * They are read from the packs' ids and the batches' leaf hashes, and somebody may alter those rows later. So if a name is not
 * found, the caller asks whether the rows are still those that were read.
 */

import type { Db } from '../../database/pool.ts'
import { keyIndexOf } from './key-index.ts'
import { headOfId, headOfLeaf, NameTable } from './name-table.ts'
import { NAMING, RUN_EVENTS } from './runs.ts'

/** For how many events names are kept, in 12 MiB. If the index is farther behind, PostgreSQL searches the rest. */
const MAX_EVENTS = 98_304
/** How many packs are read at a time. */
const PAGE = 64

type NamesRow = { first_event: number; n: number; version: string; ids: Buffer | null; leaves: Buffer | null }

/** A version that differs for every pack and batch that stood or will stand in the same place. */
const VERSION = `hashtextextended(concat_ws(' ', p.first_event, p.xmin, p.ctid, b.xmin, b.ctid), 0)`

const NEXT = {
  name: 'names_next',
  text: `select p.first_event, p.n, ${VERSION}::text as version,
    case when p.first_event > after then p.ids end as ids,
    case when p.first_event > after then substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) end as leaves
  from (select $1::bigint as after offset 0) w
  cross join lateral (select *, xmin, ctid from packs where first_event >= after order by first_event limit ${PAGE}) p
  left join batches b using (log_index) order by p.first_event`,
}
const VERSIONS = {
  name: 'names_versions',
  text: `select coalesce(bit_xor(${VERSION}), 0)::text as version
  from packs p left join batches b using (log_index) where p.first_event >= $1 and p.first_event < $2`,
}

/** Names of packs that begin in [from, next). Names are only added, so a holder of this object loses none. */
export class Names {
  readonly from: number
  #next: number
  #ids = new NameTable()
  #leaves = new NameTable()
  #firsts: number[] = []
  #versions: bigint[] = []

  constructor(from: number) {
    this.from = from
    this.#next = from
  }

  get bytes(): number {
    return this.#ids.bytes + this.#leaves.bytes + 40 * this.#firsts.length
  }

  get next(): number {
    return this.#next
  }

  get isFull(): boolean {
    return this.#next - this.from >= MAX_EVENTS
  }

  /** Whether there can be runs: not while fewer events were read than a run has. */
  get mayHaveRuns(): boolean {
    return this.#next >= RUN_EVENTS[0]
  }

  /** The last pack; and, below, a version of all packs. Unchanged rows have the same version. */
  get last(): { first: number; version: bigint } | null {
    const first = this.#firsts.at(-1)
    return first === undefined ? null : { first, version: this.#versions.at(-1)! }
  }

  get version(): bigint {
    return this.#versions.reduce((sum, version) => sum ^ version, 0n)
  }

  /**
   * Packs that may have an id (16 bytes) or leaf hash (32 bytes), of those that begin at `from` or after it, oldest first. Packs
   * that begin at `unread` or after it were not looked at; null: all were.
   */
  find(name: Buffer, from: number): { packs: number[]; unread: number | null } {
    if (from < this.from) return { packs: [], unread: from }
    const { packs, isAll } =
      name.length === 16 ? this.#ids.find(headOfId(name), from) : this.#leaves.find(headOfLeaf(name), from)
    if (!isAll) return { packs: [], unread: from }
    return { packs, unread: this.isFull ? Math.max(from, this.#next) : null }
  }

  add({ first_event, n, version, ids, leaves }: NamesRow): void {
    for (let at = 0; ids !== null && at + 16 <= ids.length; at += 16) this.#ids.add(headOfId(ids, at), first_event)
    for (let at = 0; leaves !== null && at + 32 <= leaves.length; at += 32)
      this.#leaves.add(headOfLeaf(leaves, at), first_event)
    this.#firsts.push(first_event)
    this.#versions.push(BigInt(version))
    this.#next = first_event + n
  }

  /** A copy without packs that begin before `from`. */
  since(from: number): Names {
    const rest = new Names(from)
    if (from >= this.#next) return rest
    const kept = this.#firsts.findIndex((first) => first >= from)
    rest.#next = this.#next
    rest.#ids = this.#ids.since(from)
    rest.#leaves = this.#leaves.since(from)
    if (kept < 0) return rest
    rest.#firsts = this.#firsts.slice(kept)
    rest.#versions = this.#versions.slice(kept)
    return rest
  }
}

export class RecentNames {
  readonly #db: Db
  #names: Names | null = null
  #reading: Promise<Names> | null = null
  #waiting: Promise<Names> | null = null

  constructor(db: Db) {
    this.#db = db
  }

  get bytes(): number {
    return this.#names?.bytes ?? 0
  }

  /** The names read so far; null: none. */
  get known(): Names | null {
    return this.#names
  }

  /**
   * Names of all events that no run holds and that are committed at the time of the call. Calls during a read all wait for the
   * next read.
   */
  catchUp(): Promise<Names> {
    if (this.#reading === null) {
      this.#reading = this.#readOn().finally(() => {
        this.#reading = null
      })
      return this.#reading
    }
    this.#waiting ??= this.#reading
      .catch(() => {})
      .then(() => {
        this.#waiting = null
        return this.catchUp()
      })
    return this.#waiting
  }

  /** Forgets names that runs hold, many at once and rarely. */
  forget(runsEnd: number): void {
    const names = this.#names
    if (names !== null && runsEnd - names.from >= FORGOTTEN) this.#names = names.since(runsEnd)
  }

  /** The next `catchUp` begins again at the end of the runs. */
  restart(): void {
    this.#names = null
  }

  /** Whether the rows are still those that were read. If not, it begins again. */
  async isUnaltered(): Promise<boolean> {
    const { from, next, version } = await this.catchUp()
    const { rows } = await this.#db.query<{ version: string }>({ ...VERSIONS, values: [from, next] })
    if (BigInt(rows[0]!.version) === version) return true
    this.restart()
    return false
  }

  async #readOn(): Promise<Names> {
    for (;;) {
      this.#names ??= new Names((await keyIndexOf(this.#db).end(NAMING)).end)
      const names = this.#names
      if (names.isFull) return names
      const { last, from } = names
      const { rows } = await this.#db.query<NamesRow>({ ...NEXT, values: [last?.first ?? from - 1] })
      if (this.#names !== names) continue
      // The log may have gone back since, and then grown from there.
      if (last !== null && (rows[0]?.first_event !== last.first || BigInt(rows[0].version) !== last.version)) {
        this.restart()
        continue
      }
      for (const row of last === null ? rows : rows.slice(1)) names.add(row)
      if (rows.length < PAGE) return names
    }
  }
}

/** How many events runs must hold before their names are forgotten. */
const FORGOTTEN = 32_768
