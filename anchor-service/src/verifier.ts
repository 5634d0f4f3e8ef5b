import { createPublicKey, verify } from 'node:crypto'
import { algOf, type PublicJwk, publicKeyBytes } from '@killick/sdk/core'
import { sodium } from './sodium.ts'

/** Whether a signature over `message` verifies under a key, by the algorithm that the signature names. */
export type Verifier = (alg: string, message: Uint8Array, signature: Uint8Array) => boolean

/**
 * Checks signatures of one key with native cryptography. It accepts nothing that the sdk's verifySignature refuses: keys have
 * passed parsePublicJwk, which leaves Ed25519 no point of small or mixed order.
 */
export function verifierOf(jwk: PublicJwk): Verifier {
  const own = algOf(jwk)
  const check = nativeCheck(jwk)
  return (alg, message, signature) => alg === own && signature.length === 64 && check(message, signature)
}

function nativeCheck(jwk: PublicJwk): (message: Uint8Array, signature: Uint8Array) => boolean {
  if (sodium !== null && jwk.kty === 'OKP') {
    const key = publicKeyBytes(jwk)
    return (message, signature) => sodium!.crypto_sign_verify_detached(signature, message, key)
  }
  const key = createPublicKey({ format: 'jwk', key: jwk })
  if (jwk.kty === 'OKP') return (message, signature) => verify(null, message, key, signature)
  return (message, signature) => verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
}
