/**
 * What the service keeps in memory to answer with proofs, within 60 MiB: packs and tiles of the log, the names of the newest events,
 * and filters of the names that runs hold. A pack is kept under the version of its row, which each proof asks for: a row that somebody
 * has altered since has another one. Tiles never change; a proof is held against every root that it names. A name is looked for in the
 * pack itself.
 */

import type { Db } from '../../database/pool.ts'
import { Lru } from '../../lru.ts'
import { KnownRuns } from '../index/known-runs.ts'
import { RecentNames } from '../index/recent-names.ts'
import type { KeptTiles, Tile } from '../tree/tiles.ts'

/** `line`: the i-th event's, '' where there is none */
export type PackContent = { version: string; line: (i: number) => string }

/** Bytes for packs and tiles; names of the newest events take up to 12 MiB more, and filters 32. */
const MAX_BYTES = 16 * 1024 * 1024

export class ProofMemory {
  readonly names: RecentNames
  readonly runs: KnownRuns
  /** Was anything anchored when the last proof was made? Only what is asked for at first depends on it. */
  isAnchored = false
  readonly kept: Lru<PackContent | Tile> = new Lru(MAX_BYTES)
  readonly tiles: KeptTiles = {
    get: (name) => this.kept.get(`tile ${name}`) as Tile | undefined,
    set: (name, tile) => this.kept.set(`tile ${name}`, tile, tile.bytes),
  }

  readonly packs = {
    get: (first: number) => this.kept.get(`pack ${first}`) as PackContent | undefined,
    set: (first: number, pack: PackContent, bytes: number) => this.kept.set(`pack ${first}`, pack, bytes),
  }

  constructor(db: Db) {
    this.names = new RecentNames(db)
    this.runs = new KnownRuns(db)
  }

  /** Bytes in use now. */
  get bytes(): number {
    return this.kept.counts.bytes + this.names.bytes + this.runs.bytes
  }
}

const memories = new WeakMap<Db, ProofMemory>()

/** The memory for a database. */
export function memoryOf(db: Db): ProofMemory {
  const memory = memories.get(db) ?? new ProofMemory(db)
  memories.set(db, memory)
  return memory
}
