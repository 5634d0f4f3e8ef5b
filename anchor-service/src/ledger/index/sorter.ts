import { endianness } from 'node:os'
import { free } from '../../release-memory.ts'
import { ENTRY, OFFSET_MASK } from './runs.ts'

/** One more than the largest signed 32-bit number. */
const BEYOND = 2 ** 31

/** Remembers the entries added last, each in a slot given by its key: the events of a pack share many keys. */
const SLOTS = 1024

/** Sorts entries (signed 64-bit numbers in network order) in place and removes duplicates. @returns the rest */
export function sortEntries(entries: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const isSwapped = endianness() === 'LE'
  if (isSwapped) entries.swap64()
  new BigInt64Array(entries.buffer, entries.byteOffset, entries.length / ENTRY).sort()
  if (isSwapped) entries.swap64()
  let end = 0
  for (let i = 0; i < entries.length; i += ENTRY) {
    const isNew =
      end === 0 ||
      entries.readInt32BE(i + 4) !== entries.readInt32BE(end - 4) ||
      entries.readInt32BE(i) !== entries.readInt32BE(end - 8)
    if (!isNew) continue
    if (end < i) entries.copyWithin(end, i, i + ENTRY)
    end += ENTRY
  }
  return entries.subarray(0, end)
}

/**
 * Makes entries from the keys of packs, within a fixed buffer. If there are more entries than fit, it keeps the least of them,
 * and reports from where on the caller must add the others again.
 */
export class EntrySorter {
  #bytes: Buffer<ArrayBuffer>
  #end = 0
  #from = -BEYOND
  #to = BEYOND
  /** First and last 32 bits of entries added since the last `take`. */
  readonly #lastHigh = new Float64Array(SLOTS).fill(Number.NaN)
  readonly #lastLow = new Int32Array(SLOTS)

  /** @param size of its memory in bytes */
  constructor(size: number) {
    this.#bytes = Buffer.from(new ArrayBuffer(Math.max(size - (size % ENTRY), 1024 * ENTRY)))
  }

  /**
   * Adds a pack.
   * @param offset distance in events from the run's beginning to the pack's
   * @param keys 8 bytes each
   */
  add(offset: number, keys: Buffer): void {
    for (let i = 0; i + ENTRY <= keys.length; i += ENTRY) {
      const high = keys.readInt32BE(i)
      if (high < this.#from || high >= this.#to) continue
      const low = (keys.readInt32BE(i + 4) & ~OFFSET_MASK) | offset
      const slot = high & (SLOTS - 1)
      if (this.#lastHigh[slot] === high && this.#lastLow[slot] === low) continue
      this.#lastHigh[slot] = high
      this.#lastLow[slot] = low
      if (this.#end === this.#bytes.length) {
        this.#makeRoom()
        if (high >= this.#to) continue
      }
      this.#bytes.writeInt32BE(high, this.#end)
      this.#bytes.writeInt32BE(low, this.#end + 4)
      this.#end += ENTRY
    }
  }

  #makeRoom(): void {
    this.#end = sortEntries(this.#bytes.subarray(0, this.#end)).length
    if (this.#end <= this.#bytes.length / 2) return
    const bytes = this.#bytes
    const middle = bytes.readInt32BE(this.#end / 2 - ((this.#end / 2) % ENTRY))
    let kept = this.#end
    while (kept > 0 && bytes.readInt32BE(kept - ENTRY) >= middle) kept -= ENTRY
    if (kept > 0) {
      this.#end = kept
      this.#to = middle
      return
    }
    // More than half of the entries begin with the same 32 bits, which does not happen by chance.
    this.#bytes = Buffer.from(new ArrayBuffer(2 * bytes.length))
    bytes.copy(this.#bytes, 0, 0, this.#end)
    free(bytes)
  }

  /** The entries added so far; valid until more are added. `isLast`: the caller need not add others again. */
  take(): { entries: Buffer; isLast: boolean } {
    const entries = sortEntries(this.#bytes.subarray(0, this.#end))
    const isLast = this.#to === BEYOND
    this.#end = 0
    this.#from = this.#to
    this.#to = BEYOND
    this.#lastHigh.fill(Number.NaN)
    return { entries, isLast }
  }

  /** Frees its memory. */
  close(): void {
    free(this.#bytes)
  }
}
