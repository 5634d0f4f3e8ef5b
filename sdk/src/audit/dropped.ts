/**
 * What an audit has to know of what was dropped. Most of an old ledger may be, so it is kept as compactly as it can be: of a batch six bytes,
 * of an event eight. Of what is shown nothing is kept: a drop that names it is at fault whatever it was.
 */
import type { Hash } from '../core/hash.ts'

/** A batch as its header tells it. */
export type BatchScope = { readonly source: string; readonly stream: string; readonly n: number }

const CHUNK = 1 << 14
/** In place of a number of events, of which a batch has 10,000 at most: what came of it could not be read. */
const UNREADABLE = 0xffff

/** Numbers from 0 on, a bit for each: those of log entries. */
export class EntrySet {
  #bits = new Uint8Array(1 << 10)
  #size = 0

  get size(): number {
    return this.#size
  }

  has(entry: number): boolean {
    const at = Math.floor(entry / 8)
    return at < this.#bits.length && (this.#bits[at]! & (1 << (entry % 8))) !== 0
  }

  add(entry: number): void {
    if (this.has(entry)) return
    const at = Math.floor(entry / 8)
    if (at >= this.#bits.length) {
      const longer = new Uint8Array(2 * at)
      longer.set(this.#bits)
      this.#bits = longer
    }
    this.#bits[at]! |= 1 << (entry % 8)
    this.#size += 1
  }

  delete(entry: number): void {
    if (!this.has(entry)) return
    this.#bits[Math.floor(entry / 8)]! &= ~(1 << (entry % 8))
    this.#size -= 1
  }

  /** Stretches of numbers that follow each other, rising. */
  *stretches(): Generator<[first: number, last: number]> {
    let open: number | null = null
    for (let at = 0; at < this.#bits.length; at++) {
      if (open === null ? this.#bits[at] === 0 : this.#bits[at] === 0xff) continue
      for (let entry = 8 * at; entry < 8 * at + 8; entry++) {
        if (this.has(entry)) open ??= entry
        else if (open !== null) {
          yield [open, entry - 1]
          open = null
        }
      }
    }
    if (open !== null) yield [open, 8 * this.#bits.length - 1]
  }
}

/** The batches that came without events: their streams as numbers, of which there are few, and how many events they had. */
export class DroppedBatches {
  readonly #streams: { readonly source: string; readonly stream: string }[] = []
  readonly #numbers = new Map<string, number>()
  readonly #chunks = new Map<number, { readonly streams: Uint32Array; readonly counts: Uint16Array }>()

  add(logIndex: number, { source, stream, n }: BatchScope): void {
    const name = `${source}/${stream}`
    let number = this.#numbers.get(name)
    if (number === undefined) {
      number = this.#streams.push({ source, stream }) - 1
      this.#numbers.set(name, number)
    }
    this.#set(logIndex, number, n)
  }

  /** Takes a batch that could not be read, which the audit has reported. */
  addUnreadable(logIndex: number): void {
    this.#set(logIndex, 0, UNREADABLE)
  }

  /** Null: its events were shown. */
  of(logIndex: number): BatchScope | 'unreadable' | null {
    const chunk = this.#chunks.get(Math.floor(logIndex / CHUNK))
    const n = chunk?.counts[logIndex % CHUNK] ?? 0
    if (n === 0) return null
    if (n === UNREADABLE) return 'unreadable'
    return { ...this.#streams[chunk!.streams[logIndex % CHUNK]!]!, n }
  }

  #set(logIndex: number, stream: number, n: number): void {
    const at = Math.floor(logIndex / CHUNK)
    const chunk = this.#chunks.get(at) ?? { streams: new Uint32Array(CHUNK), counts: new Uint16Array(CHUNK) }
    this.#chunks.set(at, chunk)
    chunk.streams[logIndex % CHUNK] = stream
    chunk.counts[logIndex % CHUNK] = n
  }
}

/**
 * Leaf hashes of events that were dropped, by their first 53 bits as a number that is exact: of ten million such events the odds are one in
 * nine hundred million that another event is taken for one of them.
 */
export class DroppedLeaves {
  #known = new Float64Array(1 << 8)
  #count = 0
  #isSorted = true

  add(leaf: Hash): void {
    this.#reserve(1)
    this.#known[this.#count++] = numberOf(leaf)
    this.#isSorted = false
  }

  has(leaf: Hash): boolean {
    if (!this.#isSorted) this.#known.subarray(0, this.#count).sort()
    this.#isSorted = true
    const wanted = numberOf(leaf)
    let [low, high] = [0, this.#count]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#known[middle]! < wanted) low = middle + 1
      else high = middle
    }
    return low < this.#count && this.#known[low] === wanted
  }

  /** What is known, in texts of a moderate length. */
  *save(): Generator<string> {
    for (let at = 0; at < this.#count; at += CHUNK) {
      const part = this.#known.slice(at, Math.min(at + CHUNK, this.#count))
      yield Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('base64')
    }
  }

  load(saved: string): void {
    const bytes = Buffer.from(saved, 'base64')
    const numbers = new Float64Array(Uint8Array.from(bytes).buffer)
    this.#reserve(numbers.length)
    this.#known.set(numbers, this.#count)
    this.#count += numbers.length
    this.#isSorted = false
  }

  #reserve(more: number): void {
    if (this.#count + more <= this.#known.length) return
    const longer = new Float64Array(2 * (this.#count + more))
    longer.set(this.#known)
    this.#known = longer
  }
}

function numberOf(leaf: Hash): number {
  const view = new DataView(leaf.buffer, leaf.byteOffset, leaf.byteLength)
  return view.getUint32(0) * 2 ** 21 + (view.getUint32(4) >>> 11)
}
