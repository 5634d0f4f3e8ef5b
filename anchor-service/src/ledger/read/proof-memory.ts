/**
 * What the service keeps in memory for proofs, within 60 MiB. A row is kept under its version, and each proof asks for the
 * versions of its rows: a row that somebody has altered since has another version. Tiles have no version here; instead each proof
 * is checked against its checkpoint.
 */

import type { Db } from '../../database/pool.ts'
import { Lru } from '../../lru.ts'
import { RecentNames } from '../index/recent-names.ts'
import type { KeptTiles, Tile } from '../tree/tiles.ts'

/** Bytes for tiles; names of the newest events take up to 12 MiB more. */
const MAX_BYTES = 48 * 1024 * 1024

export class ProofMemory {
  readonly names: RecentNames
  readonly kept: Lru<Tile> = new Lru(MAX_BYTES)
  readonly tiles: KeptTiles = {
    get: (name) => this.kept.get(name),
    set: (name, tile) => this.kept.set(name, tile, tile.bytes),
  }

  constructor(db: Db) {
    this.names = new RecentNames(db)
  }

  /** Bytes in use now. */
  get bytes(): number {
    return this.kept.counts.bytes + this.names.bytes
  }
}

const memories = new WeakMap<Db, ProofMemory>()

/** The memory for a database. */
export function memoryOf(db: Db): ProofMemory {
  const memory = memories.get(db) ?? new ProofMemory(db)
  memories.set(db, memory)
  return memory
}
