// Checks signatures with libsodium or node:crypto, five to ten times as fast as portable code. What it rejects the portable code judges again, so
// that both always give the same answer: docs/decisions/0008-native-cryptography.md.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { isBytes } from '../core/bytes.ts'
import { type PublicJwk, parsePublicJwk, publicKeyBytes } from '../core/jwk.ts'
import { verifySignature } from '../core/signature.ts'
import { findSodium } from './sodium.ts'

/** A key as it is needed: libsodium takes the bytes. */
type NativeKey = KeyObject | Uint8Array

/** Keys that are remembered: checking one takes as long as several signatures. */
const MOST = 256
const keys = new Map<string, NativeKey | null>()

/** Null: it is no key that a JWK may have. OpenSSL takes some of them, such as points of small order. */
function keyOf(jwk: PublicJwk): NativeKey | null {
  const name = JSON.stringify(jwk)
  const known = keys.get(name)
  if (known !== undefined) return known
  const key = isSafe(jwk) ? nativeKey(jwk) : null
  if (keys.size >= MOST) keys.delete(keys.keys().next().value!)
  keys.set(name, key)
  return key
}

function nativeKey(jwk: PublicJwk): NativeKey {
  if (jwk.kty === 'OKP' && findSodium() !== null) return publicKeyBytes(jwk)
  return createPublicKey({ key: { ...jwk }, format: 'jwk' })
}

function isSafe(jwk: PublicJwk): boolean {
  try {
    parsePublicJwk(jwk)
    return true
  } catch {
    return false
  }
}

function isValid(jwk: PublicJwk, key: NativeKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (isBytes(key)) return findSodium()!.crypto_sign_verify_detached(signature, message, key)
  if (jwk.kty === 'OKP') return verify(null, message, key, signature)
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

/** `verifySignature` of the core, with the same answers. */
export const verifyNatively = (jwk: PublicJwk, message: Uint8Array, signature: Uint8Array): boolean =>
  verifierOf(jwk)(message, signature)

/** The same for many signatures by one key. */
export function verifierOf(jwk: PublicJwk): (message: Uint8Array, signature: Uint8Array) => boolean {
  const key = keyOrNull(jwk)
  return (message, signature) => {
    if (signature.length !== 64) return false
    try {
      if (key !== null && isValid(jwk, key, message, signature)) return true
    } catch {
      // Malformed; the portable code says so too.
    }
    return verifySignature(jwk, message, signature)
  }
}

/** Null where it is malformed; the portable code says so too. */
function keyOrNull(jwk: PublicJwk): NativeKey | null {
  try {
    return keyOf(jwk)
  } catch {
    return null
  }
}
