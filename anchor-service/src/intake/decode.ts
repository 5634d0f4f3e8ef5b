import { gunzipSync } from 'node:zlib'
import { MAX_BATCH_BYTES } from '@killick/sdk/core'
import { Refusal } from '../errors.ts'
import { inflateFrame, splitFrames } from '../ledger/packs/frames.ts'
import type { ZstdFrame } from '../ledger/packs/read-pack.ts'
import { free } from '../release-memory.ts'

/** How a body may be compressed. */
export type Encoding = 'identity' | 'gzip' | 'zstd'

/** @param name the Content-Encoding, if there is one. @throws Refusal unsupported_media_type */
export function encodingOf(name = 'identity'): Encoding {
  const encoding = name.trim().toLowerCase()
  if (encoding === 'identity' || encoding === 'gzip' || encoding === 'zstd') return encoding
  throw new Refusal(
    'unsupported_media_type',
    `Content-Encoding must be gzip or zstd, not ${JSON.stringify(encoding.slice(0, 40))}.`,
  )
}

/** Each costs about 20 µs however little it holds; 10,000 events make 40 of those that recorders send. */
const MAX_FRAMES = 1024

/** A body that may hold one event, or a few. */
const SMALL_BYTES = 4096

/** A body as it was before compression, and the frames of zstd that it came in, if it did. */
export type DecodedBody = { text: Buffer; frames: readonly ZstdFrame[] | null }

/**
 * The body as it was before compression. At once and in one piece, so it belongs on a thread that may be kept busy.
 * @param most bytes that may come out. Default 16 MiB
 * @throws Refusal body_too_large, at the first byte beyond `most` | encoding_invalid
 */
export function decodeBody(body: Uint8Array, encoding: Encoding, most: number = MAX_BATCH_BYTES): DecodedBody {
  if (encoding === 'zstd') return decodeFrames(body, most)
  if (encoding === 'gzip') return { text: decompress(encoding, body, most), frames: null }
  // A Buffer that has crossed threads is a plain array on the other side.
  return { text: Buffer.from(body.buffer, body.byteOffset, body.byteLength), frames: null }
}

function decodeFrames(body: Uint8Array, most: number): DecodedBody {
  const frames: ZstdFrame[] = []
  const texts: Buffer[] = []
  let left = most
  for (const bytes of splitFrames(body, MAX_FRAMES) ?? refuse('zstd')) {
    if (left === 0) throw new Refusal('body_too_large')
    const text = decompress('zstd', bytes, left)
    left -= text.length
    frames.push({ bytes, size: text.length })
    texts.push(text)
  }
  if (texts.length === 1) return { text: texts[0]!, frames }
  const text = Buffer.concat(texts)
  for (const part of texts) free(part)
  return { text, frames }
}

function decompress(encoding: 'gzip' | 'zstd', bytes: Uint8Array, maxOutputLength: number): Buffer {
  try {
    if (encoding === 'zstd') return inflateFrame(bytes, maxOutputLength)
    // Batches shrink to a third; so most come out in one piece. A small one gets a small piece: of large ones that are hardly used, a
    // hundred make the collector look through its whole heap.
    const room = (bytes.length < SMALL_BYTES ? 512 : 65_536) + 4 * bytes.length
    return gunzipSync(bytes, { maxOutputLength, chunkSize: Math.max(64, Math.min(maxOutputLength, room)) })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new Refusal('body_too_large')
    return refuse(encoding)
  }
}

function refuse(encoding: Encoding): never {
  throw new Refusal('encoding_invalid', `The body is not valid ${encoding}.`)
}
