/** SHA-256 with the domain separation of RFC 9162 §2.1.1. */
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { fromBase64url, toBase64url } from './bytes.ts'
import { InvariantError } from './errors.ts'

declare const brand: unique symbol

/** The 32 bytes of a SHA-256. Only hashers, parsers and `asHash` make one. */
export type Hash = Uint8Array & { readonly [brand]: 'Hash' }

const HASH_BYTES = 32

const LEAF_PREFIX = Uint8Array.of(0x00)
const NODE_PREFIX = Uint8Array.of(0x01)

/** SHA-256 (FIPS 180-4), without a prefix. */
export function sha256(bytes: Uint8Array): Hash {
  return nobleSha256(bytes) as Uint8Array as Hash
}

/** Hash of a Merkle tree's leaf: `SHA-256(0x00 ‖ bytes)` (RFC 9162 §2.1.1). */
export function leafHash(bytes: Uint8Array): Hash {
  return nobleSha256.create().update(LEAF_PREFIX).update(bytes).digest() as Uint8Array as Hash
}

/** Hash of a Merkle tree's inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 9162 §2.1.1); both children are 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Hash {
  return nobleSha256.create().update(NODE_PREFIX).update(left).update(right).digest() as Uint8Array as Hash
}

/** Root of the empty Merkle tree: `SHA-256("")` (RFC 9162 §2.1.1). */
export const EMPTY_ROOT: Hash = sha256(new Uint8Array(0))

/** True only for a Uint8Array of 32 bytes; the caller may pass anything. */
export function isHash(value: unknown): value is Hash {
  return value instanceof Uint8Array && value.length === HASH_BYTES
}

/** Bytes from the caller's own store, as a hash. @throws InvariantError if they are not 32 */
export function asHash(bytes: Uint8Array): Hash {
  if (!isHash(bytes)) throw new InvariantError(`a hash has ${HASH_BYTES} bytes, not ${bytes.length}`)
  return bytes
}

/** A hash as 43 characters of base64url, its form in JSON and JWS. */
export function printHash(hash: Uint8Array): string {
  return toBase64url(hash)
}

const HASH_TEXT = /^[\w-]{42}[048AEIMQUYcgkosw]$/

/** True for the canonical base64url of 32 bytes: the last of its 43 characters carries four bits. */
export function isHashText(text: unknown): text is string {
  return typeof text === 'string' && HASH_TEXT.test(text)
}

/** A hash from 43 characters of canonical base64url; null for any other value. */
export function parseHash(text: unknown): Hash | null {
  const bytes = typeof text === 'string' && text.length === 43 ? fromBase64url(text) : null
  return bytes !== null && isHash(bytes) ? bytes : null
}
