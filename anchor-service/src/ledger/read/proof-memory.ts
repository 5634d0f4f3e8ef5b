/**
 * What the service keeps in memory for proofs, within 60 MiB. A row is kept under its version, and each proof asks for the
 * versions of its rows: a row that somebody has altered since has another version. Tiles have no version here; instead each proof
 * is checked against its checkpoint.
 */

import type { BatchHeader } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Lru } from '../../lru.ts'
import { RecentNames } from '../index/recent-names.ts'
import type { KeptTiles, Tile } from '../tree/tiles.ts'

/** `ids`: 16 bytes to an event; `line`: the i-th event's, '' if there is none */
export type PackContent = { version: string; logIndex: number; ids: Buffer; line: (i: number) => string }
/** `levels`: of the tree over the batch's leaf hashes, leaves first; `parsed`: the header, once it was needed */
export type BatchContent = { version: string; header: string; levels: readonly Buffer[]; parsed?: BatchHeader }

/** Bytes for packs, batches and tiles; names of the newest events take up to 12 MiB more. */
const MAX_BYTES = 48 * 1024 * 1024

export class ProofMemory {
  readonly names: RecentNames
  readonly kept: Lru<PackContent | BatchContent | Tile> = new Lru(MAX_BYTES)
  readonly tiles: KeptTiles = {
    get: (name) => this.kept.get(`tile ${name}`) as Tile | undefined,
    set: (name, tile) => this.kept.set(`tile ${name}`, tile, tile.bytes),
  }

  constructor(db: Db) {
    this.names = new RecentNames(db)
  }

  /** Bytes in use now. */
  get bytes(): number {
    return this.kept.counts.bytes + this.names.bytes
  }

  pack(firstEvent: number): PackContent | undefined {
    return this.kept.get(`pack ${firstEvent}`) as PackContent | undefined
  }

  keepPack(firstEvent: number, pack: PackContent, bytes: number): void {
    this.kept.set(`pack ${firstEvent}`, pack, bytes)
  }

  batch(logIndex: number): BatchContent | undefined {
    return this.kept.get(`batch ${logIndex}`) as BatchContent | undefined
  }

  keepBatch(logIndex: number, batch: BatchContent): void {
    const bytes = batch.levels.reduce((sum, { length }) => sum + length, batch.header.length)
    this.kept.set(`batch ${logIndex}`, batch, bytes)
  }
}

const memories = new WeakMap<Db, ProofMemory>()

/** The memory for a database. */
export function memoryOf(db: Db): ProofMemory {
  const memory = memories.get(db) ?? new ProofMemory(db)
  memories.set(db, memory)
  return memory
}
