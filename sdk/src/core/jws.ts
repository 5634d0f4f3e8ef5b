/** Compact JWS (RFC 7515) with a header of exactly {alg, typ, kid}. */
import { toBase64url, utf8 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { parseHash } from './hash.ts'
import { hasMembers, isObject, type JsonObject, parseJson } from './json.ts'
import type { Alg } from './jwk.ts'
import { PORTABLE, type Primitives } from './primitives.ts'
import type { Signer } from './signature.ts'

export type Jws = {
  /** The whole token, `header.payload.signature`. */
  readonly text: string
  readonly alg: Alg
  readonly kid: string
  readonly payload: JsonObject
  /** ASCII bytes that were signed: `header.payload`. */
  readonly signingInput: Uint8Array
  readonly signature: Uint8Array
}

/** The JSON object in a base64url segment, or null if the segment is not canonical base64url of UTF-8. */
export function parseSegment(segment: string, { decodeText }: Primitives = PORTABLE): JsonObject | null {
  const text = decodeText(segment)
  if (text === null) return null
  const value = parseJson(text)
  return isObject(value) ? value : null
}

/**
 * How the header of a JWS is read.
 * @param segment the header as it stands in the token, base64url
 * @param typ the type that the header must name, such as `audit-event+sd-jwt`
 * @throws KillickError jws_malformed | jws_header_invalid | jws_alg_not_allowed | json_*
 */
export type ReadHeader = (segment: string, typ: string) => { readonly alg: Alg; readonly kid: string }

/** A `ReadHeader` that keeps the header it read last: the events of a batch repeat one header thousands of times. */
export function headerReader(primitives: Primitives = PORTABLE): ReadHeader {
  let last: { segment: string; typ: string; header: ReturnType<ReadHeader> } | null = null
  const read = headerReaderOf(primitives)
  return (segment, typ) => {
    if (last === null || last.segment !== segment || last.typ !== typ)
      last = { segment, typ, header: read(segment, typ) }
    return last.header
  }
}

/** One that keeps nothing. */
const headerReaderOf =
  (primitives: Primitives): ReadHeader =>
  (segment, typ) => {
    const header = parseSegment(segment, primitives)
    if (header === null) throw new KillickError('jws_malformed')
    const { alg, kid } = header
    if (alg !== 'Ed25519' && alg !== 'ES256' && alg !== 'ES256K') {
      throw new KillickError('jws_alg_not_allowed', `Algorithm ${JSON.stringify(alg ?? null)} is not allowed`, {
        alg: alg ?? null,
      })
    }
    if (!hasMembers(header, ['alg', 'typ', 'kid']) || header.typ !== typ || parseHash(kid) === null) {
      throw new KillickError(
        'jws_header_invalid',
        `The header must be exactly {alg, typ: "${typ}", kid: <RFC 7638 thumbprint>}`,
      )
    }
    return { alg, kid: kid as string }
  }

/**
 * Structure of a JWS; its signature is not checked here.
 * @param read reads the header; by default each header anew
 * @throws KillickError jws_malformed | jws_header_invalid | jws_alg_not_allowed | json_*
 */
export function parseJws(
  text: string,
  typ: string,
  primitives: Primitives = PORTABLE,
  read: ReadHeader = headerReaderOf(primitives),
): Jws {
  if (typeof text !== 'string') throw new KillickError('jws_malformed')
  const [head, body, tail, ...more] = text.split('.')
  if (head === undefined || body === undefined || tail === undefined || more.length > 0)
    throw new KillickError('jws_malformed')
  const { alg, kid } = read(head, typ)
  const payload = parseSegment(body, primitives)
  const signature = primitives.decode(tail)
  if (payload === null || signature === null || signature.length !== 64) throw new KillickError('jws_malformed')
  return { text, alg, kid, payload, signingInput: primitives.ascii(text.slice(0, -tail.length - 1)), signature }
}

/** Signs a payload; the JWS's bytes are made here, once. */
export async function signJws(payload: JsonObject, typ: string, signer: Signer): Promise<string> {
  const header = toBase64url(utf8(JSON.stringify({ alg: signer.alg, typ, kid: signer.kid })))
  const input = `${header}.${toBase64url(utf8(JSON.stringify(payload)))}`
  return `${input}.${toBase64url(await signer.sign(utf8(input)))}`
}
