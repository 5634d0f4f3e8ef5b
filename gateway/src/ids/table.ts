/** An id of a sender takes 8 bytes here: 32 bits of its hash, and the number of its line in the file, from 1. 0 is a free slot. */
const SLOT = 2
const FIRST_SLOTS = 1 << 10
/** How full a table gets before it doubles; beyond it, finding that something is not there takes long. */
const MAX_LOAD = 0.75

/**
 * Finds lines of one file by 32 bits of a hash: open addressing in one typed array, so that ten million ids are some 110 MiB and
 * nothing for the garbage collector. Two ids may share 32 bits, so whoever asks compares the whole line.
 */
export class IdTable {
  #slots = new Uint32Array(FIRST_SLOTS * SLOT)
  #count = 0

  /** The first of the lines that may be the one for which `take` returns something; nearly always there is none or one. */
  find<T>(fingerprint: number, take: (line: number) => T | null): T | null {
    const mask = this.#slots.length / SLOT - 1
    for (let at = fingerprint & mask; ; at = (at + 1) & mask) {
      const line = this.#slots[at * SLOT + 1]!
      if (line === 0) return null
      const found = this.#slots[at * SLOT] === fingerprint ? take(line - 1) : null
      if (found !== null) return found
    }
  }

  add(fingerprint: number, line: number): void {
    if ((this.#count + 1) * SLOT > this.#slots.length * MAX_LOAD) this.#grow()
    this.#count += 1
    put(this.#slots, fingerprint, line + 1)
  }

  #grow(): void {
    const wider = new Uint32Array(this.#slots.length * 2)
    for (let i = 0; i < this.#slots.length; i += SLOT)
      if (this.#slots[i + 1] !== 0) put(wider, this.#slots[i]!, this.#slots[i + 1]!)
    this.#slots = wider
  }
}

function put(slots: Uint32Array, fingerprint: number, line: number): void {
  const mask = slots.length / SLOT - 1
  let at = fingerprint & mask
  while (slots[at * SLOT + 1] !== 0) at = (at + 1) & mask
  slots[at * SLOT] = fingerprint
  slots[at * SLOT + 1] = line
}
