// One attempt to send a batch to the service, and its outcome. The sender decides what to do next.
import { promisify } from 'node:util'
import zlib, { type ZstdOptions } from 'node:zlib'
import { BATCH_MEDIA_TYPE, printBatch } from '../core/batch.ts'
import { KillickError } from '../core/errors.ts'
import { problemError, unreachable } from '../core/problem.ts'
import { addressOf, readAnswer, request, type ServiceRequest } from '../http/request.ts'

/** How bodies are compressed on the way to the service (RFC 8878, RFC 1952). */
export type Compression = 'zstd' | 'gzip' | 'none'

export type TransportOptions = {
  /** Base URL of the service. */
  url: string
  compression: Compression
  /** Time limit from connecting to the last byte of the answer, in ms. */
  timeoutMs: number
  fetch: typeof fetch
  /**
   * Whether to send a batch again at once where the connection was cut, as the service closes one behind a process that was
   * frozen. The same batch gets the same receipt. Default false.
   */
  again?: boolean
}

/**
 * `accepted`: 200 or 201 with an answer, not yet checked. `later`: the service could not be reached or is busy; it may accept the
 * same batch later, or may already have accepted it and the answer was lost. `refused`: the service does not accept this batch as
 * things stand.
 */
export type Delivery =
  | { kind: 'accepted'; body: string }
  | { kind: 'later'; error: KillickError; retryAfterMs: number }
  | { kind: 'refused'; error: KillickError; problem: string }

/**
 * Level 1 (docs/decisions/0009-compression-levels.md), with little memory: a frame is short, and to prepare more of it takes longer
 * than to compress the frame.
 */
const ZSTD = {
  [zlib.constants.ZSTD_c_compressionLevel]: 1,
  [zlib.constants.ZSTD_c_windowLog]: 16,
  [zlib.constants.ZSTD_c_hashLog]: 12,
}

const COMPRESS: Record<Compression, (data: Buffer) => Promise<Buffer>> = {
  // Most frames come out in one piece, for events shrink to two fifths; and each says how much it holds.
  zstd: (data) => {
    const options: ZstdOptions = { params: ZSTD, pledgedSrcSize: data.length, chunkSize: 1024 + (data.length >> 1) }
    return promisify<Buffer, ZstdOptions, Buffer>(zlib.zstdCompress)(data, options)
  },
  gzip: (data) => promisify(zlib.gzip)(data),
  none: async (data) => data,
}
/** Whether the runtime has zstd: Node has since 22.15. */
export const HAS_ZSTD = typeof zlib.zstdCompress === 'function'
// A receipt has at most 64 hashes and a note; a problem document is smaller.
const MAX_ANSWER_BYTES = 256 * 1024
const MAX_RETRY_AFTER_MS = 600_000
const BUSY = new Set([408, 425, 429, 500, 502, 503, 504])

/**
 * Events of each zstd frame but the last, and most bytes. The service stores frames as they were sent, and reads a whole frame to
 * show one of its events.
 */
const FRAME_EVENTS = 32
const FRAME_BYTES = 512 * 1024

/** The compressed body of a batch; for zstd, several consecutive frames (RFC 8878 §3.1). */
export async function compressBatch(
  header: string,
  tokens: readonly string[],
  compression: Compression,
): Promise<Buffer> {
  const parts = compression === 'zstd' ? cutFrames(header, tokens) : [printBatch(header, tokens)]
  return Buffer.concat(await Promise.all(parts.map((part) => COMPRESS[compression](Buffer.from(part, 'latin1')))))
}

function cutFrames(header: string, tokens: readonly string[]): string[] {
  const parts: string[] = []
  let part = `${header}\n`
  let events = 0
  for (const token of tokens) {
    const isFull = events === FRAME_EVENTS || part.length + token.length + 1 > FRAME_BYTES
    if (events > 0 && isFull) {
      parts.push(part)
      part = ''
      events = 0
    }
    part += `${token}\n`
    events += 1
  }
  return [...parts, part]
}

/** Sends a compressed batch once. Never throws because of the network or the service. */
export function postBatch(body: Buffer, options: TransportOptions, signal: AbortSignal): Promise<Delivery> {
  const { compression } = options
  return ask('/v1/batches', options, signal, {
    method: 'POST',
    headers: {
      'content-type': BATCH_MEDIA_TYPE,
      accept: 'application/json, application/problem+json',
      ...(compression !== 'none' && { 'content-encoding': compression }),
    },
    body: new Uint8Array(body),
    ...(options.again && { again: true }),
  })
}

/**
 * Asks for something public that every service has: its key, its checkpoint, a consistency path. Like `postBatch`, it never
 * throws.
 */
export const getPublic = (path: string, options: TransportOptions, signal: AbortSignal): Promise<Delivery> =>
  ask(path, options, signal, { method: 'GET' })

async function ask(
  path: string,
  options: TransportOptions,
  signal: AbortSignal,
  init: Pick<ServiceRequest, 'method' | 'headers' | 'body' | 'again'>,
): Promise<Delivery> {
  let response: Response
  let text: string
  const { url, timeoutMs, fetch } = options
  try {
    response = await request(addressOf(url, path), { ...init, timeoutMs, signal, fetch })
    const bytes = await readAnswer(url, response, MAX_ANSWER_BYTES)
    if (bytes === null) throw unreachable(url, new Error('the answer is too long'))
    text = Buffer.from(bytes).toString('utf8')
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { kind: 'later', error, retryAfterMs: 0 }
  }
  if (response.ok) return { kind: 'accepted', body: text }
  const error = problemError(response.status, text)
  if (BUSY.has(response.status))
    return { kind: 'later', error, retryAfterMs: retryAfter(response.headers.get('retry-after')) }
  return { kind: 'refused', error, problem: String(error.details.code) }
}

/** RFC 9110 §10.2.3: seconds or a date; in ms, at most ten minutes, 0 when absent or unreadable. */
export function retryAfter(value: string | null): number {
  if (value === null) return 0
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}
