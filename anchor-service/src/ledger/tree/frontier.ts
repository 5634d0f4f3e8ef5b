import {
  type Hash,
  InvariantError,
  type Node,
  nodePrimitives,
  planRoot,
  TILE_WIDTH,
  tileOf,
  treeRoot,
} from '@killick/sdk/core'

const { nodeHash } = nodePrimitives

/** Consecutive hashes of one tile, starting at offset `start`. */
export type TileSegment = { level: number; tile: number; start: number; hashes: readonly Hash[] }

/**
 * The right edge of the tree: for each tile level, the hashes that its last tile has so far (0 to 255). This is all that
 * appending and the root need, and it never has more than 255 hashes on each of log₂₅₆ size levels.
 */
export type Frontier = { readonly size: number; readonly tiles: readonly (readonly Hash[])[] }

/** The tiles to read for the frontier of a tree of `size` leaves, lowest level first. */
export function frontierTiles(size: number): { level: number; index: number; width: number }[] {
  const tiles = []
  for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
    tiles.push({ level, index: Math.floor(count / TILE_WIDTH), width: count % TILE_WIDTH })
  }
  return tiles
}

/** Appends leaves: the new frontier and the segments to store. A full tile's root is one hash of the level above. */
export function append(frontier: Frontier, leaves: readonly Hash[]): { frontier: Frontier; segments: TileSegment[] } {
  const tiles = frontier.tiles.map((tile) => [...tile])
  const segments: TileSegment[] = []
  let count = frontier.size
  let added: readonly Hash[] = leaves
  for (let level = 0; added.length > 0; level++) {
    const parents: Hash[] = []
    let current = tiles[level] ?? []
    for (let at = 0; at < added.length; ) {
      const hashes = added.slice(at, at + TILE_WIDTH - current.length)
      segments.push({ level, tile: Math.floor((count + at) / TILE_WIDTH), start: current.length, hashes })
      current = [...current, ...hashes]
      at += hashes.length
      if (current.length === TILE_WIDTH) {
        parents.push(treeRoot(current, nodeHash))
        current = []
      }
    }
    tiles[level] = current
    count = Math.floor(count / TILE_WIDTH)
    added = parents
  }
  return { frontier: { size: frontier.size + leaves.length, tiles }, segments }
}

/** Root of the whole tree; every subtree that folds to it is on the frontier. */
export function frontierRoot(frontier: Frontier): Hash {
  const plan = planRoot(frontier.size)
  const hashes = plan.nodes.map((node) => {
    const { level, start, width } = tileOf(node)
    const run = frontier.tiles[level]?.slice(start, start + width) ?? []
    if (run.length !== width) throw new InvariantError(`the frontier of ${frontier.size} lacks level ${node.level}`)
    return treeRoot(run, nodeHash)
  })
  return plan.fold(hashes, nodeHash)
}

/**
 * The inclusion paths of newly appended leaves, in the tree that includes them. Every node on these paths is in a tile that
 * appending has touched, and each is computed once, however many paths it is on.
 * @param before the frontier, to which appending added `segments`, up to `size`
 */
export function appendedPaths(before: Frontier, segments: readonly TileSegment[], size: number): Hash[][] {
  const tiles = new Map<string, readonly Hash[]>()
  for (const [level, hashes] of before.tiles.entries())
    tiles.set(`${level}/${Math.floor(before.size / TILE_WIDTH ** (level + 1))}`, hashes)
  for (const { level, tile, hashes } of segments) {
    const name = `${level}/${tile}`
    tiles.set(name, [...(tiles.get(name) ?? []), ...hashes])
  }
  const hashOf = (node: Node): Hash => {
    const { level, index, start, width } = tileOf(node)
    return treeRoot(tiles.get(`${level}/${index}`)!.slice(start, start + width), nodeHash)
  }
  const paths: Hash[][] = Array.from({ length: size - before.size }, () => [])

  /** The root over the leaves [start, end), a subtree of RFC 9162's; its new leaves get the siblings below it. */
  function walk(start: number, end: number): Hash {
    // Such a one is perfect: only the last subtree of each level may not be, and that has new leaves.
    if (end <= before.size || end - start === 1) {
      const height = Math.log2(end - start)
      return hashOf({ level: height, index: start / (end - start) })
    }
    const middle = start + 2 ** Math.floor(Math.log2(end - start - 1))
    const left = walk(start, middle)
    const right = walk(middle, end)
    for (let leaf = Math.max(start, before.size); leaf < end; leaf++)
      paths[leaf - before.size]!.push(leaf < middle ? right : left)
    return nodeHash(left, right)
  }

  if (size > before.size) walk(0, size)
  return paths
}
