/** A Merkle tree (RFC 9162) that grows from the left, by leaves and by whole perfect subtrees. Keeps one hash for each level. */
import type { Hash } from '../core/hash.ts'
import { foldRight } from '../core/merkle.ts'
import type { Primitives } from '../core/primitives.ts'

export class GrowingTree {
  /** Leaves so far. */
  size = 0
  readonly #peaks: { level: number; hash: Hash }[] = []
  readonly #nodeHash: Primitives['nodeHash']

  constructor({ nodeHash }: Primitives) {
    this.#nodeHash = nodeHash
  }

  /** Root of the leaves so far. */
  get root(): Hash {
    return foldRight(
      this.#peaks.map(({ hash }) => hash),
      this.#nodeHash,
    )
  }

  /**
   * Adds 2^`level` leaves under one hash.
   * @returns whether such a subtree can stand here: its place must be a multiple of its width
   */
  add(hash: Hash, level = 0): boolean {
    const width = 2 ** level
    if (this.size % width !== 0 || !Number.isSafeInteger(this.size + width)) return false
    let top = { level, hash }
    while (this.#peaks.at(-1)?.level === top.level)
      top = { level: top.level + 1, hash: this.#nodeHash(this.#peaks.pop()!.hash, top.hash) }
    this.#peaks.push(top)
    this.size += width
    return true
  }
}

/** The perfect subtrees that make up the leaves [start, end), left to right: the widest that fit each place. */
export function* subtreesOf(start: number, end: number): Generator<{ level: number; index: number }> {
  for (let at = start; at < end; ) {
    let level = 0
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= end) level += 1
    yield { level, index: at / 2 ** level }
    at += 2 ** level
  }
}
