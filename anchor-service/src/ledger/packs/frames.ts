import { constants, type ZstdOptions, zstdDecompressSync } from 'node:zlib'

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** Bytes of fields, by their flags in the descriptor (RFC 8878 §3.1.1.1.1). */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const
const CHECKSUM_BYTES = 4
const RLE = 1

/** The largest window that a frame may ask for, as log₂: that of the largest batch. A larger window would only demand memory. */
const MAX_WINDOW_LOG = 24

/**
 * What a frame holds. At once, so a large one belongs on a thread that may be kept busy.
 * @throws what Node's zlib throws; ERR_BUFFER_TOO_LARGE beyond `most` bytes
 */
export const inflateFrame = (frame: Uint8Array, most: number): Buffer =>
  zstdDecompressSync(frame, boundsOf(frame, most))

/**
 * For one frame. It comes out in one piece of memory that is not much too large, which is the faster way, and lets `free` give the
 * memory back: docs/decisions/0012-what-one-proof-reads.md.
 */
export function boundsOf(frame: Uint8Array, most: number): ZstdOptions {
  // Events shrink to two fifths. What says that it holds more gets no memory for that before it has come out.
  const likely = Math.min(most, 1024 + 3 * frame.length)
  const said = contentSize(frame) ?? likely
  // With a byte to spare, or Node would ask whether there is more.
  const chunkSize = Math.max(constants.Z_MIN_CHUNK, Math.min(likely, said + 1))
  return { maxOutputLength: most, chunkSize, params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } }
}

/**
 * How many bytes a frame says that it holds (RFC 8878 §3.1.1.1.4); null if it does not say. It may say anything.
 * @param frame one that `splitFrames` has given
 */
function contentSize(frame: Uint8Array): number | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const descriptor = view.getUint8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const at = 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]!
  switch (sizeBytesOf(descriptor)) {
    case 1:
      return view.getUint8(at)
    case 2:
      return 256 + view.getUint16(at, true)
    case 4:
      return view.getUint32(at, true)
    case 8:
      return Number(view.getBigUint64(at, true))
    default:
      return null
  }
}

/**
 * The zstd frames of a body (RFC 8878 §3.1), without skippable ones; null if the body holds anything else or more than `most`
 * frames. It does not look into the frames. (Node would decompress the first and ignore the others.)
 */
export function splitFrames(body: Uint8Array, most: number): Uint8Array[] | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const frames: Uint8Array[] = []
  try {
    for (let start = 0, end = 0; start < body.length; start = end) {
      const magic = view.getUint32(start, true)
      const isSkippable = (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC
      if (!isSkippable && magic !== FRAME_MAGIC) return null
      end = isSkippable ? start + 8 + view.getUint32(start + 4, true) : endOfFrame(view, start)
      if (end > body.length || frames.length === most) return null
      if (!isSkippable) frames.push(body.subarray(start, end))
    }
    return frames
  } catch (error) {
    // A field is beyond the end.
    if (error instanceof RangeError) return null
    throw error
  }
}

/** Where frames end in the body that they make together; nothing where there is only one. */
export function frameEnds(frames: readonly Uint8Array[]): number[] {
  if (frames.length < 2) return []
  let end = 0
  return frames.map((frame) => {
    end += frame.length
    return end
  })
}

/** How many bytes of the header say how much the frame holds. */
function sizeBytesOf(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  return sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag]!
}

function endOfFrame(view: DataView, start: number): number {
  const descriptor = view.getUint8(start + 4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  let at = start + 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]! + sizeBytesOf(descriptor)
  // §3.1.1.2: a bit says whether a block is the last, two its type, the others its size; one that is repeated has one byte.
  for (let isLast = false; !isLast; ) {
    const block = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
    isLast = (block & 1) === 1
    at += 3 + (((block >> 1) & 3) === RLE ? 1 : block >> 3)
  }
  return at + ((descriptor & 0x04) !== 0 ? CHECKSUM_BYTES : 0)
}
