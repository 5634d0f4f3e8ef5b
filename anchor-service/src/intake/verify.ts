import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { algOf, type PublicJwk, publicKeyBytes } from '@killick/sdk'

/** One signature to check: does the holder of `jwk` stand for `message`? */
export type Claim = { jwk: PublicJwk; alg: string; message: Uint8Array; signature: Uint8Array }

// libsodium verifies Ed25519 more than twice as fast as the OpenSSL in Node (measured). Where it has no binary, OpenSSL does.
const sodium = await import('sodium-native').then(
  (module) => module.default,
  () => null,
)

/**
 * Checks many signatures with native cryptography, one after another. It accepts nothing that the sdk's verifySignature
 * refuses: keys have passed parsePublicJwk, which leaves Ed25519 no point of small or mixed order.
 */
export function verifyAll(claims: readonly Claim[]): boolean[] {
  const keys = new Map<PublicJwk, Uint8Array | KeyObject>()
  return claims.map(({ jwk, alg, message, signature }) => {
    if (alg !== algOf(jwk) || signature.length !== 64) return false
    const key = keys.get(jwk) ?? loadKey(jwk)
    keys.set(jwk, key)
    return verifyOne(key, message, signature)
  })
}

function loadKey(jwk: PublicJwk): Uint8Array | KeyObject {
  return sodium !== null && jwk.kty === 'OKP' ? publicKeyBytes(jwk) : createPublicKey({ format: 'jwk', key: jwk })
}

function verifyOne(key: Uint8Array | KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  if (key instanceof Uint8Array) return sodium!.crypto_sign_verify_detached(signature, message, key)
  if (key.asymmetricKeyType === 'ed25519') return verify(null, message, key, signature)
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
}
