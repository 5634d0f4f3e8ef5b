import { type Hash, nodePrimitives, TILE_WIDTH } from '@killick/sdk/core'

/** The hashes that a tile had when it was read or written, and the nodes above them that were asked for. */
export class Tile {
  readonly hashes: readonly Hash[]
  /** Hash i is at 256 + i; the parent of two nodes is at half their index. */
  readonly #nodes: Hash[]

  /** @param nodes those that are known already */
  constructor(hashes: readonly Hash[], nodes: Hash[] = []) {
    this.hashes = hashes
    this.#nodes = nodes
  }

  /** Most memory that it takes, about. */
  get bytes(): number {
    return 256 * this.hashes.length
  }

  /** The root over the hashes of a perfect subtree. */
  node(start: number, width: number): Hash {
    if (width === 1) return this.hashes[start]!
    const half = width / 2
    const at = (TILE_WIDTH + start) / width
    this.#nodes[at] ??= nodePrimitives.nodeHash(this.node(start, half), this.node(start + half, half))
    return this.#nodes[at]
  }

  /** The same tile with more hashes: its nodes stay what they are. This one is not changed. */
  grown(hashes: readonly Hash[]): Tile {
    return new Tile([...this.hashes, ...hashes], this.#nodes.slice())
  }
}
