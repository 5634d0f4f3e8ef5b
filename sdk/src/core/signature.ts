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
  try {
    if (signature.length !== 64) return false
    const key = publicKeyBytes(jwk)
    switch (jwk.crv) {
      case 'Ed25519':
        return verifyEd25519(key, message, signature)
      case 'P-256':
        return p256.verify(signature, message, key, { lowS: false })
      case 'secp256k1':
        return secp256k1.verify(signature, message, key, { lowS: false })
      default:
        return false
    }
  } catch {
    return false
  }
}

/**
 * RFC 8032 §5.1.7 with strict decoding and, of the two equations it allows, the one without the cofactor, as OpenSSL, Go
 * and libsodium check it. @noble/curves multiplies by the cofactor, which forgives a small-order part in R, and takes an R
 * that is the identity, which those refuse: the key's holder could make signatures that verify here and not there.
 */
function verifyEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (!ed25519.verify(signature, message, key, { zip215: false })) return false
  const r = ed25519.Point.fromBytes(signature.subarray(0, 32), false)
  return r.isTorsionFree() && !r.is0()
}
