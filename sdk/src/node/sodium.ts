// libsodium, where it is installed: docs/decisions/0008-native-cryptography.md.
import type { KeyObject } from 'node:crypto'
import { createRequire } from 'node:module'

/** The functions of libsodium that are used here. */
export type Sodium = {
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
  /** @param secretKey seed and public key, one behind the other */
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
}
let found: Sodium | null | undefined

/** libsodium where `sodium-native` is installed, as beside a service: it takes half the time of OpenSSL for Ed25519. */
export function findSodium(): Sodium | null {
  if (found === undefined) found = load()
  return found
}

function load(): Sodium | null {
  try {
    // As a plain call webpack would follow it, and warn of a package that is seldom there.
    return createRequire.call(null, import.meta.url)('sodium-native') as Sodium
  } catch {
    return null
  }
}

/** What signs with an Ed25519 key (RFC 8032: the same bytes as from OpenSSL). */
export function sodiumSigner(sodium: Sodium, key: KeyObject): (message: Uint8Array) => Uint8Array {
  // What OpenSSL says of the key: with the public part of another one each signature would give some of the secret away.
  const { d, x } = key.export({ format: 'jwk' })
  const secret = Buffer.concat([Buffer.from(d!, 'base64url'), Buffer.from(x!, 'base64url')])
  return (message) => {
    const signature = new Uint8Array(64)
    sodium.crypto_sign_detached(signature, message, secret)
    return signature
  }
}
