// Who asks, and what vouches for it: a verified token, a client certificate, or a proxy that is trusted to say so.
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { JsonObject } from '@killick/sdk/core'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  type FetchImplementation,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import { GatewayStartError } from '../errors.ts'
import { shortened } from '../sessions/disclosed.ts'
import type { EventFacts } from '../sessions/event.ts'
import { headerText } from '../utf8.ts'
import type { Addresses } from './addresses.ts'
import { HttpRefusal } from './errors.ts'

/** How the proxy learns who asks. The first that vouches counts: token, certificate, header. */
export type HttpWho = {
  /** Tokens in the Authorization header. Default: none are looked at. */
  jwt: HttpTokens | null
  /** Whether the subject of a client certificate that `listen.tls.clientCa` has signed is who asks. Default false. */
  certificates: boolean
  /** A header in which proxies say who asks. From other addresses it is not believed, and does not go on. Default: none. */
  header: { name: string; from: string[] } | null
  /** Type of the actor. Default `user`. */
  type: string
  /** Whether a request that nothing vouches for is refused with 401. Default false: it is recorded as made by `anonymous`. */
  required: boolean
}

/** Which tokens are believed. */
export type HttpTokens = {
  /** Address of the issuer's key set, e.g. `https://login.example.com/.well-known/jwks.json`; or `keys`. */
  jwksUrl: string | null
  /** File with a JSON Web Key Set of public keys. */
  keys: string | null
  /** What `iss` and `aud` must be; both are required. */
  issuer: string
  audience: string
  /** Signature algorithms. Default those with public keys: RS, PS, ES with 256 to 512, EdDSA. A secret shared with the issuer is none. */
  algorithms: string[]
  /** How much clocks may differ, seconds. Default 5. */
  clockToleranceS: number
  /** Claim that names who asks. Default `sub`. */
  claim: string
}

/** Algorithms whose verifiers cannot sign. */
export const PUBLIC_KEY_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

/** Who asks. */
export type Voucher = {
  readonly actor: EventFacts['actor']
  /** What vouches for it; `nothing` for `anonymous`, `configuration` where that names the actor. */
  readonly by: 'jwt' | 'certificate' | 'header' | 'configuration' | 'nothing'
  /** By what exactly, such as the issuer. */
  readonly through: JsonObject
  /** What was claimed and not verified, and why not. */
  readonly claimed: JsonObject | null
}

/** Looks at a request's credentials. */
export type Vouching = (req: IncomingMessage, peer: string) => Promise<Voucher> | Voucher

/** How long the issuer has to answer with its keys, ms. */
const KEYS_MS = 3_000
/** Most bytes of an issuer's key set. A key has some hundreds, with its certificates some thousands. */
const KEYS_BYTES = 1 << 20

/** @throws GatewayStartError if the keys cannot be read */
export function makeVouching({
  who,
  actor,
  isBelieved,
  say,
}: {
  who: HttpWho
  actor: JsonObject | null
  isBelieved: Addresses
  say: (text: string) => void
}): Vouching {
  const { jwt, certificates, header, type } = who
  const keys = jwt && keysOf(jwt, say)
  const actorOf = (id: string) => ({ type, id: shortened(id) })
  const nothing =
    actor === null
      ? ({ actor: { type: 'anonymous', id: 'anonymous' }, by: 'nothing' } as const)
      : ({ actor: actor as EventFacts['actor'], by: 'configuration' } as const)

  const certified = (req: IncomingMessage, claimed: JsonObject): Voucher | null => {
    const found = certificates ? certificateOf(req.socket as TLSSocket) : null
    if (found === null) return null
    if ('why' in found) {
      claimed.certificate = found
      return null
    }
    return { actor: actorOf(found.subject), by: 'certificate', through: found, claimed: noneOr(claimed) }
  }
  const told = (req: IncomingMessage, peer: string, claimed: JsonObject): Voucher => {
    const value = header === null ? undefined : req.headers[header.name]
    if (value !== undefined && value !== '') {
      const text = headerText([value].flat().join(', '))
      if (isBelieved(peer))
        return {
          actor: actorOf(text),
          by: 'header',
          through: { header: header!.name, proxy: peer },
          claimed: noneOr(claimed),
        }
      claimed.header = { name: header!.name, value: shortened(text), why: 'address_not_trusted' }
    }
    return { ...nothing, through: {}, claimed: noneOr(claimed) }
  }
  return (req, peer) => {
    const claimed: JsonObject = {}
    const rest = () => certified(req, claimed) ?? told(req, peer, claimed)
    const token = jwt === null ? null : bearerOf(req)
    if (token === null) return rest()
    return verified(token, jwt!, keys!).then(
      ({ id, issuer }) => ({ actor: actorOf(id), by: 'jwt', through: { issuer, claim: jwt!.claim }, claimed: null }),
      (error) => {
        claimed.jwt = { ...unverified(token, jwt!.claim), why: codeOf(error) }
        return rest()
      },
    )
  }
}

async function verified(
  token: string,
  jwt: HttpTokens,
  keys: JWTVerifyGetKey,
): Promise<{ id: string; issuer: string }> {
  const { issuer, audience, algorithms, clockToleranceS, claim } = jwt
  const { payload } = await jwtVerify(token, keys, {
    ...{ issuer, audience, algorithms, clockTolerance: clockToleranceS, requiredClaims: ['exp', claim] },
  })
  const id = payload[claim]
  if (typeof id !== 'string' || id === '') throw Object.assign(new Error('no name'), { code: 'claim_not_a_text' })
  return { id, issuer }
}

function keysOf({ jwksUrl, keys }: HttpTokens, say: (text: string) => void): JWTVerifyGetKey {
  if (jwksUrl !== null)
    return createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: KEYS_MS, [customFetch]: fetchTold(say) })
  try {
    return createLocalJWKSet(JSON.parse(readFileSync(keys!, 'utf8')))
  } catch (error) {
    throw new GatewayStartError('gateway_start_failed', `who.jwt.keys: ${keys}: ${(error as Error).message}`)
  }
}

/** Without keys nobody is vouched for, and those who ask can see no more of it than that. Said once, until there are keys again. */
function fetchTold(say: (text: string) => void): FetchImplementation {
  let isAway = false
  const away = (url: string, why: string) => {
    if (!isAway) say(`the keys of ${url} cannot be had, so no token that needs them vouches for anybody: ${why}`)
    isAway = true
  }
  return async (url, options) => {
    try {
      const answer = await fetchKeys(url, options)
      if (answer.status !== 200) away(url, `HTTP ${answer.status}`)
      else isAway = false
      return answer
    } catch (error) {
      const { cause, message } = error as Error
      away(url, (cause as Error | undefined)?.message || message)
      throw error
    }
  }
}

/** Within the time that it has, an issuer could send more than there is memory, with each request anew. */
const fetchKeys: FetchImplementation = async (url, options) => {
  const answer = await fetch(url, options)
  if (answer.status !== 200) return answer
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (bytes > KEYS_BYTES) throw Object.assign(new Error(`more than ${KEYS_BYTES} bytes`), { code: 'keys_too_large' })
    chunks.push(chunk)
  }
  return new Response(Buffer.concat(chunks))
}

/** What a token says that was not verified. */
function unverified(token: string, claim: string): JsonObject {
  try {
    const payload = decodeJwt(token)
    const text = (value: unknown) => (typeof value === 'string' ? shortened(value) : null)
    return { [claim]: text(payload[claim]), iss: text(payload.iss) }
  } catch {
    return {}
  }
}

/**
 * As servers find it that are lenient: passport-jwt takes any white space before it, and others a list of credentials.
 * @throws HttpRefusal where more stands beside it, for servers differ in whether the first or the last word is the token
 */
function bearerOf({ headers }: IncomingMessage): string | null {
  const [, before, token, behind] = /^(|.*,)\s*bearer\s+(\S+)(.*)$/i.exec(headers.authorization ?? '') ?? []
  if (token === undefined) return null
  if (before !== '' || behind!.trim() !== '')
    throw new HttpRefusal('http_request_invalid', 'The Authorization header has more than one token.')
  return token
}

/** The subject of a certificate: its common name, else its first alternative name. `why`: it was not verified. */
function certificateOf(socket: TLSSocket): { subject: string; sha256: string; issuer: string; why?: string } | null {
  if (typeof socket.getPeerCertificate !== 'function') return null
  const { subject, issuer, subjectaltname, fingerprint256 } = socket.getPeerCertificate() ?? {}
  const name = [subject?.CN].flat()[0] ?? subjectaltname?.split(', ')[0]
  if (name === undefined || name === '') return null
  const sha256 = fingerprint256.replaceAll(':', '').toLowerCase()
  const found = { subject: shortened(name), sha256, issuer: shortened([issuer?.CN].flat()[0] ?? '') }
  return socket.authorized === true ? found : { ...found, why: String(socket.authorizationError ?? 'not_verified') }
}

const noneOr = (claimed: JsonObject): JsonObject | null => (Object.keys(claimed).length === 0 ? null : claimed)

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : 'internal'
}
