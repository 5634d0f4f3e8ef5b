import {
  asHash,
  type Hash,
  InvariantError,
  type Node,
  nodePrimitives,
  type Plan,
  planConsistency,
  planRoot,
  tileOf,
} from '@killick/sdk/core'
import { type CopyStatement, TupleWriter } from '../../database/copy.ts'
import type { Db } from '../../database/pool.ts'
import { type Frontier, frontierTiles, type TileSegment } from './frontier.ts'
import { Tile } from './tile.ts'

type TileKey = { level: number; index: number }

/** The stored hashes of tiles, in one query. Unknown tiles are empty. */
export async function readTiles(db: Db, keys: readonly TileKey[]): Promise<Hash[][]> {
  if (keys.length === 0) return []
  const { rows } = await db.query<{ level: number; tile: number; start: number; hashes: Buffer }>(
    `select distinct level, tile, start, hashes from tiles
     join unnest($1::smallint[], $2::bigint[]) as wanted (level, tile) using (level, tile) order by level, tile, start`,
    [keys.map((key) => key.level), keys.map((key) => key.index)],
  )
  const tiles = new Map<string, Hash[]>()
  for (const { level, tile, start, hashes } of rows) {
    const name = `${level}/${tile}`
    const known = tiles.get(name) ?? []
    if (known.length !== start) throw new InvariantError(`tile ${name} has no hash at ${known.length}`)
    tiles.set(name, known.concat(splitHashes(hashes)))
  }
  return keys.map(({ level, index }) => tiles.get(`${level}/${index}`) ?? [])
}

/** 32-byte hashes out of one buffer. */
export function splitHashes(bytes: Uint8Array): Hash[] {
  return Array.from({ length: bytes.length / 32 }, (_, i) => asHash(bytes.slice(32 * i, 32 * i + 32)))
}

/** Tiles by name. The log's hashes never change, so a kept tile can only lack newer hashes; then it is read again. */
export type KeptTiles = { get(name: string): Tile | undefined; set(name: string, tile: Tile): void }

/** Answers of plans over the log's tree; all their nodes come from one query or from memory. */
export async function readPlans<T>(db: Db, plans: readonly Plan<T>[], kept?: KeptTiles): Promise<T[]> {
  const places = plans.map((plan) => plan.nodes.map((node) => ({ ...tileOf(node), node })))
  const tiles = new Map<string, Tile>()
  const lacking = new Map<string, TileKey>()
  for (const { level, index, start, width } of places.flat()) {
    const name = `${level}/${index}`
    const tile = tiles.get(name) ?? kept?.get(name)
    if (tile !== undefined) tiles.set(name, tile)
    if (tile === undefined || tile.hashes.length < start + width) lacking.set(name, { level, index })
  }
  const read = await readTiles(db, [...lacking.values()])
  for (const [i, name] of [...lacking.keys()].entries()) {
    const tile = new Tile(read[i]!)
    tiles.set(name, tile)
    kept?.set(name, tile)
  }
  return plans.map((plan, i) =>
    plan.fold(
      places[i]!.map(({ level, index, start, width, node }) => {
        const tile = tiles.get(`${level}/${index}`)!
        if (tile.hashes.length < start + width)
          throw new InvariantError(`the log lacks node ${JSON.stringify(node satisfies Node)}`)
        return tile.node(start, width)
      }),
      nodePrimitives.nodeHash,
    ),
  )
}

/** Root of the log's first `size` entries, computed from the stored tiles. */
export async function readRoot(db: Db, size: number): Promise<Hash> {
  const [root] = await readPlans(db, [planRoot(size)])
  return root!
}

/** RFC 9162 consistency path between two sizes of the log. */
export async function readConsistency(db: Db, oldSize: number, newSize: number): Promise<Hash[]> {
  const [path] = await readPlans(db, [planConsistency(oldSize, newSize)])
  return path!
}

export async function readFrontier(db: Db, size: number): Promise<Frontier> {
  const wanted = frontierTiles(size)
  const tiles = await readTiles(db, wanted)
  const cut = wanted.map(({ level, width }, i) => {
    if (tiles[i]!.length !== width) throw new InvariantError(`tile level ${level} does not end where size ${size} does`)
    return new Tile(tiles[i]!)
  })
  return { size, tiles: cut }
}

/** The statement that stores segments. */
export function tileStatement(segments: readonly TileSegment[]): CopyStatement {
  const tiles = new TupleWriter(64 * segments.length)
  for (const { level, tile, start, hashes } of segments) {
    tiles.begin(4)
    tiles.int2(level)
    tiles.int8(tile)
    tiles.int2(start)
    tiles.bytes(Buffer.concat(hashes))
  }
  return { sql: 'copy tiles (level, tile, start, hashes) from stdin (format binary)', tuples: [tiles.done()] }
}

/** Up to 256 log entries (batch headers) from `start`, in order. */
export async function readEntries(db: Db, start: number, count: number): Promise<string[]> {
  const { rows } = await db.query<{ header: string }>(
    'select header from batches where log_index >= $1 and log_index < $2 order by log_index',
    [start, start + count],
  )
  return rows.map((row) => row.header)
}
