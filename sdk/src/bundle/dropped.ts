/** Which of the batches that a bundle carries without events were dropped, as drops say that it carries: docs/PROTOCOL.md §17. */
import type { RetentionDrop } from '../core/retention.ts'
import { type BundleDrop, Few } from './verdict.ts'

/** A drop that the bundle carries; its batches come before it in the log. */
type Told = { readonly logIndex: number; readonly drop: RetentionDrop; events: number }

export class DropWatch {
  /** Log index of each bare batch of the scope, rising, and how many places of the scope it has. */
  readonly #bare: number[] = []
  readonly #places: number[] = []
  readonly #told: Told[] = []

  /** A batch of the scope that is carried without any event. @param places how many of its places are in the scope */
  bare(logIndex: number, places: number): void {
    this.#bare.push(logIndex)
    this.#places.push(places)
  }

  /** @returns whether the drop names a bare batch of the scope that stands before it, as those that it drops do */
  drop(drop: RetentionDrop, logIndex: number): boolean {
    let isOfScope = false
    for (const [first, last] of drop.entries) {
      const at = this.#from(first)
      isOfScope ||= at < this.#bare.length && this.#bare[at]! <= last
    }
    if (isOfScope) this.#told.push({ logIndex, drop, events: 0 })
    return isOfScope
  }

  /** How many places of the scope were dropped, and by which drops: each place counts for the first that names it. */
  finish(): { dropped: number; drops: BundleDrop[]; dropCount: number } {
    const ranges = this.#told.flatMap((told) => told.drop.entries.map(([first, last]) => ({ first, last, told })))
    const isTaken = new Uint8Array(this.#bare.length)
    let dropped = 0
    for (const { first, last, told } of ranges)
      for (let at = this.#from(first); at < this.#bare.length && this.#bare[at]! <= last; at++) {
        if (isTaken[at] === 1 || this.#bare[at]! >= told.logIndex) continue
        isTaken[at] = 1
        told.events += this.#places[at]!
        dropped += this.#places[at]!
      }
    const found = new Few<BundleDrop>()
    for (const { logIndex, drop, events } of this.#told)
      if (events > 0) found.add({ logIndex, policy: drop.id, version: drop.version, events })
    return { dropped, drops: found.list, dropCount: found.count }
  }

  /** Place in the list of the first bare batch that is not before an entry. */
  #from(entry: number): number {
    let [low, high] = [0, this.#bare.length]
    while (low < high) {
      const mid = (low + high) >>> 1
      if (this.#bare[mid]! < entry) low = mid + 1
      else high = mid
    }
    return low
  }
}
