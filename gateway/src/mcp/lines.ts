// Bytes become lines and stay the bytes they were: what is relayed is never printed again.
import { Gathered } from '../gathered.ts'

const LINE_FEED = 10

/** A line is longer than it may be; what has arrived of it is forgotten. */
export class LineTooLong extends Error {
  override readonly name = 'LineTooLong'
}

/** Cuts what arrives into lines, each with its line feed. Keeps at most `maxBytes` of a line that has not ended. */
export class LineSplitter {
  readonly #maxBytes: number
  readonly #line = new Gathered()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @returns the lines that end in this chunk @throws LineTooLong */
  *push(chunk: Buffer): Generator<Buffer> {
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      this.#keep(chunk.subarray(from, at + 1))
      from = at + 1
      yield this.#line.take()
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from))
  }

  /** What came after the last line feed; null if nothing did. */
  end(): Buffer | null {
    return this.#line.length === 0 ? null : this.#line.take()
  }

  #keep(part: Buffer): void {
    if (this.#line.length + part.length > this.#maxBytes) {
      this.#line.take()
      throw new LineTooLong()
    }
    this.#line.add(part)
  }
}
