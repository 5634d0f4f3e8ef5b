/**
 * In which packs of a run names may be, in six bytes to a name: a table with open addressing whose slots hold 14 bits of a name and
 * where its pack begins. Each name that it was given is found; of others it takes about one in ten thousand for its own.
 *
 * Only the bits of a key that an entry keeps count, for the table is made of entries.
 */

import { mix } from './name-filter.ts'
import { OFFSET_MASK } from './runs.ts'

export class RunNames {
  readonly #slots: Uint32Array
  #isWhole = true

  /** @param names how many there will be, at most about */
  constructor(names: number) {
    this.#slots = new Uint32Array(Math.ceil(SLOTS_PER_NAME * names))
  }

  get bytes(): number {
    return this.#slots.byteLength
  }

  /** Whether every entry that was added found room: not where very many share a name. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  add(entry: Buffer, at = 0): void {
    const { first, mark } = slotOf(entry, at, this.#slots.length)
    for (let slot = first, steps = 0; steps < MAX_STEPS; steps++, slot = this.#next(slot)) {
      if (this.#slots[slot] !== FREE) continue
      this.#slots[slot] = (mark << OFFSET_BITS) | (entry.readInt32BE(at + 4) & OFFSET_MASK)
      return
    }
    this.#isWhole = false
  }

  /** Whether the run is to be looked at for a name. */
  has(key: Buffer): boolean {
    return !this.#isWhole || this.find(key).length > 0
  }

  /** Where packs begin that may have a name, counted from the beginning of the run, the oldest first. */
  find(key: Buffer): number[] {
    const { first, mark } = slotOf(key, 0, this.#slots.length)
    const offsets: number[] = []
    for (let slot = first, steps = 0; steps < MAX_STEPS; steps++, slot = this.#next(slot)) {
      const held = this.#slots[slot]!
      if (held === FREE) break
      if (held >>> OFFSET_BITS === mark) offsets.push(held & OFFSET_MASK)
    }
    return offsets.sort((a, b) => a - b)
  }

  #next(slot: number): number {
    return slot + 1 === this.#slots.length ? 0 : slot + 1
  }
}

/** With two of three slots in use, a name that the table does not have is told after five on average. */
const SLOTS_PER_NAME = 1.5
/** Slots that are looked at for a name. Only a name that very many packs have fills so many in a row. */
const MAX_STEPS = 256
const FREE = 0
const OFFSET_BITS = Math.log2(OFFSET_MASK + 1)

/** Where a name is looked for first, and the bits of it that its slot holds, which are never 0. */
function slotOf(key: Buffer, at: number, slots: number): { first: number; mark: number } {
  const high = key.readInt32BE(at)
  const low = key.readInt32BE(at + 4) >>> OFFSET_BITS
  const first = Math.floor((mix(high ^ Math.imul(low, 0x9e3779b1)) / 2 ** 32) * slots)
  return { first, mark: mix(Math.imul(high, 0x85ebca6b) ^ low) >>> OFFSET_BITS || 1 }
}
