import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { MAX_BATCH_BYTES } from '@killick/sdk'
import { Refusal } from '../errors.ts'

export type BodyLimits = {
  /** Bytes of one body, as sent and again after decompression. Default 16 MiB. */
  body: number
  /** Bytes that all requests together may hold while they are read. Default 256 MiB. */
  total: number
}

export const BODY_LIMITS: BodyLimits = { body: MAX_BATCH_BYTES, total: 256 * 1024 * 1024 }

const DECODERS = {
  gzip: () => createGunzip(),
  // A frame may ask for a window of its own; a larger one than the body itself is only a demand for memory.
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 24 } }),
}

/**
 * A reader of request bodies with bounded memory: it stops at the first byte too many, before and after decompression,
 * and leaves the request open so that the refusal can still be sent.
 */
export function bodyReader(limits: BodyLimits = BODY_LIMITS) {
  let held = 0

  /**
   * @param encoding the Content-Encoding: none, `identity`, `gzip` or `zstd`
   * @param use what to do with the body; its bytes count as held until this is done
   * @throws Refusal body_too_large | encoding_invalid | unsupported_media_type | overloaded
   */
  return async function withBody<T>(
    request: Readable,
    encoding: string | undefined,
    use: (body: Uint8Array) => Promise<T>,
  ): Promise<T> {
    const name = encoding?.trim().toLowerCase() ?? 'identity'
    if (name !== 'identity' && name !== 'gzip' && name !== 'zstd') {
      throw new Refusal(
        'unsupported_media_type',
        `Content-Encoding must be gzip or zstd, not ${JSON.stringify(name.slice(0, 40))}.`,
      )
    }
    const mine: Uint8Array[] = []
    let size = 0
    async function collect(chunks: AsyncIterable<Uint8Array>): Promise<void> {
      for await (const chunk of chunks) {
        if (held + chunk.length > limits.total) throw new Refusal('overloaded')
        size += chunk.length
        held += chunk.length
        mine.push(chunk)
        if (size > limits.body) throw new Refusal('body_too_large')
      }
    }
    try {
      const sent = limit(request, limits.body)
      if (name === 'identity') await collect(sent)
      else await decode(sent, name, collect)
      return await use(mine.length === 1 ? mine[0]! : Buffer.concat(mine))
    } finally {
      held -= size
    }
  }
}

async function decode(
  sent: AsyncIterable<Uint8Array>,
  encoding: keyof typeof DECODERS,
  collect: (chunks: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  try {
    await pipeline(Readable.from(sent), DECODERS[encoding](), collect)
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal('encoding_invalid', `The body is not valid ${encoding}.`)
  }
}

async function* limit(request: Readable, max: number): AsyncGenerator<Uint8Array> {
  let size = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += chunk.length
      if (size > max) throw new Refusal('body_too_large')
      yield chunk
    }
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal('request_invalid', 'The connection broke before the whole body had arrived.')
  }
}
