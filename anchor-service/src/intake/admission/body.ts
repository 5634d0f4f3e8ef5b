import type { Readable } from 'node:stream'
import { MAX_BATCH_BYTES } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { free } from '../../release-memory.ts'

export type BodyLimits = {
  /** Bytes of one body, as sent. Default 16 MiB. */
  body: number
  /** Bytes that all requests together may hold while they are read and wait for a check. Default 256 MiB. */
  total: number
}

export const BODY_LIMITS: BodyLimits = { body: MAX_BATCH_BYTES, total: 256 * 1024 * 1024 }

/**
 * A reader of request bodies with bounded memory: it stops at the first byte too many, and leaves the request open so that
 * the refusal can still be sent.
 */
export function bodyReader(limits: BodyLimits = BODY_LIMITS) {
  let held = 0

  /**
   * @param use what to do with the body; its bytes count as held until this is done
   * @throws Refusal body_too_large | request_invalid | overloaded
   */
  return async function withBody<T>(request: Readable, use: (body: Uint8Array) => Promise<T>): Promise<T> {
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      await read(request, (chunk) => {
        if (held + chunk.length > limits.total) throw new Refusal('overloaded')
        size += chunk.length
        held += chunk.length
        chunks.push(chunk)
        if (size > limits.body) throw new Refusal('body_too_large')
      })
      return await use(join(chunks))
    } finally {
      held -= size
    }
  }
}

/** Frees the chunks at once; otherwise large bodies cause frequent major collections: docs/decisions/0007-memory-given-back.md. */
function join(chunks: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(chunks)
  for (const chunk of chunks) if (chunk.byteLength === chunk.buffer.byteLength) free(chunk)
  return body
}

/** Reads to the end, or until `take` throws. By events: an iterator costs more than a small batch. */
function read(request: Readable, take: (chunk: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const listeners = {
      data(chunk: Uint8Array) {
        try {
          take(chunk)
        } catch (error) {
          end(() => reject(error))
        }
      },
      end: () => end(resolve),
      error: broken,
      close: broken,
    }
    function broken(): void {
      end(() => reject(new Refusal('request_invalid', 'The connection broke before the whole body had arrived.')))
    }
    function end(settle: () => void): void {
      for (const [event, listener] of Object.entries(listeners)) request.off(event, listener)
      request.pause()
      settle()
    }
    if (request.destroyed) return broken()
    for (const [event, listener] of Object.entries(listeners)) request.on(event, listener)
  })
}
