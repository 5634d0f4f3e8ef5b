// What the server sends: passed on as it comes, and looked at on the way. Nothing of a result is kept.

/** Where the messages of the server go. */
export type ServerFrames = {
  /** Bytes for the client, as they came. */
  pass(bytes: Buffer): void
  /** Whether the message that begins is kept from the client. */
  drops(type: number): boolean
  /**
   * A message is complete; it has not been passed on if it is the last of its chunk. `body`: the first 64 KiB of what comes behind its
   * length, of types that say something about a statement or the session.
   */
  message(type: number, body: Buffer): void
  /** Data of COPY, as it passes. */
  copyData(data: Buffer): void
  /** A length that no message can have. Nothing more is read. */
  invalid(): void
}

const COPY_DATA = 'd'.charCodeAt(0)
/** Messages that are looked into. */
const LOOKED_INTO = new Set([...'CEKRSZ'].map((letter) => letter.charCodeAt(0)))
const MAX_BODY = 64 << 10
/** Type and length. */
const HEAD = 5

const EMPTY = Buffer.alloc(0)

/** Looks at the server's bytes as messages. */
export class ServerFrameReader {
  readonly #to: ServerFrames
  #head: Buffer = EMPTY
  #type = 0
  #left = 0
  #isDropped = false
  #body: Buffer[] = []
  #kept = 0
  #isEnded = false

  constructor(to: ServerFrames) {
    this.#to = to
  }

  push(given: Buffer): void {
    if (this.#isEnded) return
    const chunk = this.#head.length > 0 ? Buffer.concat([this.#head, given]) : given
    this.#head = EMPTY
    // From where on bytes have not been passed on yet: neighbours go on together.
    let from = 0
    let at = 0
    const pass = (to: number) => {
      if (to > from) this.#to.pass(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to))
      from = to
    }
    while (at < chunk.length) {
      if (this.#left === 0) {
        if (chunk.length - at < HEAD) break
        this.#type = chunk[at]!
        const length = chunk.readInt32BE(at + 1)
        if (length < 4) {
          this.#isEnded = true
          pass(at)
          this.#to.invalid()
          return
        }
        this.#left = length - 4
        if (this.#body.length > 0) this.#body = []
        this.#kept = 0
        this.#isDropped = this.#to.drops(this.#type)
        if (this.#isDropped) pass(at)
        at += HEAD
      }
      const end = Math.min(chunk.length, at + this.#left)
      this.#look(chunk, at, end)
      this.#left -= end - at
      at = end
      if (this.#isDropped) from = at
      if (this.#left > 0) break
      this.#to.message(this.#type, this.#whole())
      if (this.#isEnded) return
    }
    pass(at)
    if (at < chunk.length) this.#head = Buffer.from(chunk.subarray(at))
  }

  end(): void {
    this.#isEnded = true
  }

  #whole(): Buffer {
    if (this.#body.length === 0) return EMPTY
    return this.#body.length === 1 ? this.#body[0]! : Buffer.concat(this.#body)
  }

  #look(chunk: Buffer, at: number, end: number): void {
    if (end === at) return
    if (this.#type === COPY_DATA) this.#to.copyData(chunk.subarray(at, end))
    else if (LOOKED_INTO.has(this.#type) && this.#kept < MAX_BODY) {
      const part = chunk.subarray(at, Math.min(end, at + MAX_BODY - this.#kept))
      // What is not complete outlives what the socket has read into.
      this.#body.push(this.#left === end - at && this.#body.length === 0 ? part : Buffer.from(part))
      this.#kept += part.length
    }
  }
}
