/** Signatures over bytes: checking with @noble/curves, so that every platform gives the same answer. */
import type { WeierstrassPointCons } from '@noble/curves/abstract/weierstrass.js'
import { bytesToNumberBE, bytesToNumberLE } from '@noble/curves/utils.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { Ed25519, P256, Secp256k1 } from './curves.ts'
import { sha256 } from './hash.ts'
import { type Alg, type PublicJwk, publicKeyBytes } from './jwk.ts'

/**
 * Something that holds a private key: this process, a KMS, an HSM. `sign` returns the JWS form (RFC 7518 §3.4, RFC 8037 §3.1):
 * 64 bytes, for ES256 and ES256K R ‖ S over the message's SHA-256.
 */
export interface Signer {
  readonly jwk: PublicJwk
  /** `thumbprint(jwk)` */
  readonly kid: string
  readonly alg: Alg
  /** Signs a message. The caller has not hashed it. */
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/**
 * Whether a signature over these bytes verifies. False on anything malformed; it never throws. Ed25519 is strict (RFC 8032, no
 * cofactor); ES256 and ES256K accept both values of S.
 */
export function verifySignature(jwk: PublicJwk, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    if (signature.length !== 64) return false
    const key = publicKeyBytes(jwk)
    switch (jwk.crv) {
      case 'Ed25519':
        return verifyEd25519(key, message, signature)
      case 'P-256':
        return verifyEcdsa(P256, key, message, signature)
      case 'secp256k1':
        return verifyEcdsa(Secp256k1, key, message, signature)
      default:
        return false
    }
  } catch {
    return false
  }
}

/**
 * RFC 8032 §5.1.7 with strict decoding and the equation without the cofactor (the RFC allows both), as in OpenSSL, Go and
 * libsodium. `verify` of @noble/curves multiplies by the cofactor, which forgives a part of small order in R or in the key, and
 * accepts an R of small order. The others refuse all that, so the key's holder could make signatures on which verifiers disagree.
 * Throws on an S that is not below the order, and on what is no point.
 */
function verifyEd25519(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const first = signature.subarray(0, 32)
  const [a, r] = [Ed25519.fromBytes(key, false), Ed25519.fromBytes(first, false)]
  if (a.isSmallOrder() || r.isSmallOrder()) return false
  const s = bytesToNumberLE(signature.subarray(32))
  const k = Ed25519.Fn.create(bytesToNumberLE(sha512.create().update(first).update(key).update(message).digest()))
  return Ed25519.BASE.multiplyUnsafe(s).equals(r.add(a.multiplyUnsafe(k)))
}

/**
 * FIPS 186-5 §6.4.2 with SHA-256. Throws on an R or S that is not below the order, and on what is no point. The order is as long as
 * the digest, so nothing of it is cut off.
 */
function verifyEcdsa(
  Point: WeierstrassPointCons<bigint>,
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { Fn } = Point
  const q = Point.fromBytes(key)
  const [r, s] = [Fn.fromBytes(signature.subarray(0, 32)), Fn.fromBytes(signature.subarray(32))]
  if (r === 0n || s === 0n) return false
  const inverse = Fn.inv(s)
  const u = Fn.mul(Fn.create(bytesToNumberBE(sha256(message))), inverse)
  const sum = Point.BASE.mulAddUnsafe(u, q, Fn.mul(r, inverse))
  return !sum.is0() && Fn.create(sum.x) === r
}
