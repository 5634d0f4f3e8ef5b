// Checks signatures with node:crypto, five to ten times as fast as portable code. What it rejects the portable code judges again, so
// that both always give the same answer: docs/decisions/0008-native-cryptography.md.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type PublicJwk, parsePublicJwk } from '../core/jwk.ts'
import { verifySignature } from '../core/signature.ts'

/** Keys that are remembered: checking one takes as long as several signatures. */
const MOST = 256
const keys = new Map<string, KeyObject | null>()

/** Null: it is no key that a JWK may have. OpenSSL takes some of them, such as points of small order. */
function keyOf(jwk: PublicJwk): KeyObject | null {
  const name = JSON.stringify(jwk)
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = isSafe(jwk) ? createPublicKey({ key: { ...jwk }, format: 'jwk' }) : null
  if (keys.size >= MOST) keys.delete(keys.keys().next().value!)
  keys.set(name, key)
  return key
}

function isSafe(jwk: PublicJwk): boolean {
  try {
    parsePublicJwk(jwk)
    return true
  } catch {
    return false
  }
}

/** `verifySignature` of the core, with the same answers. */
export function verifyNatively(jwk: PublicJwk, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  try {
    const key = keyOf(jwk)
    const isValid =
      key !== null &&
      (jwk.kty === 'OKP'
        ? verify(null, message, key, signature)
        : verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature))
    if (isValid) return true
  } catch {
    // Malformed; the portable code says so too.
  }
  return verifySignature(jwk, message, signature)
}
