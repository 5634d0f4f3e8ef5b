/**
 * Which packs may have which names, in 32 bytes to a name: a table with open addressing over 48 bits of each name. Two names may
 * share those bits, so the caller must look into the packs.
 */
export class NameTable {
  #bits = 10
  #heads = new Float64Array(1 << this.#bits)
  #packs = new Float64Array(1 << this.#bits).fill(FREE)
  #size = 0
  /** Names of so many packs that not all of these are in the table. */
  readonly #crowded = new Set<number>()

  get bytes(): number {
    return 16 * this.#heads.length
  }

  add(head: number, pack: number): void {
    if (2 * this.#size >= this.#heads.length) this.#grow()
    let same = 0
    let at = this.#slot(head)
    for (; this.#packs[at] !== FREE; at = this.#next(at)) {
      if (this.#heads[at] !== head) continue
      if (this.#packs[at] === pack) return
      if (++same === CROWD) {
        this.#crowded.add(head)
        return
      }
    }
    this.#heads[at] = head
    this.#packs[at] = pack
    this.#size++
  }

  /** The packs of a name that begin at `from` or after it, oldest first; `isAll`: there are no others. */
  find(head: number, from: number): { packs: number[]; isAll: boolean } {
    const packs: number[] = []
    for (let at = this.#slot(head); this.#packs[at] !== FREE; at = this.#next(at))
      if (this.#heads[at] === head && this.#packs[at]! >= from) packs.push(this.#packs[at]!)
    return { packs: packs.sort((a, b) => a - b), isAll: !this.#crowded.has(head) }
  }

  /** A copy without packs that begin before `from`. */
  since(from: number): NameTable {
    const rest = new NameTable()
    for (const [at, pack] of this.#packs.entries()) if (pack >= from) rest.add(this.#heads[at]!, pack)
    for (const head of this.#crowded) rest.#crowded.add(head)
    return rest
  }

  #slot(head: number): number {
    return Math.imul(Math.floor(head / 2 ** 16) ^ head, SEED) >>> (32 - this.#bits)
  }

  #next(at: number): number {
    return (at + 1) & (this.#heads.length - 1)
  }

  #grow(): void {
    const [heads, packs] = [this.#heads, this.#packs]
    this.#bits++
    this.#heads = new Float64Array(2 * heads.length)
    this.#packs = new Float64Array(2 * heads.length).fill(FREE)
    this.#size = 0
    for (const [at, pack] of packs.entries()) if (pack !== FREE) this.add(heads[at]!, pack)
  }
}

const FREE = -1
/** Most packs of one name: a source may give the same id to many events. */
const CROWD = 64
/** Odd, and different in each process, so that nobody can choose ids that crowd one part of the table. */
const SEED = 2 * Math.floor(Math.random() * 2 ** 30) + 1

/** The 48 bits of a name: the end of an id, which is random, or the beginning of a leaf hash. */
export const headOfId = (ids: Buffer, at = 0): number => ids.readUIntBE(at + 10, 6)
export const headOfLeaf = (leaves: Buffer, at = 0): number => leaves.readUIntBE(at, 6)
