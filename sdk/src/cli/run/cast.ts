// What a terminal showed, as asciicast v2: a header, then lines of time, kind and text. https://docs.asciinema.org/manual/asciicast/v2/
import { createHash, type Hash } from 'node:crypto'

/** Size of a terminal, in characters. */
export type TerminalSize = { readonly width: number; readonly height: number }

/** What was shown since the last chunk. */
export type CastChunk = {
  /** Seconds from the start of the session to the first and the last of it. */
  readonly from: number
  readonly to: number
  /** What the terminal was sent: how many bytes, and their SHA-256 in hex. */
  readonly bytes: number
  readonly sha256: string
  /** Its lines of the asciicast, each with its line feed. */
  readonly lines: string
}

/** A chunk, as its event has it. */
export type SessionChunk = {
  /** Counted from 0, without gaps. */
  readonly chunk: number
  /** Seconds from the start of the session. */
  readonly from: number
  readonly to: number
  /** What the terminal was sent: how many bytes, and their SHA-256 in hex. */
  readonly bytes: number
  readonly sha256: string
  /** Where its lines are in the file of the session, and their SHA-256 in hex. The first chunk has the header too. */
  readonly cast: { readonly offset: number; readonly bytes: number; readonly sha256: string }
}

/** What a whole session came to. */
export type SessionReport = {
  readonly chunks: number
  readonly bytes: number
  readonly sha256: string
  readonly cast: { readonly bytes: number; readonly sha256: string }
  /** Chunks of which there is no event; only where that did not end the session. */
  readonly unrecordedChunks?: number
}

/** Makes an asciicast of bytes as they come, cut into chunks. */
export class CastWriter {
  readonly #start: number
  // A mark of byte order (U+FEFF) is shown like anything else.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  readonly #all: Hash = createHash('sha256')
  #bytes = 0
  #lines: string[] = []
  #chunk: Hash = createHash('sha256')
  #chunkBytes = 0
  #from: number | null = null
  #to = 0

  /** @param now of the session's start, ms on the clock that `shown` and `resized` read too */
  constructor(now: number) {
    this.#start = now
  }

  /** Bytes of the chunk that is being made. */
  get pending(): number {
    return this.#chunkBytes
  }

  /** The first line. @param timestamp ms since 1970 */
  static header({ width, height }: TerminalSize, timestamp: number, env: Readonly<Record<string, string>>): string {
    return `${JSON.stringify({ version: 2, width, height, timestamp: Math.floor(timestamp / 1000), env })}\n`
  }

  /** Bytes that the terminal was sent. What is no UTF-8 becomes U+FFFD in the text; the hash is over the bytes. */
  shown(bytes: Uint8Array, now: number): void {
    this.#all.update(bytes)
    this.#chunk.update(bytes)
    this.#bytes += bytes.length
    this.#chunkBytes += bytes.length
    // A character whose bytes are not all here yet comes with the next ones.
    const text = this.#decoder.decode(bytes, { stream: true })
    this.#add('o', text, now)
  }

  resized({ width, height }: TerminalSize, now: number): void {
    this.#add('r', `${width}x${height}`, now)
  }

  /** The chunk so far, and begins another one; null if there is nothing in it. */
  take(): CastChunk | null {
    if (this.#from === null) return null
    const chunk = {
      ...{ from: this.#from, to: this.#to, bytes: this.#chunkBytes },
      ...{ sha256: this.#chunk.digest('hex'), lines: this.#lines.join('') },
    }
    this.#lines = []
    this.#chunk = createHash('sha256')
    this.#chunkBytes = 0
    this.#from = null
    return chunk
  }

  /** Of everything that was shown. To be asked once, at the end. */
  total(): { bytes: number; sha256: string } {
    return { bytes: this.#bytes, sha256: this.#all.digest('hex') }
  }

  #add(kind: 'o' | 'r', text: string, now: number): void {
    const time = Math.round(Math.max(0, now - this.#start) * 1000) / 1e6
    this.#from ??= time
    this.#to = time
    if (text !== '') this.#lines.push(`${JSON.stringify([time, kind, text])}\n`)
  }
}
