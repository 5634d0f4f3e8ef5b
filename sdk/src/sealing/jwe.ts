// The two uses of jose: bytes under a key of 32 bytes, as a compact JWE with one spelling of its header (core/sealed.ts).
import { CompactEncrypt, compactDecrypt } from 'jose'
import { jweHeader } from '../core/sealed.ts'

const ALG = 'dir'
const ENC = 'A256GCM'
const ONLY = { keyManagementAlgorithms: [ALG], contentEncryptionAlgorithms: [ENC] }

/** @param kid 22 characters of base64url */
export const encrypt = (bytes: Uint8Array, key: Uint8Array, kid: string): Promise<string> =>
  new CompactEncrypt(bytes).setProtectedHeader({ alg: ALG, enc: ENC, kid }).encrypt(key)

/** Null if it is not of this key and id, or was altered. */
export async function decrypt(jwe: string, key: Uint8Array, kid: string): Promise<Uint8Array | null> {
  if (!jwe.startsWith(`${jweHeader(kid)}..`)) return null
  try {
    return (await compactDecrypt(jwe, key, ONLY)).plaintext
  } catch {
    return null
  }
}
