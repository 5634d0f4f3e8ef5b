/**
 * A narrow tar (POSIX.1-1988 ustar): plain files, in order, with fixed headers. It is written so that any tar reads it, and read so
 * that no other archive passes: one spelling for each header, zero padding, two zero blocks at the end and nothing behind them.
 */
import { utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'

const BLOCK = 512
/** Largest file, bytes: eleven octal digits. */
const MAX_FILE_BYTES = 8 ** 11 - 1
const NAME = /^[a-z][a-z0-9.-]{0,98}$/

/**
 * The header of a file of so many bytes. Owner, group and time are always the same.
 * @throws KillickError `bundle_malformed` if there are more than 8 GiB
 */
export function tarHeader(name: string, size: number): Uint8Array {
  if (size > MAX_FILE_BYTES) malformed(`${name} has more than 8 GiB`)
  const header = new Uint8Array(BLOCK)
  const put = (at: number, text: string) => header.set(utf8(text), at)
  put(0, name)
  put(100, '0000644\0')
  put(108, '0000000\0')
  put(116, '0000000\0')
  put(124, `${size.toString(8).padStart(11, '0')}\0`)
  put(136, '00000000000\0')
  put(148, '        ')
  put(156, '0')
  put(257, 'ustar\x0000')
  const sum = header.reduce((total, byte) => total + byte, 0)
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `)
  return header
}

/** The zeros that follow a file of so many bytes. */
export const tarPadding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK)

/** What ends the archive. */
export const TAR_END = new Uint8Array(2 * BLOCK)

/** One file of the archive. Its bytes must be read before the next file is asked for. */
export type TarFile = { readonly name: string; readonly size: number; readonly bytes: AsyncGenerator<Uint8Array> }

/**
 * The files of an archive, in order, while its bytes arrive.
 * @throws KillickError `bundle_malformed`: another form, bytes behind the end, or none where some are due
 */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile> {
  const source = new Source(chunks)
  try {
    yield* filesOf(source)
  } finally {
    await source.close()
  }
}

async function* filesOf(source: Source): AsyncGenerator<TarFile> {
  for (;;) {
    const header = await source.take(BLOCK)
    if (header.every((byte) => byte === 0)) {
      if ((await source.take(BLOCK)).some((byte) => byte !== 0)) malformed('one zero block stands alone')
      if (!(await source.isAtEnd())) malformed('there are bytes behind its end')
      return
    }
    const { name, size } = readHeader(header)
    let left = size
    const bytes = (async function* () {
      while (left > 0) {
        const part = await source.some(left)
        left -= part.length
        yield part
      }
    })()
    yield { name, size, bytes }
    while (left > 0) left -= (await source.some(left)).length
    if ((await source.take(tarPadding(size).length)).some((byte) => byte !== 0))
      malformed(`${name} is not padded by zeros`)
  }
}

function readHeader(header: Uint8Array): { name: string; size: number } {
  const text = String.fromCharCode(...header)
  const name = text.slice(0, 100).replace(/\0+$/, '')
  const octal = text.slice(124, 135)
  if (!NAME.test(name) || !/^[0-7]{11}$/.test(octal)) malformed('it has a file of another form, or with another name')
  const size = Number.parseInt(octal, 8)
  const expected = tarHeader(name, size)
  if (header.some((byte, i) => byte !== expected[i])) malformed(`the header of ${name} has another form`)
  return { name, size }
}

function malformed(why: string): never {
  throw new KillickError('bundle_malformed', `Not a bundle: ${why}`)
}

/** Bytes as they arrive, taken in other portions. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Exactly so many bytes. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let at = 0; at < length; ) {
      const part = await this.some(length - at)
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }

  /** At least one byte and at most so many. */
  async some(most: number): Promise<Uint8Array> {
    if (await this.isAtEnd()) malformed('it ends too early')
    const part = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(part.length)
    return part
  }

  /** Nothing more is wanted. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done) return true
      this.#rest = next.value
    }
    return false
  }
}
