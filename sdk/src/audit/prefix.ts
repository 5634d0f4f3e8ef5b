// Roots of the log as it was earlier, without its entries: from tiles, which count only as far as they lead to a root that is known.
import { equalBytes } from '../core/bytes.ts'
import { asHash, EMPTY_ROOT, type Hash } from '../core/hash.ts'
import { treeRoot, verifyConsistency, verifyInclusion } from '../core/merkle.ts'
import { type Plan, planConsistency, planInclusion, planRoot, TILE_WIDTH, tileOf } from '../core/tree.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { type ReadTile, readTileOrFull } from './tree.ts'

/** The log up to a place, of which only size and root are known. */
export type Prefix = {
  readonly size: number
  readonly root: Hash
  /** Its root when it had `size` entries, at most as many as the prefix; null if the tiles that are served do not show that. */
  rootAt(size: number): Promise<Hash | null>
  /** Whether the tiles that are served show that this leaf hash is that of its entry `logIndex`. */
  hasEntry(logIndex: number, leafHash: Hash): Promise<boolean>
}

const HASH_BYTES = 32
/** Tiles in memory, of 8 KiB each. */
const KEPT_TILES = 256

/** @param logSize of the log that serves the tiles */
export function openPrefix(read: ReadTile, logSize: number, size: number, root: Hash): Prefix {
  const tiles = new Map<string, Uint8Array | null>()
  let proven: { readonly index: number; readonly leaves: Hash[] | null } | null = null

  async function tile(level: number, index: number): Promise<Uint8Array | null> {
    const name = `${level}/${index}`
    if (!tiles.has(name)) {
      if (tiles.size >= KEPT_TILES) tiles.clear()
      const width = Math.min(TILE_WIDTH, Math.floor(logSize / TILE_WIDTH ** level) - index * TILE_WIDTH)
      tiles.set(name, (await readTileOrFull(read, level, index, width))?.bytes ?? null)
    }
    return tiles.get(name)!
  }

  /** What the tiles make of a plan; null if one of its nodes is in none of them. */
  async function follow<T>({ nodes, fold }: Plan<T>): Promise<T | null> {
    const hashes: Hash[] = []
    for (const node of nodes) {
      const { level, index, start, width } = tileOf(node)
      const bytes = (await tile(level, index))?.subarray(start * HASH_BYTES, (start + width) * HASH_BYTES)
      if (bytes?.length !== width * HASH_BYTES) return null
      hashes.push(treeRoot(hashesIn(bytes), nodePrimitives.nodeHash))
    }
    return fold(hashes, nodePrimitives.nodeHash)
  }

  /**
   * Leaf hashes of the tile that holds an entry, once they lead to the root. The path of one of them goes over all others of the tile that
   * the log up to there has, so it holds for these too.
   */
  async function leavesAround(logIndex: number): Promise<Hash[] | null> {
    const index = Math.floor(logIndex / TILE_WIDTH)
    if (proven?.index !== index) {
      const first = TILE_WIDTH * index
      const bytes = await tile(0, index)
      const path = await follow(planInclusion(first, size))
      const leaves = bytes && hashesIn(bytes.subarray(0, HASH_BYTES * Math.min(TILE_WIDTH, size - first)))
      const [leafHash] = leaves ?? []
      const isProven = leafHash && path && verifyInclusion({ leafHash, index: first, size, path, root })
      proven = { index, leaves: isProven ? leaves : null }
    }
    return proven.leaves
  }

  return {
    size,
    root,
    async hasEntry(logIndex, leafHash) {
      const known = (await leavesAround(logIndex))?.[logIndex % TILE_WIDTH]
      return known !== undefined && equalBytes(known, leafHash)
    },
    async rootAt(at) {
      if (at === size) return root
      if (at === 0) return EMPTY_ROOT
      const oldRoot = await follow(planRoot(at))
      const path = oldRoot && (await follow(planConsistency(at, size)))
      return path && verifyConsistency({ oldSize: at, newSize: size, oldRoot, newRoot: root, path }) ? oldRoot : null
    },
  }
}

const hashesIn = (bytes: Uint8Array): Hash[] =>
  Array.from({ length: bytes.length / HASH_BYTES }, (_, i) => asHash(bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)))
