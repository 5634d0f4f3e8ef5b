import { constants, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { MAX_BATCH_BYTES } from '@killick/sdk'
import { Refusal } from '../errors.ts'
import { MAX_WINDOW_LOG } from '../ledger/packs.ts'

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

/**
 * The body as it was before compression. At once and in one piece, so it belongs on a thread that may be kept busy.
 * @throws Refusal body_too_large, at the first byte beyond 16 MiB | encoding_invalid
 */
export function decodeBody(body: Uint8Array, encoding: Encoding): Buffer {
  // A Buffer that has crossed threads is a plain array on the other side.
  if (encoding === 'identity') return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  // Batches shrink to a third; so most come out in one piece.
  const chunkSize = Math.min(MAX_BATCH_BYTES, 65_536 + 4 * body.length)
  const bounds = { maxOutputLength: MAX_BATCH_BYTES, chunkSize }
  try {
    if (encoding === 'gzip') return gunzipSync(body, bounds)
    // A frame may ask for a window of its own; a larger one than the body itself is only a demand for memory.
    return zstdDecompressSync(body, { ...bounds, params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new Refusal('body_too_large')
    throw new Refusal('encoding_invalid', `The body is not valid ${encoding}.`)
  }
}
