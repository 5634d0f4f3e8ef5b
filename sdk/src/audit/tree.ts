// Recomputes the log's tree entry by entry, and compares every stored tile with it. Keeps one tile per level in memory.
import { equalBytes, fromBase64url, toBase64url } from '../core/bytes.ts'
import { type Hash, parseHash, printHash } from '../core/hash.ts'
import { foldRight, treeRoot } from '../core/merkle.ts'
import { printTilePath } from '../core/tile-path.ts'
import { TILE_WIDTH } from '../core/tree.ts'
import { nodePrimitives } from '../node/primitives.ts'
import type { AuditReason } from './codes.ts'

const { nodeHash } = nodePrimitives

type OnFault = (reason: AuditReason, message: string, logIndex: number) => void

/** Reads a tile of `width` hashes or entries: C2SP tlog-tiles, level `entries` or a number. Null: the service has none. */
export type ReadTile = (level: number | 'entries', index: number, width: number) => Promise<Uint8Array | null>

/** A partial tile may be gone once there is the full one, which begins with the same and has more behind it. */
export async function readTileOrFull(
  read: ReadTile,
  ...[level, index, width]: Parameters<ReadTile>
): Promise<{ readonly bytes: Uint8Array; readonly isWider: boolean } | null> {
  const own = await read(level, index, width)
  if (own !== null) return { bytes: own, isWider: false }
  const full = width < TILE_WIDTH ? await read(level, index, TILE_WIDTH) : null
  return full && { bytes: full, isWider: true }
}

/** Path of a tile at the service. */
export const tilePath = (level: number | 'entries', index: number, width: number): string =>
  `/tile/${printTilePath({ level, index, width })}`

/** A tree as far as it has come: what is needed to go on with it. Hashes and entries are base64url. */
export type KeptTree = {
  readonly size: number
  readonly tiles: number
  readonly levels: readonly (readonly string[])[]
  readonly entries: readonly string[]
  readonly peaks: readonly { readonly height: number; readonly hash: string }[]
}

export class LogTree {
  size = 0
  /** How many tiles were read and found to be right. */
  tiles = 0
  readonly #read: ReadTile
  readonly #onFault: OnFault
  /** For each level, the hashes of its unfinished tile. */
  readonly #levels: Hash[][] = []
  #entries: Uint8Array[] = []
  /** Perfect subtrees so far, largest first. */
  readonly #peaks: { height: number; hash: Hash }[] = []
  /** Null until it is asked for: most entries are not the last of a commit. */
  #root: Hash | null = null

  constructor(read: ReadTile, onFault: OnFault) {
    this.#read = read
    this.#onFault = onFault
  }

  /** The tree, to go on with later. */
  save(): KeptTree {
    return {
      ...{ size: this.size, tiles: this.tiles },
      levels: this.#levels.map((hashes) => hashes.map(printHash)),
      entries: this.#entries.map(toBase64url),
      peaks: this.#peaks.map(({ height, hash }) => ({ height, hash: printHash(hash) })),
    }
  }

  /** Goes on with a tree that was kept; to be called before anything is appended. */
  load({ size, tiles, levels, entries, peaks }: KeptTree): void {
    this.size = size
    this.tiles = tiles
    this.#levels.push(...levels.map((hashes) => hashes.map(readHash)))
    this.#entries = entries.map((entry) => fromBase64url(entry)!)
    this.#peaks.push(...peaks.map(({ height, hash }) => ({ height, hash: readHash(hash) })))
    this.#root = null
  }

  /** Root of the entries so far. */
  get root(): Hash {
    this.#root ??= foldRight(
      this.#peaks.map(({ hash }) => hash),
      nodeHash,
    )
    return this.#root
  }

  async append(entry: Uint8Array, hash: Hash): Promise<void> {
    this.#entries.push(entry)
    let top = { height: 0, hash }
    while (this.#peaks.at(-1)?.height === top.height)
      top = { height: top.height + 1, hash: nodeHash(this.#peaks.pop()!.hash, top.hash) }
    this.#peaks.push(top)
    this.#root = null
    this.size += 1
    if (this.size % TILE_WIDTH === 0) await this.#compareEntries()
    await this.#push(0, hash)
  }

  /** Compares the partial tiles at the right edge. */
  async finish(): Promise<void> {
    if (this.#entries.length > 0) await this.#compareEntries()
    for (const level of this.#levels.keys()) if (this.#levels[level]!.length > 0) await this.#compareHashes(level)
  }

  async #push(level: number, hash: Hash): Promise<void> {
    this.#levels[level] ??= []
    this.#levels[level].push(hash)
    if (this.#levels[level].length < TILE_WIDTH) return
    await this.#compareHashes(level)
    const root = treeRoot(this.#levels[level], nodeHash)
    this.#levels[level] = []
    await this.#push(level + 1, root)
  }

  async #compareHashes(level: number): Promise<void> {
    const hashes = this.#levels[level]!
    const index = Math.floor((this.size - 1) / TILE_WIDTH ** (level + 1))
    await this.#compare(level, index, hashes.length, Buffer.concat(hashes), index * TILE_WIDTH ** (level + 1))
  }

  async #compareEntries(): Promise<void> {
    const index = Math.floor((this.size - 1) / TILE_WIDTH)
    const parts = this.#entries.flatMap((entry) => [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry])
    const width = this.#entries.length
    this.#entries = []
    await this.#compare('entries', index, width, Buffer.concat(parts), index * TILE_WIDTH)
  }

  async #compare(level: number | 'entries', index: number, width: number, expected: Uint8Array, start: number) {
    const stored = await readTileOrFull(this.#read, level, index, width)
    const bytes = stored?.isWider ? stored.bytes.subarray(0, expected.length) : stored?.bytes
    if (bytes === undefined) this.#onFault('absent', `${tilePath(level, index, width)} is not served`, start)
    else if (equalBytes(bytes, expected)) this.tiles += 1
    else this.#onFault('different', `${tilePath(level, index, width)} does not hold what the batches hash to`, start)
  }
}

function readHash(text: string): Hash {
  const hash = parseHash(text)
  if (hash === null) throw new TypeError(`no hash: ${text}`)
  return hash
}
