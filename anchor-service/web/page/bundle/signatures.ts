/** Checks signatures with what the browser has built in, and says what the portable code would say. */
import { type CheckSignature, verifySignature } from '@killick/sdk/bundle'
import type { PublicJwk } from '@killick/sdk/verify'

type BuiltIn = { readonly name: string; readonly verify: AlgorithmIdentifier | EcdsaParams; readonly key: object }

/** What browsers have of our curves; of others, and in browsers without, the portable code has the word. */
const BUILT_IN: { readonly [curve: string]: BuiltIn } = {
  Ed25519: { name: 'Ed25519', verify: { name: 'Ed25519' }, key: { name: 'Ed25519' } },
  'P-256': {
    name: 'ECDSA',
    verify: { name: 'ECDSA', hash: 'SHA-256' } as EcdsaParams,
    key: { name: 'ECDSA', namedCurve: 'P-256' },
  },
}

/**
 * Whether R of an Ed25519 signature is the identity: a key's holder can sign so, some browsers take it (Chromium does), and
 * docs/PROTOCOL.md §3 refuses it.
 */
const hasIdentityR = (signature: Uint8Array): boolean =>
  signature[0] === 1 && signature.subarray(1, 32).every((byte) => byte === 0)

export function signatureChecker(): CheckSignature {
  const keys = new Map<string, Promise<CryptoKey | null>>()

  const keyOf = (jwk: PublicJwk, { key }: BuiltIn): Promise<CryptoKey | null> => {
    const name = JSON.stringify(jwk)
    const known = keys.get(name)
    if (known !== undefined) return known
    const imported = crypto.subtle
      .importKey('jwk', { ...jwk } as JsonWebKey, key as EcKeyImportParams, false, ['verify'])
      .catch(() => null)
    keys.set(name, imported)
    return imported
  }

  return async (jwk, { input, bytes }) => {
    const portable = () => verifySignature(jwk, input, bytes)
    const builtIn = jwk.crv === 'Ed25519' && hasIdentityR(bytes) ? undefined : BUILT_IN[jwk.crv]
    // Browsers have it only for pages that came over https, from this machine or from a disk.
    const key = builtIn === undefined || globalThis.crypto?.subtle === undefined ? null : await keyOf(jwk, builtIn)
    if (builtIn === undefined || key === null) return portable()
    const isValid = await crypto.subtle
      .verify(builtIn.verify, key, bytes as Uint8Array<ArrayBuffer>, input as Uint8Array<ArrayBuffer>)
      .catch(() => false)
    // What it rejects is judged again, so that every verifier gives the same answer.
    return isValid || portable()
  }
}
