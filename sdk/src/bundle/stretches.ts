/** Cuts `log.txt` into stretches: whole lines and, as far as an entry is not too long, whole entries, so that each can be read without the rest. */
import { KillickError } from '../core/errors.ts'
import { MAX_LINE_BYTES } from './lines.ts'

/** Consecutive lines of `log.txt`. */
export type BundleStretch = {
  /** Whole lines, each with its line feed. Nothing else holds the memory. */
  readonly bytes: Uint8Array
  /** Whether its last entry may go on in the next stretch. */
  readonly isOpen: boolean
}

/** A stretch ends before the first entry behind so many bytes, so that a few in memory do not matter. */
const STRETCH_BYTES = 256 << 10
/** What a stretch has room for without growing. */
const ROOM_BYTES = 2 * STRETCH_BYTES
/** Behind so many it ends within an entry. */
const MOST_BYTES = 4 << 20
/** Bytes that are taken in at a time, however many come at once. */
const PIECE_BYTES = 128 << 10
const [LINE_FEED, SPACE, H] = [0x0a, 0x20, 0x48]

export class Stretches implements AsyncIterable<BundleStretch> {
  /** What ended them too early. It counts only once all of them have been judged, so that it does not matter how the bytes came. */
  fault: { readonly error: unknown } | null = null
  readonly #chunks: AsyncIterable<Uint8Array>
  /** Memory for stretches to come. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = []
  #bytes = new Uint8Array(ROOM_BYTES)
  #used = 0
  /** Where to look for the end, behind which lines were whole, and how long the last line is so far. */
  #scanned = STRETCH_BYTES
  #lineAt = 0

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<BundleStretch> {
    try {
      for await (const chunk of this.#chunks) {
        for (let at = 0; at < chunk.length && this.fault === null; at += PIECE_BYTES)
          yield* this.#take(chunk.subarray(at, at + PIECE_BYTES))
        if (this.fault !== null) break
      }
    } catch (error) {
      this.fault = { error }
    }
    const isCut = this.#lineAt < this.#used
    if (this.#lineAt > 0) yield this.#cut(this.#lineAt, false)
    if (isCut && this.fault === null) this.fault = { error: endless('The last line') }
  }

  /** Gives back a stretch of which nothing is wanted any more: else its memory would wait for the garbage collector, and much of it would pile up. */
  reuse({ buffer }: Uint8Array): void {
    if (buffer instanceof ArrayBuffer && buffer.byteLength === ROOM_BYTES) this.#spare.push(new Uint8Array(buffer))
  }

  *#take(piece: Uint8Array): Generator<BundleStretch> {
    this.#append(piece)
    for (let end = this.#end(); end !== null; end = this.#end()) yield this.#cut(end.at, end.isOpen)
    const last = this.#bytes.subarray(this.#lineAt, this.#used).lastIndexOf(LINE_FEED)
    if (last >= 0) this.#lineAt += last + 1
    if (this.#used - this.#lineAt > MAX_LINE_BYTES) this.fault = { error: endless('A line') }
  }

  #append(piece: Uint8Array): void {
    const needed = this.#used + piece.length
    if (needed > this.#bytes.length) {
      const longer = new Uint8Array(2 * needed)
      longer.set(this.#bytes.subarray(0, this.#used))
      this.#bytes = longer
    }
    this.#bytes.set(piece, this.#used)
    this.#used = needed
  }

  /** Where the stretch ends; null if that has not come yet. */
  #end(): { at: number; isOpen: boolean } | null {
    const bytes = this.#bytes.subarray(0, this.#used)
    for (;;) {
      const found = bytes.indexOf(LINE_FEED, this.#scanned)
      // Whether an entry comes next, the two bytes behind it say.
      if (found < 0 || found + 2 >= bytes.length) {
        this.#scanned = found < 0 ? Math.max(this.#scanned, bytes.length) : found
        return null
      }
      const at = found + 1
      this.#scanned = at
      if (bytes[at] === H && bytes[at + 1] === SPACE) return { at, isOpen: false }
      if (at > MOST_BYTES) return { at, isOpen: true }
    }
  }

  #cut(end: number, isOpen: boolean): BundleStretch {
    const rest = this.#bytes.subarray(end, this.#used)
    const spare = rest.length > ROOM_BYTES ? undefined : this.#spare.pop()
    const fresh = spare ?? new Uint8Array(Math.max(ROOM_BYTES, rest.length))
    fresh.set(rest)
    const bytes = this.#bytes.subarray(0, end)
    this.#bytes = fresh
    this.#used = rest.length
    this.#scanned = STRETCH_BYTES
    this.#lineAt = Math.max(0, this.#lineAt - end)
    return { bytes, isOpen }
  }
}

export const endless = (what: string) => new KillickError('bundle_malformed', `${what} of log.txt has no end`)
