/** Signatures over bytes: checking with @noble/curves, so that every platform gives the same answer. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { type Alg, type PublicJwk, publicKeyBytes } from './jwk.ts'

/** Whatever holds a private key: this process, a KMS, an HSM. `sign` returns the JWS form: 64 bytes, R ‖ S. */
export interface Signer {
  readonly jwk: PublicJwk
  /** `thumbprint(jwk)` */
  readonly kid: string
  readonly alg: Alg
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/** Does the key's holder stand for these bytes? False on anything malformed; never throws. */
export function verifySignature(jwk: PublicJwk, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  try {
    const key = publicKeyBytes(jwk)
    switch (jwk.crv) {
      case 'Ed25519':
        // RFC 8032 strict decoding, as native libraries do; ZIP 215 would accept encodings that they refuse.
        return ed25519.verify(signature, message, key, { zip215: false })
      case 'P-256':
        return p256.verify(signature, message, key, { lowS: false })
      case 'secp256k1':
        return secp256k1.verify(signature, message, key, { lowS: false })
    }
  } catch {
    return false
  }
}
