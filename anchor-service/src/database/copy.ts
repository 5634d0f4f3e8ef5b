// COPY in PostgreSQL's binary format (its manual, page "COPY", section "Binary Format"), so that no text has to be printed,
// escaped and parsed again. Why by hand: docs/decisions/0005-copy-in-one-exchange.md.

/** PostgreSQL counts time from 2000-01-01. */
const EPOCH_MS = 946_684_800_000
/** The type's number in pg_type. */
const INT4 = 23

/** Offsets in a tuple: of its first field, an int8, and of its third, which follows another int8. */
const FIRST = 6
const THIRD = FIRST + 8 + 4 + 8 + 4

/** Tuples of one table. `starts` holds the offset of each. */
export type Tuples = { readonly bytes: Uint8Array; readonly starts: Uint32Array }

/** Writes tuples field by field into a buffer that grows. */
export class TupleWriter {
  #buffer: Buffer
  #at = 0
  readonly #starts: number[] = []

  /** @param size the expected number of bytes */
  constructor(size: number) {
    this.#buffer = Buffer.from(new ArrayBuffer(size))
  }

  begin(fields: number): void {
    this.#room(2)
    this.#starts.push(this.#at)
    this.#at = this.#buffer.writeInt16BE(fields, this.#at)
  }

  int4(value: number): void {
    this.#length(4)
    this.#at = this.#buffer.writeInt32BE(value, this.#at)
  }

  int2(value: number): void {
    this.#length(2)
    this.#at = this.#buffer.writeInt16BE(value, this.#at)
  }

  int8(value: number): void {
    this.#length(8)
    this.#at = writeInt8(this.#buffer, value, this.#at)
  }

  /** @param ms since 1970 */
  timestamp(ms: number): void {
    this.int8((ms - EPOCH_MS) * 1000)
  }

  /** A field whose binary form is these parts, such as a bytea. */
  bytes(...parts: readonly Uint8Array[]): void {
    this.#length(parts.reduce((sum, part) => sum + part.length, 0))
    for (const part of parts) {
      this.#buffer.set(part, this.#at)
      this.#at += part.length
    }
  }

  /** An integer[] ("array_send" in PostgreSQL's array_funcs.c): dimensions, whether any is null, the type, length and first index. */
  int4s(values: readonly number[]): void {
    const head = values.length === 0 ? [0, 0, INT4] : [1, 0, INT4, values.length, 1]
    this.#length(4 * head.length + 8 * values.length)
    for (const value of head) this.#at = this.#buffer.writeInt32BE(value, this.#at)
    for (const value of values) this.#at = this.#buffer.writeInt32BE(value, this.#buffer.writeInt32BE(4, this.#at))
  }

  ascii(text: string): void {
    this.#length(text.length)
    this.#at += this.#buffer.write(text, this.#at, 'latin1')
  }

  done(): Tuples {
    return { bytes: this.#buffer.subarray(0, this.#at), starts: Uint32Array.from(this.#starts) }
  }

  #length(bytes: number): void {
    this.#room(4 + bytes)
    this.#at = this.#buffer.writeInt32BE(bytes, this.#at)
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.from(new ArrayBuffer(2 * (this.#at + bytes)))
    larger.set(this.#buffer.subarray(0, this.#at))
    this.#buffer = larger
  }
}

/**
 * Patches the first two fields of each tuple, both int8: the first becomes `first` plus the third field (an int4), the second
 * becomes `second`. Neither was known when the tuples were written.
 * @param beside the same number of tuples of another table, whose first fields get the same values
 */
export function numberRows({ bytes, starts }: Tuples, beside: Tuples, first: number, second: number): void {
  const buffer = toBuffer(bytes)
  const other = toBuffer(beside.bytes)
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i]!
    const number = first + buffer.readInt32BE(start + THIRD)
    const end = writeInt8(buffer, number, start + FIRST)
    writeInt8(buffer, second, end + 4)
    writeInt8(other, number, beside.starts[i]! + FIRST)
  }
}

/** The same bytes as a Buffer; a Buffer that has crossed threads arrives as a plain array. */
const toBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A safe integer as 8 bytes, without making a BigInt. */
function writeInt8(buffer: Buffer, value: number, at: number): number {
  return buffer.writeUInt32BE(value >>> 0, buffer.writeInt32BE(Math.floor(value / 2 ** 32), at))
}

/** A statement without parameters; with `tuples`, a `copy … from stdin (format binary)` that takes them. */
export type CopyStatement = { sql: string; tuples?: readonly Tuples[] }
