// One file of remembered ids: lines of 64 bytes, each with its own checksum, in space that is reserved ahead. A line is whole or it
// counts as absent; what is absent is found again in the spool (./sender-ids.ts says why that is enough).
import { closeSync, constants, fdatasync, fdatasyncSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { IdTable } from './table.ts'

/** What is remembered of one event. */
export type IdLine = {
  /** First 16 bytes of the SHA-256 of claimed source and sender's id. */
  readonly key: Buffer
  /** First 20 bytes of the SHA-256 of the content. */
  readonly content: Buffer
  /** The event's UUIDv7. */
  readonly id: string
  /** Its number in the collector's stream. */
  readonly seq: number
}

/** When an event was recorded, ms since 1970: a UUIDv7 begins with it (RFC 9562 §5.7). */
export const timeOfId = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

/** key 16 · content 20 · event 16 · two zeros and seq 8 · crc32 4 */
export const LINE_BYTES = 64
const CHECKED_BYTES = 60
/** How much space is reserved at a time: 16,384 lines. */
const GROW_BYTES = 1 << 20
const READ_BYTES = 1 << 20

const sync = promisify(fdatasync)

export class IdFile {
  readonly path: string
  /** When its newest event was recorded, ms since 1970. */
  newest = 0
  readonly #file: number
  readonly #table = new IdTable()
  /** Lines that are written, and for how many there is space. */
  #lines = 0
  #space = 0

  /** Opens or makes the file at `path` and reads it. */
  constructor(path: string) {
    this.path = path
    // For reading and writing at any place, made where there is none.
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    syncFolder(dirname(path))
    this.#read()
  }

  get lines(): number {
    return this.#lines
  }

  /** Whether `count` more lines can be written however full the disk is. */
  hasSpace(count: number): boolean {
    return this.#lines + count <= this.#space
  }

  /** Makes space for `count` more lines, on disk. @throws the system's error, such as ENOSPC */
  reserve(count: number): void {
    while (!this.hasSpace(count)) {
      const zeros = Buffer.alloc(GROW_BYTES)
      const at = this.#space * LINE_BYTES
      for (let done = 0; done < zeros.length; )
        done += writeSync(this.#file, zeros, done, zeros.length - done, at + done)
      this.#space += GROW_BYTES / LINE_BYTES
    }
  }

  /** Writes lines into reserved space. They are durable after `sync()`. */
  add(lines: readonly IdLine[]): void {
    const bytes = Buffer.alloc(lines.length * LINE_BYTES)
    for (const [i, line] of lines.entries()) printLine(bytes.subarray(i * LINE_BYTES, (i + 1) * LINE_BYTES), line)
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#file, bytes, done, bytes.length - done, this.#lines * LINE_BYTES + done)
    for (let at = 0; at < bytes.length; at += LINE_BYTES) {
      this.#note(bytes.subarray(at, at + LINE_BYTES), this.#lines)
      this.#lines += 1
    }
  }

  find(key: Buffer): IdLine | null {
    return this.#table.find(key.readUInt32LE(0), (number) => {
      const bytes = Buffer.alloc(LINE_BYTES)
      readSync(this.#file, bytes, 0, LINE_BYTES, number * LINE_BYTES)
      return bytes.subarray(0, 16).equals(key) ? parseLine(bytes) : null
    })
  }

  sync(): Promise<void> {
    return sync(this.#file)
  }

  syncNow(): void {
    fdatasyncSync(this.#file)
  }

  close(): void {
    closeSync(this.#file)
  }

  #note(bytes: Buffer, number: number): void {
    this.#table.add(bytes.readUInt32LE(0), number)
    this.newest = Math.max(this.newest, bytes.readUIntBE(36, 6))
  }

  #read(): void {
    const buffer = Buffer.alloc(READ_BYTES)
    for (let offset = 0; ; ) {
      const bytes = readSync(this.#file, buffer, 0, READ_BYTES, offset)
      const whole = bytes - (bytes % LINE_BYTES)
      for (let at = 0; at < whole; at += LINE_BYTES) {
        const line = buffer.subarray(at, at + LINE_BYTES)
        if (!isWhole(line)) continue
        this.#note(line, (offset + at) / LINE_BYTES)
        this.#lines = (offset + at) / LINE_BYTES + 1
      }
      offset += whole
      if (whole === 0) break
      this.#space = offset / LINE_BYTES
    }
  }
}

function printLine(into: Buffer, { key, content, id, seq }: IdLine): void {
  key.copy(into, 0, 0, 16)
  content.copy(into, 16, 0, 20)
  into.write(id.replaceAll('-', ''), 36, 16, 'hex')
  into.writeUIntBE(seq, 54, 6)
  into.writeUInt32BE(crc32(into.subarray(0, CHECKED_BYTES)), CHECKED_BYTES)
}

function parseLine(bytes: Buffer): IdLine {
  const hex = bytes.toString('hex', 36, 52)
  const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  return { key: bytes.subarray(0, 16), content: bytes.subarray(16, 36), id, seq: bytes.readUIntBE(54, 6) }
}

/** The checksum of zeros is not zero, so reserved space is no line. */
const isWhole = (line: Buffer): boolean => crc32(line.subarray(0, CHECKED_BYTES)) === line.readUInt32BE(CHECKED_BYTES)

/** Makes new and removed names durable. Windows cannot open a folder; its file systems journal names. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
