// What a server packs although it was asked not to: nothing goes on that was not looked into.
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { type Duplex, pipeline } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { passedHeaders } from './upstream.ts'

/** The codings that clients undo by themselves. */
const UNPACKING: Readonly<Record<string, () => Duplex>> = {
  ...{ gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate },
  ...{ br: createBrotliDecompress, zstd: createZstdDecompress },
}

/** The body of an answer without its packing, and the headers that say so. @throws for a coding that is not known */
export function unpacked(reply: IncomingMessage): { body: AsyncIterable<Buffer>; headers: OutgoingHttpHeaders } {
  const headers = passedHeaders(reply)
  const codings = (reply.headersDistinct['content-encoding'] ?? [])
    .join()
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '' && each !== 'identity')
  if (codings.length === 0) return { body: reply, headers }
  if (codings.length > MAX_CODINGS || !codings.every((each) => Object.hasOwn(UNPACKING, each)))
    throw new Error('It packs its answer in a way that is not known here.')
  delete headers['content-encoding']
  delete headers['content-length']
  const unpacking = codings.reverse().map((each) => UNPACKING[each]!())
  // What breaks on the way ends the last one with the error, and whoever reads it is told.
  const body = pipeline([reply, ...unpacking], () => {}) as unknown as Duplex
  return { body, headers }
}

const MAX_CODINGS = 5
