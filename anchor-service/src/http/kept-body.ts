/** Bodies that many clients ask for: each is kept in memory once for each encoding, however many answers carry it. */
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { share } from './unread.ts'

type Coding = 'br' | 'gzip'

/** A body as it is, and in encodings that made it smaller. */
export type KeptBody = { identity: Buffer } & Partial<Record<Coding, Buffer>>

/** Takes a tenth of the time of the best quality: docs/decisions/0009-compression-levels.md. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }

/** @param codings to prepare; none for what does not get smaller, such as pictures and hashes */
export async function keepBody(identity: Buffer, codings: readonly Coding[]): Promise<KeptBody> {
  const encode = { br: () => promisify(brotliCompress)(identity, BROTLI), gzip: () => promisify(gzip)(identity) }
  const kept: KeptBody = { identity }
  for (const coding of codings) {
    const encoded = await encode[coding]()
    if (encoded.length < identity.length) kept[coding] = encoded
  }
  return kept
}

/** The body, which stays in memory for good, so the answers that carry it cost no memory of their own. */
export function keepForGood(kept: KeptBody): KeptBody {
  for (const body of [kept.identity, kept.br, kept.gzip]) if (body !== undefined) share(body)
  return kept
}

/** Sends the body in the smallest encoding that the request takes. */
export function sendKept(request: FastifyRequest, reply: FastifyReply, kept: KeptBody): FastifyReply {
  reply.header('vary', 'accept-encoding')
  const taken = (['br', 'gzip'] as const).find((coding) => kept[coding] && takes(request, coding))
  return taken === undefined ? reply.send(kept.identity) : reply.header('content-encoding', taken).send(kept[taken])
}

/** RFC 9110 §12.5.3 without weights: whether the request names the coding and does not refuse it. */
function takes({ headers }: FastifyRequest, coding: Coding): boolean {
  const named = String(headers['accept-encoding'] ?? '').split(',')
  return named.some((each) => {
    const [name = '', ...parameters] = each.split(';').map((part) => part.trim().toLowerCase())
    return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
  })
}
