// Bytes become lines and stay the bytes they were: what is relayed is never printed again.

const LINE_FEED = 10

/** A line is longer than it may be; what has arrived of it is forgotten. */
export class LineTooLong extends Error {
  override readonly name = 'LineTooLong'
}

/** Cuts what arrives into lines, each with its line feed. Keeps at most `maxBytes` of a line that has not ended. */
export class LineSplitter {
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @returns the lines that end in this chunk @throws LineTooLong */
  *push(chunk: Buffer): Generator<Buffer> {
    let from = 0
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      this.#keep(chunk.subarray(from, at + 1))
      from = at + 1
      yield this.#take()
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from))
  }

  /** What came after the last line feed; null if nothing did. */
  end(): Buffer | null {
    return this.#bytes === 0 ? null : this.#take()
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes > this.#maxBytes) {
      this.#parts = []
      throw new LineTooLong()
    }
    this.#parts.push(part)
  }

  #take(): Buffer {
    const line = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#parts = []
    this.#bytes = 0
    return line
  }
}
