// What a client sends once it is let in: messages held whole until they are complete, and data of COPY passed on piece by piece.
import { Gathered } from '../gathered.ts'

/** Where the messages of a client go. */
export type ClientFrames = {
  /** A whole message, with its type and length in front. */
  message(type: number, frame: Buffer): void
  /** A piece of CopyData as it came. `data` is what it holds of the data itself, without type and length. */
  copyData(piece: Buffer, data: Buffer): void
  /** A message that was not held, because it is too long (`size`) or there was no room (`memory`); all of it has been skipped. */
  skipped(type: number, bytes: number, why: 'size' | 'memory'): void
  /** No message of the protocol. Nothing more is read. */
  invalid(why: string): void
  /** So many bytes more (or fewer) are held, of a message that is not complete. False: there is no room, and they are not. */
  hold(bytes: number): boolean
}

/** Messages whose length the server limits in the same way. */
const SHORT = new Set([...'CDEHSXc'].map((letter) => letter.charCodeAt(0)))
const MAX_SHORT = 10_000
const LONG = new Set([...'BFPQdfp'].map((letter) => letter.charCodeAt(0)))
/** The server refuses longer ones. */
const MAX_LONG = 2 ** 30 - 1
const COPY_DATA = 'd'.charCodeAt(0)
/** Type and length. */
const HEAD = 5

/** A message of which something is still to come. */
type Current = {
  readonly type: number
  readonly bytes: number
  left: number
  /** `whole`: it is held until it is complete. */
  way: 'whole' | 'copy' | 'size' | 'memory'
  readonly body: Gathered
}

/** Cuts a client's bytes into messages. */
export class ClientFrameReader {
  readonly #to: ClientFrames
  readonly #maxBytes: number
  /** The beginning of a message's head. */
  #head: Buffer = EMPTY
  #current: Current | null = null
  #held = 0
  #isEnded = false

  /** @param maxBytes most that a message may have which is held whole */
  constructor(to: ClientFrames, maxBytes: number) {
    this.#to = to
    this.#maxBytes = maxBytes
  }

  push(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0 && !this.#isEnded) rest = this.#current === null ? this.#next(rest) : this.#more(rest)
  }

  /** Nothing more is read, and what is held is given back. */
  end(): void {
    this.#isEnded = true
    this.#release()
  }

  /** Begins with the next message, and takes it at once if all of it is there. @returns what comes behind */
  #next(chunk: Buffer): Buffer {
    const start = this.#head.length > 0 ? Buffer.concat([this.#head, chunk]) : chunk
    this.#head = EMPTY
    if (start.length < HEAD) {
      this.#head = Buffer.from(start)
      return EMPTY
    }
    const type = start[0]!
    const length = start.readInt32BE(1)
    const fault = faultOf(type, length)
    if (fault !== null) {
      this.end()
      this.#to.invalid(fault)
      return EMPTY
    }
    const bytes = length + 1
    // The usual: one message, and nothing behind it. To cut a buffer takes longer than to look at it.
    if (type !== COPY_DATA && bytes === start.length && bytes <= this.#maxBytes) {
      this.#to.message(type, start)
      return EMPTY
    }
    if (type !== COPY_DATA && bytes <= this.#maxBytes && bytes <= start.length) {
      this.#to.message(type, start.subarray(0, bytes))
      return start.subarray(bytes)
    }
    const way = type === COPY_DATA ? 'copy' : bytes > this.#maxBytes ? 'size' : 'whole'
    this.#current = { type, bytes, left: bytes, way, body: new Gathered() }
    return this.#more(start)
  }

  /** Goes on with a message. @returns what comes behind */
  #more(chunk: Buffer): Buffer {
    const current = this.#current!
    const piece = chunk.subarray(0, current.left)
    const isFirst = current.left === current.bytes
    current.left -= piece.length
    if (current.way === 'whole') this.#keep(current, piece)
    if (current.left === 0) this.#current = null
    if (current.way === 'copy') this.#to.copyData(piece, isFirst ? piece.subarray(HEAD) : piece)
    else if (current.left === 0) this.#complete(current)
    return chunk.subarray(piece.length)
  }

  #complete({ type, bytes, way, body }: Current): void {
    if (way === 'size' || way === 'memory') {
      this.#to.skipped(type, bytes, way)
      return
    }
    this.#release()
    this.#to.message(type, body.take())
  }

  #keep(current: Current, piece: Buffer): void {
    if (this.#to.hold(piece.length)) {
      this.#held += piece.length
      current.body.add(piece)
      return
    }
    current.way = 'memory'
    current.body.take()
    this.#release()
  }

  #release(): void {
    if (this.#held > 0) this.#to.hold(-this.#held)
    this.#held = 0
  }
}

const EMPTY = Buffer.alloc(0)

function faultOf(type: number, length: number): string | null {
  const most = SHORT.has(type) ? MAX_SHORT : LONG.has(type) ? MAX_LONG : -1
  if (most < 0) return `No message of a client has the type 0x${type.toString(16).padStart(2, '0')}.`
  if (length >= 4 && length <= most) return null
  return `A message of the type ${String.fromCharCode(type)} says that it is ${length} bytes long.`
}
