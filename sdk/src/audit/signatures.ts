// Checks thousands of signatures on all cores: node:crypto in its thread pool. The portable code that verifiers use judges again
// what node:crypto rejects, so audits and verifiers always give the same answer.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { algOf, type PublicJwk } from '../core/jwk.ts'
import { verifySignature } from '../core/signature.ts'

export type Signature = {
  readonly alg: string
  readonly kid: string
  readonly input: Uint8Array
  readonly bytes: Uint8Array
}

export class SignatureChecker {
  readonly #keys = new Map<string, KeyObject>()
  count = 0

  /** Whether `signature` verifies under `jwk`, whose kid it names. */
  isValid(jwk: PublicJwk, signature: Signature): Promise<boolean> {
    this.count += 1
    if (algOf(jwk) !== signature.alg || signature.bytes.length !== 64) return Promise.resolve(false)
    let key = this.#keys.get(signature.kid)
    if (!key) {
      key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
      this.#keys.set(signature.kid, key)
    }
    const hash = jwk.kty === 'OKP' ? null : 'sha256'
    // Node would examine a key inside an object for each call, on this thread: docs/decisions/0008-native-cryptography.md.
    const by = jwk.kty === 'OKP' ? key : ({ key, dsaEncoding: 'ieee-p1363' } as const)
    const portable = () => verifySignature(jwk, signature.input, signature.bytes)
    return new Promise((resolve) => {
      verify(hash, signature.input, by, signature.bytes, (error, isValid) => {
        resolve(error || !isValid ? portable() : true)
      })
    })
  }
}
