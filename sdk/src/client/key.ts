// Makes a Signer from a private JWK or a key file. Signing uses node:crypto or libsodium, which are many times faster than portable code.
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { open, readFile, rm, stat } from 'node:fs/promises'
import { isBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { type Alg, algOf, type PublicJwk, parsePublicJwk, thumbprint } from '../core/jwk.ts'
import type { Signer } from '../core/signature.ts'
import { verifyNatively } from '../node/signature.ts'
import { findSodium, sodiumSigner } from '../node/sodium.ts'
import { syncFile } from '../node/sync.ts'

/** A private JWK (RFC 7517): the public members and `d`, the secret, as 32 bytes of base64url. */
export type PrivateJwk = PublicJwk & { readonly d: string }

const GENERATE: Record<Alg, () => { privateKey: KeyObject }> = {
  Ed25519: () => generateKeyPairSync('ed25519'),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  ES256K: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
}

/**
 * Makes a fresh key pair, as a private JWK.
 * @param alg `Ed25519` (default, fastest), `ES256` or `ES256K`
 * @throws KillickError `key_invalid` for any other algorithm
 * @example
 * const key = generateKey()
 * await writeKeyFile('billing-api.key.json', key)
 * console.log(publicJwk(key)) // register this with the service
 */
export function generateKey(alg: Alg = 'Ed25519'): PrivateJwk {
  const make = GENERATE[alg]
  if (!make)
    throw new KillickError('key_invalid', `There is no algorithm ${alg}; use Ed25519, ES256 or ES256K`, { alg })
  const jwk = make().privateKey.export({ format: 'jwk' })
  const { d, ...rest } = jwk
  return { ...parsePublicJwk(rest), d: d as string }
}

/**
 * The public part of a private JWK: what is registered with the service and pinned by verifiers.
 * @throws KillickError `key_invalid`
 */
export function publicJwk(jwk: PrivateJwk): PublicJwk {
  const { d: _, ...rest } = jwk
  return parsePublicJwk(rest)
}

/**
 * Writes a private JWK to a new file that only its owner can read.
 * @param path of the file, made with mode 600; its folder must exist
 * @throws the file system's Error, with code EEXIST if the file exists: keys are not overwritten. Then nothing is left behind
 */
export async function writeKeyFile(path: string, jwk: PrivateJwk): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    try {
      await handle.writeFile(`${JSON.stringify(jwk, null, 2)}\n`)
      await syncFile(handle)
    } finally {
      await handle.close()
    }
  } catch (error) {
    // A part of a key, as a full disk leaves it, would be in the way of the next one.
    await rm(path, { force: true })
    throw error
  }
}

/**
 * Reads a private JWK from a file, as `writeKeyFile` or `killick keygen` write it. `signerOf` checks the key itself.
 * @throws KillickError `key_unsafe` if others on this machine can read the file; `key_invalid` if it cannot be read, is not
 * JSON, or holds no private key
 */
export async function readKeyFile(path: string): Promise<PrivateJwk> {
  // As where a variable of the environment holds the key. An error that names the file would write the key into a log.
  if (/"d"\s*:|PRIVATE KEY/.test(path))
    throw new KillickError(
      'key_invalid',
      'This is a private key where the path of its file belongs; a program hands the key over as an object: JSON.parse(…)',
    )
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new KillickError('key_invalid', `The key file cannot be read: ${error.message}`, { path })
  })
  const jwk = jwkOf(text)
  if (jwk === null) throw new KillickError('key_invalid', `${path} does not hold a JWK`, { path })
  if (jwk.d === undefined)
    throw new KillickError('key_invalid', `${path} holds no private key; the public one cannot sign`, { path })
  const { mode } = await stat(path)
  // Windows reports no useful permission bits.
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new KillickError('key_unsafe', `Others can read the private key ${path}; run: chmod 600 ${path}`, { path })
  return jwk
}

function jwkOf(text: string): PrivateJwk | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? (value as PrivateJwk) : null
  } catch {
    return null
  }
}

/**
 * A signer that holds a private JWK in this process.
 * @throws KillickError `key_invalid`, also if `d` does not belong to the public part
 */
export function signerOf(jwk: PrivateJwk): Signer {
  if (typeof jwk !== 'object' || jwk === null || typeof jwk.d !== 'string')
    throw new KillickError('key_invalid', 'The key must be a private JWK: the member "d" is missing')
  const jwkPublic = publicJwk(jwk)
  let key: KeyObject
  try {
    key = createPrivateKey({ key: { ...jwkPublic, d: jwk.d }, format: 'jwk' })
  } catch (error) {
    throw new KillickError('key_invalid', `The private key cannot be used: ${(error as Error).message}`)
  }
  const signBytes: (message: Uint8Array) => Uint8Array =
    jwkPublic.kty === 'OKP'
      ? (message) => sign(null, message, key)
      : (message) => sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })
  const probe = new TextEncoder().encode('killick')
  if (!verifyNatively(jwkPublic, probe, signBytes(probe)))
    throw new KillickError('key_invalid', 'The private part of the key does not belong to its public part')
  const sodium = jwkPublic.kty === 'OKP' ? findSodium() : null
  const fastest = sodium === null ? signBytes : sodiumSigner(sodium, key)
  return { jwk: jwkPublic, kid: thumbprint(jwkPublic), alg: algOf(jwkPublic), sign: fastest }
}

/**
 * A Signer from a private JWK, the path of a file that holds one, or a ready Signer, which may stand for a KMS or HSM:
 * `{ jwk, sign(message) }`, where `sign` returns 64 bytes (ES256 and ES256K as R ‖ S) or a promise of them. Signing throws the KillickError
 * `signature_invalid` where they are no signature by that key.
 */
export async function loadSigner(key: PrivateJwk | string | Pick<Signer, 'jwk' | 'sign'>): Promise<Signer> {
  if (typeof key === 'string') return signerOf(await readKeyFile(key))
  if (typeof key === 'object' && key !== null && 'sign' in key) {
    const jwk = parsePublicJwk(key.jwk)
    const [kid, alg] = [thumbprint(jwk), algOf(jwk)]
    // What is signed wrongly no ledger takes, nor what comes behind it in the stream. A KMS may answer in DER, or with a key that took the place of this one.
    const check = (message: Uint8Array, signature: unknown): Uint8Array => {
      if (isBytes(signature) && verifyNatively(jwk, message, signature)) return signature
      const wanted = alg === 'Ed25519' ? '64 bytes' : '64 bytes, R ‖ S, not DER'
      throw new KillickError('signature_invalid', `What the signer gave is no signature by its key ${kid} (${wanted})`)
    }
    const sign = (message: Uint8Array) => {
      const given: unknown = key.sign(message)
      if (isBytes(given)) return check(message, given)
      return Promise.resolve(given).then((signature) => check(message, signature))
    }
    return { jwk, kid, alg, sign }
  }
  return signerOf(key)
}
