const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** Bytes of fields, by their flags in the descriptor (RFC 8878 §3.1.1.1.1). */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const
const CHECKSUM_BYTES = 4
const RLE = 1

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

function endOfFrame(view: DataView, start: number): number {
  const descriptor = view.getUint8(start + 4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag]!
  let at = start + 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]! + sizeBytes
  // §3.1.1.2: a bit says whether a block is the last, two its type, the others its size; one that is repeated has one byte.
  for (let isLast = false; !isLast; ) {
    const block = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
    isLast = (block & 1) === 1
    at += 3 + (((block >> 1) & 3) === RLE ? 1 : block >> 3)
  }
  return at + ((descriptor & 0x04) !== 0 ? CHECKSUM_BYTES : 0)
}
