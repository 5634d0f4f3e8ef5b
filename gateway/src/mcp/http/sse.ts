// Server-sent events, as bytes to be passed on and as the message that is in them.

/**
 * An event as it came, with the line that ends it. `data`: null where it has none, such as a comment. `hasId`: a client can come back for what is
 * behind it.
 */
export type SseEvent = { readonly bytes: Buffer; readonly data: Buffer | null; readonly hasId: boolean }

/** An event was longer than it may be. */
export class SseTooLong extends Error {}

const [LF, CR] = [0x0a, 0x0d]

/**
 * The events of a stream. What stands behind the last blank line is no event by the standard, but some readers take it for one, so it
 * comes as one.
 * @throws SseTooLong, and what the stream throws
 */
export async function* readSse(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<SseEvent> {
  const splitter = new EventSplitter()
  let isFirst = true
  for await (const chunk of stream) {
    for (const event of splitter.push(chunk)) {
      yield eventOf(event, isFirst)
      isFirst = false
    }
    if (splitter.kept > maxBytes) throw new SseTooLong()
  }
  const rest = splitter.end()
  if (rest.length > 0) yield eventOf(rest, isFirst)
}

/** Cuts bytes behind each blank line. Looks at every byte once, however they are cut when they come. */
class EventSplitter {
  /** Bytes of the event that has not ended. */
  kept = 0
  /** Has room for more than is kept, so that it is not copied again for each chunk. */
  #buffer: Buffer = Buffer.alloc(0)
  #isBlank = true
  /** A line ends with LF, CR or both. */
  #isAfterCr = false
  /** The last line was blank, and ended with CR: whether LF follows is known once something does. */
  #isOver = false

  push(chunk: Buffer): Buffer[] {
    const events: Buffer[] = []
    let from = 0
    const cut = (to: number): void => {
      events.push(this.#with(chunk.subarray(from, to)))
      from = to
    }
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]
      const isPair = byte === LF && this.#isAfterCr
      if (this.#isOver) cut(isPair ? at + 1 : at)
      this.#isOver = false
      this.#isAfterCr = byte === CR
      if (isPair) continue
      if (byte !== LF && byte !== CR) this.#isBlank = false
      else if (!this.#isBlank) this.#isBlank = true
      else if (byte === CR) this.#isOver = true
      else cut(at + 1)
    }
    this.#keep(chunk.subarray(from))
    return events
  }

  /** What has not ended. */
  end(): Buffer {
    return this.#with(Buffer.alloc(0))
  }

  /** What is kept and what ends it. */
  #with(last: Buffer): Buffer {
    if (this.kept === 0) return last
    this.#keep(last)
    const event = this.#buffer.subarray(0, this.kept)
    this.kept = 0
    this.#buffer = Buffer.alloc(0)
    return event
  }

  #keep(bytes: Buffer): void {
    const length = this.kept + bytes.length
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * length)
      this.#buffer.copy(larger, 0, 0, this.kept)
      this.#buffer = larger
    }
    bytes.copy(this.#buffer, this.kept)
    this.kept = length
  }
}

/** @param isFirst whether the stream begins with it: readers leave out a byte order mark there */
function eventOf(bytes: Buffer, isFirst: boolean): SseEvent {
  const text = bytes.toString('latin1')
  const lines = (isFirst ? text.replace(/^\xef\xbb\xbf/, '') : text).split(/\r\n|\r|\n/)
  const data = lines.flatMap((line) => {
    if (line !== 'data' && !line.startsWith('data:')) return []
    return [line.slice(5).replace(/^ /, '')]
  })
  // The bytes are UTF-8, and were only split as Latin-1.
  const hasId = lines.some((line) => /^id: ?./.test(line))
  return { bytes, data: data.length === 0 ? null : Buffer.from(data.join('\n'), 'latin1'), hasId }
}
