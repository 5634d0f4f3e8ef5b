// Bodies, read within bounds: bytes as sent and decompressed, memory that an emitter may take, UTF-8.
import type { IncomingMessage } from 'node:http'
import type { Readable, Transform } from 'node:stream'
import { createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { GatewayRefusal } from '../errors.ts'
import type { FairShare } from '../fairness.ts'
import { Gathered } from '../gathered.ts'
import { textOf } from '../utf8.ts'

/** What a body may take. */
export type BodyBounds = {
  readonly maxBytes: number
  /** Memory that bodies share, and whose this one is. */
  readonly memory: FairShare
  readonly emitter: string
}

/** The whole body, decompressed. `release` gives its memory back, and is called once its bytes are of no use any more. */
export type WholeBody = { readonly bytes: Buffer; readonly release: () => void }

const DECODERS: Record<string, () => Transform & { readonly bytesWritten: number }> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  zstd: createZstdDecompress,
}

/**
 * @throws GatewayRefusal `collect_media_type_unsupported`, `collect_encoding_invalid`, `collect_body_too_large`, `emitter_busy`
 */
export function readWhole(request: IncomingMessage, limits: BodyBounds): Promise<WholeBody> {
  const { maxBytes, memory, emitter } = limits
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge(maxBytes))
  const { stream, isWhole } = decoded(request)
  const body = new Gathered()
  let bytes = 0
  const release = () => {
    if (bytes > 0) memory.give(emitter, bytes)
    bytes = 0
  }
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      release()
      stop(request, stream)
      reject(error)
    }
    stream.on('data', (chunk: Buffer) => {
      if (bytes + chunk.length > maxBytes) fail(tooLarge(maxBytes))
      else if (!memory.take(emitter, chunk.length)) fail(busy())
      else {
        bytes += chunk.length
        body.add(chunk)
      }
    })
    stream.once('end', () => {
      stream.removeAllListeners('data')
      if (!isWhole()) return fail(followed())
      resolve({ bytes: body.take(), release })
    })
    stream.once('error', (error) => fail(request === stream ? cutOff() : encodingInvalid(error)))
    if (stream !== request) request.once('error', () => fail(cutOff()))
    request.once('close', () => {
      if (!request.complete) fail(cutOff())
    })
  })
}

/**
 * The lines of a body, decompressed, as they arrive, in groups of those that are whole; empty ones are left out. A line has at most
 * `limits.maxBytes`.
 * @param maxTotal bytes of the whole body, decompressed
 * @throws as `readWhole`
 */
export async function* readLines(
  request: IncomingMessage,
  { maxBytes, memory, emitter }: BodyBounds,
  maxTotal: number,
): AsyncGenerator<{ readonly lines: readonly { number: number; text: string }[]; readonly bytes: number }> {
  const { stream, isWhole } = decoded(request)
  const rest = new Gathered()
  let [number, total, held] = [0, 0, 0]
  const hold = (bytes: number) => {
    if (bytes > held && !memory.take(emitter, bytes - held)) throw busy()
    if (bytes < held) memory.give(emitter, held - bytes)
    held = bytes
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      total += chunk.length
      if (total > maxTotal) throw tooLarge(maxTotal)
      hold(rest.length + chunk.length)
      const end = chunk.lastIndexOf(0x0a) + 1
      if ((end > 0 ? 0 : rest.length) + chunk.length - end > maxBytes) throw tooLarge(maxBytes)
      rest.add(chunk.subarray(0, end > 0 ? end : chunk.length))
      if (end > 0) {
        const data = rest.take()
        rest.add(chunk.subarray(end))
        yield { lines: linesOf(data), bytes: data.length }
      }
      hold(rest.length)
    }
    if (!isWhole()) throw followed()
    if (rest.length > 0) yield { bytes: rest.length, lines: linesOf(rest.take()) }
  } catch (error) {
    if (error instanceof GatewayRefusal) throw error
    throw request.complete && stream !== request ? encodingInvalid(error as Error) : cutOff()
  } finally {
    hold(0)
    stop(request, stream)
  }

  function linesOf(data: Buffer): { number: number; text: string }[] {
    return textOf(data)
      .replace(/\n$/, '')
      .split('\n')
      .map((text) => ({ number: ++number, text: text.replace(/\r$/, '') }))
      .filter(({ text }) => text.trim() !== '')
  }
}

/** `isWhole`: whether what was read at its end was all. Node ends a decoder where what it decodes ends, and leaves out what is behind that. */
function decoded(request: IncomingMessage): { stream: Readable; isWhole: () => boolean } {
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding === 'identity') return { stream: request, isWhole: () => true }
  const decoder = DECODERS[encoding]
  if (decoder === undefined || !Object.hasOwn(DECODERS, encoding))
    throw new GatewayRefusal('collect_media_type_unsupported', `The Content-Encoding ${encoding} is not supported.`)
  const stream = decoder()
  let sent = 0
  request.on('data', (chunk: Buffer) => {
    sent += chunk.length
  })
  request.pipe(stream)
  return { stream, isWhole: () => stream.bytesWritten === sent }
}

/** Reads no more of it; the answer then closes the connection. */
function stop(request: IncomingMessage, stream: Readable): void {
  if (request.complete && request.readableEnded) return
  stream.removeAllListeners('data')
  if (stream !== request) {
    request.unpipe()
    stream.on('error', () => {})
    stream.destroy()
  }
  request.pause()
}

const tooLarge = (maxBytes: number): GatewayRefusal =>
  new GatewayRefusal('collect_body_too_large', `At most ${maxBytes} bytes are taken.`, { maxBytes })
const busy = (): GatewayRefusal => new GatewayRefusal('emitter_busy')
const cutOff = (): GatewayRefusal => new GatewayRefusal('collect_request_invalid', 'The body ended too early.')
const followed = (): GatewayRefusal =>
  new GatewayRefusal('collect_encoding_invalid', 'Something follows what is compressed, such as a second frame.')
const encodingInvalid = (error: Error): GatewayRefusal =>
  new GatewayRefusal('collect_encoding_invalid', undefined, { reason: (error as NodeJS.ErrnoException).code ?? '' })
