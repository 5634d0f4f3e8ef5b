/**
 * Bytes that arrive in pieces, in one buffer: kept apart, pieces of one byte would take some 400 times as much memory as bytes are in them.
 * The pieces are copied, since what a socket has read into may be larger than they are.
 */
export class Gathered {
  #length = 0
  /** Has room for more than there is, so that it is not copied again for each piece. */
  #room: Buffer = NOTHING

  get length(): number {
    return this.#length
  }

  add(piece: Buffer): void {
    const length = this.#length + piece.length
    if (length > this.#room.length) {
      const larger = Buffer.allocUnsafe(this.#length === 0 ? length : 2 * length)
      this.#room.copy(larger, 0, 0, this.#length)
      this.#room = larger
    }
    piece.copy(this.#room, this.#length)
    this.#length = length
  }

  /** Everything so far, in no more memory than that takes; the next piece is the first one again. */
  take(): Buffer {
    const [bytes, length] = [this.#room, this.#length]
    this.#room = NOTHING
    this.#length = 0
    return bytes.length === length ? bytes : Buffer.from(bytes.subarray(0, length))
  }
}

const NOTHING: Buffer = Buffer.alloc(0)
