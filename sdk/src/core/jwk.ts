/** Public keys as JWKs (RFC 7517, RFC 8037, RFC 8812) and their names (RFC 7638). */
import { concat, fromBase64url, toBase64url, utf8 } from './bytes.ts'
import { Ed25519, P256, Secp256k1 } from './curves.ts'
import { KillickError } from './errors.ts'
import { sha256 } from './hash.ts'
import { isObject } from './json.ts'

/** Signature algorithms, by their JWS names: RFC 9864 (Ed25519), RFC 7518 (ES256), RFC 8812 (ES256K). */
export type Alg = 'Ed25519' | 'ES256' | 'ES256K'

/** A public key as a JWK: Ed25519 (RFC 8037), P-256 (RFC 7518) or secp256k1 (RFC 8812). `x` and `y` are 32 bytes of base64url. */
export type PublicJwk =
  | { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string }
  | { readonly kty: 'EC'; readonly crv: 'P-256' | 'secp256k1'; readonly x: string; readonly y: string }

const ALGS = { Ed25519: 'Ed25519', 'P-256': 'ES256', secp256k1: 'ES256K' } as const

/** The one algorithm that a key signs with. */
export function algOf(jwk: PublicJwk): Alg {
  return ALGS[jwk.crv]
}

/** The bytes of a public key: 32 for Ed25519 (RFC 8032), else 65, an uncompressed point (SEC 1 §2.3.3). */
export function publicKeyBytes(jwk: PublicJwk): Uint8Array {
  const x = fromBase64url(jwk.x)!
  return jwk.kty === 'OKP' ? x : concat(Uint8Array.of(0x04), x, fromBase64url(jwk.y)!)
}

/**
 * Reads a public JWK from an untrusted value and keeps only the members that make the key. The point must be on its curve, and
 * for Ed25519 in the prime-order group; otherwise one signature could verify for one verifier and not for another.
 * @throws KillickError `key_invalid`, also for a private key
 */
export function parsePublicJwk(value: unknown): PublicJwk {
  if (!isObject(value)) throw new KillickError('key_invalid', 'A key must be a JWK object')
  if ('d' in value) throw new KillickError('key_invalid', 'This is a private key; give only its public part')
  const { kty, crv, x, y } = value
  const isCoordinate = (c: unknown): c is string => typeof c === 'string' && fromBase64url(c)?.length === 32
  if (kty === 'OKP' && crv === 'Ed25519' && isCoordinate(x) && y === undefined) {
    const jwk = { kty, crv, x } as const
    if (isKeyPoint(jwk, () => Ed25519.fromBytes(publicKeyBytes(jwk), false))) return jwk
  }
  if (kty === 'EC' && (crv === 'P-256' || crv === 'secp256k1') && isCoordinate(x) && isCoordinate(y)) {
    const jwk = { kty, crv, x, y } as const
    const curve = crv === 'P-256' ? P256 : Secp256k1
    if (isKeyPoint(jwk, () => curve.fromBytes(publicKeyBytes(jwk)))) return jwk
  }
  throw new KillickError('key_invalid', 'A key must be a JWK with an Ed25519, P-256 or secp256k1 point')
}

/** Names of keys that were found to be good; a registry names the same ones again and again, and to find it out takes a millisecond. */
const good = new Set<string>()
const MANY = 1_000

/** On the curve, of prime order, and not the identity. */
function isKeyPoint(jwk: PublicJwk, decode: () => { assertValidity(): void; isTorsionFree(): boolean }): boolean {
  const name = jwk.kty === 'OKP' ? jwk.x : `${jwk.crv} ${jwk.x} ${jwk.y}`
  if (good.has(name)) return true
  try {
    const point = decode()
    point.assertValidity()
    if (!point.isTorsionFree()) return false
  } catch {
    return false
  }
  if (good.size === MANY) good.clear()
  good.add(name)
  return true
}

/** A key's name, the `kid` of whatever it signs: its RFC 7638 thumbprint with SHA-256, 43 characters of base64url. */
export function thumbprint(jwk: PublicJwk): string {
  const { crv, kty, x } = jwk
  const members = jwk.kty === 'OKP' ? { crv, kty, x } : { crv, kty, x, y: jwk.y }
  return toBase64url(sha256(utf8(JSON.stringify(members))))
}
