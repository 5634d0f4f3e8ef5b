/**
 * What the service keeps in memory to answer with proofs, within 76 MiB: tiles of the log, the names of the newest events, and
 * what is known of the names that runs hold. Tiles never change; a proof is held against every root that it names. A name is looked for in
 * the pack itself, which is read for each proof.
 */

import type { Db } from '../../database/pool.ts'
import { Lru } from '../../lru.ts'
import { KnownRuns } from '../index/known-runs.ts'
import { RecentNames } from '../index/recent-names.ts'
import type { Tile } from '../tree/tile.ts'
import type { KeptTiles } from '../tree/tiles.ts'

/** Bytes for tiles; names of the newest events take up to 12 MiB more, and those in runs 48. */
const MAX_BYTES = 16 * 1024 * 1024

export class ProofMemory {
  readonly names: RecentNames
  readonly runs: KnownRuns
  /** Was anything anchored when the last proof was made? Only what is asked for at first depends on it. */
  isAnchored = false
  readonly kept: Lru<Tile> = new Lru(MAX_BYTES)
  readonly tiles: KeptTiles = {
    get: (name) => this.kept.get(name),
    set: (name, tile) => this.kept.set(name, tile, tile.bytes),
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
