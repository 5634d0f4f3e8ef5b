import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { algOf, type PublicJwk } from '@killick/sdk'

/** One signature to check: does the holder of `jwk` stand for `message`? */
export type Claim = { jwk: PublicJwk; alg: string; message: Uint8Array; signature: Uint8Array }

/**
 * Checks many signatures with the platform's cryptography, on its thread pool. It accepts nothing that the sdk's
 * verifySignature refuses: keys have passed parsePublicJwk, which leaves Ed25519 no point of small or mixed order.
 */
export async function verifyAll(claims: readonly Claim[]): Promise<boolean[]> {
  const keys = new Map<PublicJwk, KeyObject>()
  return Promise.all(
    claims.map((claim) => {
      const key = keys.get(claim.jwk) ?? createPublicKey({ format: 'jwk', key: claim.jwk })
      keys.set(claim.jwk, key)
      return verifyOne(claim, key)
    }),
  )
}

function verifyOne({ jwk, alg, message, signature }: Claim, key: KeyObject): Promise<boolean> {
  if (alg !== algOf(jwk) || signature.length !== 64) return Promise.resolve(false)
  const [digest, input] = jwk.kty === 'OKP' ? [null, key] : ['sha256', { key, dsaEncoding: 'ieee-p1363' } as const]
  return new Promise((resolve) => {
    verify(digest, message, input, signature, (error, isValid) => resolve(error === null && isValid))
  })
}
