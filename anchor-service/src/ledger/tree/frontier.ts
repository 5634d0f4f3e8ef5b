import { type Hash, InvariantError, type Node, nodePrimitives, planRoot, TILE_WIDTH, tileOf } from '@killick/sdk/core'
import { Tile } from './tile.ts'

const { nodeHash } = nodePrimitives

/** Consecutive hashes of one tile, starting at offset `start`. */
export type TileSegment = { level: number; tile: number; start: number; hashes: readonly Hash[] }

/**
 * The right edge of the tree: for each tile level, the hashes that its last tile has so far (0 to 255). This is all that
 * appending and the root need, and it never has more than 255 hashes on each of log₂₅₆ size levels.
 */
export type Frontier = { readonly size: number; readonly tiles: readonly Tile[] }

/** `segments`: what to store. `tiles`: by name, the frontier's as they were or have become, and those that are full now. */
export type Grown = { frontier: Frontier; segments: TileSegment[]; tiles: ReadonlyMap<string, Tile> }

/** The tiles to read for the frontier of a tree of `size` leaves, lowest level first. */
export function frontierTiles(size: number): { level: number; index: number; width: number }[] {
  const tiles = []
  for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
    tiles.push({ level, index: Math.floor(count / TILE_WIDTH), width: count % TILE_WIDTH })
  }
  return tiles
}

/** Appends leaves. A full tile's root is one hash of the level above. */
export function append(frontier: Frontier, leaves: readonly Hash[]): Grown {
  const edge = [...frontier.tiles]
  const tiles = new Map<string, Tile>()
  const segments: TileSegment[] = []
  let count = frontier.size
  for (const [level, tile] of edge.entries())
    tiles.set(nameOf(level, Math.floor(count / TILE_WIDTH ** (level + 1))), tile)
  let added: readonly Hash[] = leaves
  for (let level = 0; added.length > 0; level++) {
    const parents: Hash[] = []
    let current = edge[level] ?? NEW_TILE
    for (let at = 0; at < added.length; ) {
      const start = current.hashes.length
      const hashes = added.slice(at, at + TILE_WIDTH - start)
      const tile = Math.floor((count + at) / TILE_WIDTH)
      segments.push({ level, tile, start, hashes })
      current = current.grown(hashes)
      tiles.set(nameOf(level, tile), current)
      at += hashes.length
      if (current.hashes.length === TILE_WIDTH) {
        parents.push(current.node(0, TILE_WIDTH))
        current = NEW_TILE
      }
    }
    edge[level] = current
    count = Math.floor(count / TILE_WIDTH)
    added = parents
  }
  return { frontier: { size: frontier.size + leaves.length, tiles: edge }, segments, tiles }
}

const NEW_TILE = new Tile([])
const nameOf = (level: number, index: number) => `${level}/${index}`

/** Root of the whole tree; every subtree that folds to it is on the frontier. */
export function frontierRoot(frontier: Frontier): Hash {
  const plan = planRoot(frontier.size)
  const hashes = plan.nodes.map((node) => {
    const { level, start, width } = tileOf(node)
    const tile = frontier.tiles[level]
    if (tile === undefined || tile.hashes.length < start + width)
      throw new InvariantError(`the frontier of ${frontier.size} lacks level ${node.level}`)
    return tile.node(start, width)
  })
  return plan.fold(hashes, nodeHash)
}

/**
 * The inclusion paths of newly appended leaves, in the tree that includes them. Every node on these paths is in a tile that
 * appending has touched, and each is computed once, however many paths it is on.
 * @param before the size that the tree had
 */
export function appendedPaths(before: number, { frontier: { size }, tiles }: Grown): Hash[][] {
  const paths: Hash[][] = Array.from({ length: size - before }, () => [])
  const hashOf = (node: Node): Hash => {
    const { level, index, start, width } = tileOf(node)
    return tiles.get(nameOf(level, index))!.node(start, width)
  }

  /** The root over the leaves [start, end), a subtree of RFC 9162's; its new leaves get the siblings below it. */
  function walk(start: number, end: number): Hash {
    // Each is perfect: only the last subtree of each level may not be, and that has new leaves.
    if (end <= before || end - start === 1) return perfect(start, end)
    const middle = start + 2 ** Math.floor(Math.log2(end - start - 1))
    const left = walk(start, middle)
    const right = walk(middle, end)
    for (let leaf = Math.max(start, before); leaf < end; leaf++)
      paths[leaf - before]!.push(leaf < middle ? right : left)
    return middle - start === end - middle ? perfect(start, end) : nodeHash(left, right)
  }

  /** The root over a perfect subtree, from its tile, which keeps it. */
  function perfect(start: number, end: number): Hash {
    return hashOf({ level: Math.log2(end - start), index: start / (end - start) })
  }

  if (size > before) walk(0, size)
  return paths
}
