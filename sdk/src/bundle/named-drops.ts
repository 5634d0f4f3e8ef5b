/** Which entries of the log say that batches of a bundle have lost their events: docs/PROTOCOL.md §17. */
import { KillickError } from '../core/errors.ts'
import { MAX_ABSENT_BATCHES } from './drops.ts'
import type { FoundDrop, LedgerReader } from './ledger-reader.ts'

export class NamedDrops {
  /** Events that batches had which a drop names. */
  events = 0
  readonly #reader: LedgerReader
  /** Of the log that the bundle is of. */
  readonly #size: number
  /** Drops that were read, from the first that can name a batch of the bundle, by rising log index. */
  readonly #known: FoundDrop[] = []
  /** From where on drops are not read yet; null: none was needed. */
  #from: number | null = null
  /** Log indexes of drops that the bundle carries, as far as it has not come to them, and the least. */
  readonly #named = new Set<number>()
  #least = Number.POSITIVE_INFINITY
  /** Place in `known` of the drop that was found last. */
  #last = 0
  #batches = 0

  constructor(reader: LedgerReader, size: number) {
    this.#reader = reader
    this.#size = size
  }

  /**
   * Takes a batch of which only leaf hashes were given. If no drop names it, it is carried all the same: whoever checks the bundle sees that.
   * @throws KillickError `bundle_outdated` if what drops it comes behind the end of the bundle's log; `bundle_too_large`
   */
  async take(logIndex: number, events: number): Promise<void> {
    if (++this.#batches > MAX_ABSENT_BATCHES)
      throw new KillickError('bundle_too_large', `More than ${MAX_ABSENT_BATCHES} of its batches were dropped`)
    this.#from ??= logIndex + 1
    const drop = this.#find(logIndex) ?? (await this.#readOn(logIndex))
    if (drop === undefined) return
    if (drop.logIndex >= this.#size)
      throw new KillickError('bundle_outdated', `Batch ${logIndex} was dropped while the bundle was made`)
    this.#named.add(drop.logIndex)
    this.#least = Math.min(this.#least, drop.logIndex)
    this.events += events
  }

  /** Whether an entry drops a batch that was taken. */
  isNamed(logIndex: number): boolean {
    return this.#named.has(logIndex)
  }

  /** Drops of batches that were taken, of entries from `first` to before `end`, by rising log index. To be asked of ever later entries. */
  namedIn(first: number, end: number): number[] {
    if (this.#least >= end) return []
    const named = [...this.#named].sort((a, b) => a - b)
    for (const at of named) if (at < end) this.#named.delete(at)
    this.#least = named.find((at) => at >= end) ?? Number.POSITIVE_INFINITY
    return named.filter((at) => at >= first && at < end)
  }

  #find(entry: number): FoundDrop | undefined {
    const isBy = ({ logIndex, entries }: FoundDrop) => logIndex > entry && names(entries, entry)
    // Mostly it is the one that named the batch before, or a later one.
    for (let at = this.#last; at < this.#known.length; at++) {
      if (!isBy(this.#known[at]!)) continue
      this.#last = at
      return this.#known[at]
    }
    return this.#known.slice(0, this.#last).find(isBy)
  }

  /** Others may have come since. */
  async #readOn(entry: number): Promise<FoundDrop | undefined> {
    for await (const drop of this.#reader.drops(this.#from!)) {
      this.#known.push(drop)
      this.#from = drop.logIndex + 1
    }
    return this.#find(entry)
  }
}

/** Whether an entry is in one of some rising stretches. */
function names(entries: FoundDrop['entries'], entry: number): boolean {
  let [low, high] = [0, entries.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (entries[middle]![1] < entry) low = middle + 1
    else high = middle
  }
  return low < entries.length && entries[low]![0] <= entry
}
