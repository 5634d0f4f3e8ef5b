/**
 * Which names a run may hold, in about two bytes to a name: a Bloom filter (Bloom, 1970) whose bits for one name lie in 64 bytes, so
 * that to ask it is to look at one line of the processor's cache (Putze, Sanders, Singler, 2007). It never forgets a name; of names
 * that it was not given it takes about one in a thousand for its own.
 *
 * Only the bits of a key that an entry keeps count, for the filter is made of entries.
 */

import { OFFSET_MASK } from './runs.ts'

export class NameFilter {
  readonly #bits: Uint32Array
  readonly #blockShift: number

  /** @param names how many there will be, at most about */
  constructor(names: number) {
    const blocks = Math.max(1, Math.ceil(Math.log2((BITS_PER_NAME * names) / (32 * BLOCK_WORDS))))
    this.#blockShift = 32 - blocks
    this.#bits = new Uint32Array(BLOCK_WORDS * 2 ** blocks)
  }

  get bytes(): number {
    return this.#bits.byteLength
  }

  /** @param key or an entry, of which the offset is left out. @param at where it begins */
  add(key: Buffer, at = 0): void {
    this.#visit(key, at, (word, bit) => {
      this.#bits[word]! |= bit
      return true
    })
  }

  has(key: Buffer): boolean {
    return this.#visit(key, 0, (word, bit) => (this.#bits[word]! & bit) !== 0)
  }

  /** Every place of a name, while `look` says so. */
  #visit(key: Buffer, at: number, look: (word: number, bit: number) => boolean): boolean {
    const high = key.readInt32BE(at)
    const low = key.readInt32BE(at + 4) >>> KEPT_SHIFT
    const first = mix(high ^ Math.imul(low, 0x9e3779b1))
    const second = mix(Math.imul(high, 0x85ebca6b) ^ low)
    const block = BLOCK_WORDS * (first >>> this.#blockShift)
    const step = (second >>> 9) | 1
    for (let i = 0, place = second; i < PLACES; i++, place += step)
      if (!look(block + ((place >>> 5) & (BLOCK_WORDS - 1)), 1 << (place & 31))) return false
    return true
  }
}

const BITS_PER_NAME = 16
/** 32 bits each. */
const BLOCK_WORDS = 16
/** Bits of a name in its block. */
const PLACES = 7
/** Bits of the second half of an entry that are not the key's. */
const KEPT_SHIFT = Math.log2(OFFSET_MASK + 1)

/** Another one in each process, so that nobody can choose names that fill one block of every filter. */
const SEED = Math.floor(Math.random() * 2 ** 32)

/** The end of MurmurHash3 (Appleby): every bit of the number has a part in every bit of the result. */
export function mix(number: number): number {
  let h = number ^ SEED
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
