// Server-sent events, as bytes to be passed on and as the message that is in them.

/** An event as it came, with the line that ends it. `data`: null where it has none, such as a comment. */
export type SseEvent = { readonly bytes: Buffer; readonly data: Buffer | null }

/** An event was longer than it may be. */
export class SseTooLong extends Error {}

const [LF, CR] = [0x0a, 0x0d]

/**
 * The events of a stream. What stands behind the last blank line is no event by the standard, but some readers take it for one, so it
 * comes as one.
 * @throws SseTooLong, and what the stream throws
 */
export async function* readSse(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<SseEvent> {
  let rest: Buffer = Buffer.alloc(0)
  let isFirst = true
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = endOfEvent(rest); end > 0; end = endOfEvent(rest)) {
      yield eventOf(rest.subarray(0, end), isFirst)
      isFirst = false
      rest = rest.subarray(end)
    }
    if (rest.length > maxBytes) throw new SseTooLong()
  }
  if (rest.length > 0) yield eventOf(rest, isFirst)
}

/** Where the first event ends, behind its blank line; 0: not yet. A line ends with LF, CR or both. */
function endOfEvent(bytes: Buffer): number {
  let isBlank = true
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte !== LF && byte !== CR) {
      isBlank = false
      continue
    }
    // Whether a CR is followed by LF is known once something follows.
    if (byte === CR && at + 1 === bytes.length) return 0
    if (byte === CR && bytes[at + 1] === LF) at += 1
    if (isBlank) return at + 1
    isBlank = true
  }
  return 0
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
  return { bytes, data: data.length === 0 ? null : Buffer.from(data.join('\n'), 'latin1') }
}
