// Signers for vectors: keys from a label, signatures that are the same on every run (RFC 8032, RFC 6979).
import { createECDH, createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { type Alg, algOf, parsePublicJwk, type Signer, thumbprint } from '@killick/sdk/core'

type Curve = { sign(message: Uint8Array, secret: Uint8Array, options: { lowS: boolean }): Uint8Array }

/** The curve library is a dependency of the sdk, not of these scripts; node:crypto signs ECDSA at random. */
async function curve(file: string, name: string): Promise<Curve> {
  const path = createRequire(import.meta.resolve('@killick/sdk')).resolve(`@noble/curves/${file}.js`)
  return ((await import(pathToFileURL(path).href)) as Record<string, Curve>)[name]!
}

const ECDSA = {
  ES256: { curve: await curve('nist', 'p256'), crv: 'P-256', name: 'prime256v1' },
  ES256K: { curve: await curve('secp256k1', 'secp256k1'), crv: 'secp256k1', name: 'secp256k1' },
} as const

const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

export const seed = (label: string): Buffer => createHash('sha256').update(`killick vectors: ${label}`).digest()

export function signerFor(label: string, alg: Alg = 'Ed25519'): Signer {
  const secret = seed(label)
  if (alg === 'Ed25519') {
    const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, secret]), format: 'der', type: 'pkcs8' })
    const jwk = parsePublicJwk(createPublicKey(key).export({ format: 'jwk' }))
    return { jwk, kid: thumbprint(jwk), alg, sign: (message) => new Uint8Array(sign(null, message, key)) }
  }
  const { curve, crv, name } = ECDSA[alg]
  const point = publicPoint(name, secret)
  const jwk = parsePublicJwk({ kty: 'EC', crv, x: base64url(point.subarray(1, 33)), y: base64url(point.subarray(33)) })
  return { jwk, kid: thumbprint(jwk), alg: algOf(jwk), sign: (message) => curve.sign(message, secret, { lowS: true }) }
}

function publicPoint(name: string, secret: Buffer): Buffer {
  const pair = createECDH(name)
  pair.setPrivateKey(secret)
  return pair.getPublicKey()
}

const base64url = (bytes: Buffer) => bytes.toString('base64url')
