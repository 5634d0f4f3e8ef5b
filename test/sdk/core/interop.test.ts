// Events as stock libraries see them: a JOSE library for the signature, an SD-JWT library for the fields.
import { createPublicKey, hash, type JsonWebKey, verify } from 'node:crypto'
import { type Alg, parseEvent, parseProof } from '@killick/sdk/core'
import { SDJwtInstance } from '@sd-jwt/core'
import { compactVerify, importJWK } from 'jose'
import { describe, expect, test } from 'vitest'
import { signerFor } from '../../../scripts/lib/vectors/keys.ts'
import { INPUTS, makeEvents, makeHeader } from '../../../scripts/lib/vectors/world.ts'
import { vectors } from '../../support/vectors.ts'

const hasher = (data: string | ArrayBuffer) =>
  new Uint8Array(hash('sha256', typeof data === 'string' ? data : new Uint8Array(data), 'buffer'))

describe.each<Alg>(['Ed25519', 'ES256', 'ES256K'])('%s', (alg) => {
  const signer = signerFor('interop', alg)
  const key = createPublicKey({ key: signer.jwk as JsonWebKey, format: 'jwk' })
  const verifier = (data: string, signature: string) =>
    verify(
      alg === 'Ed25519' ? null : 'sha256',
      Buffer.from(data),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    )
  const sdJwt = new SDJwtInstance({ hasher, hashAlg: 'sha-256', verifier })

  test('an SD-JWT library verifies the token and shows the fields', async () => {
    for (const [i, token] of (await makeEvents(signer)).entries()) {
      const { payload, header } = await sdJwt.verify(token)
      const { source, stream, seq, id, time } = parseEvent(token)
      const structure = { iss: source, stm: stream, seq, jti: id, iat: time / 1000 }
      expect(payload).toMatchObject({ ...structure, ...INPUTS[i] })
      expect(header).toEqual({ alg, typ: 'audit-event+sd-jwt', kid: signer.kid })
      expect((await sdJwt.presentableKeys(token)).sort()).toEqual(Object.keys(INPUTS[i]!).sort())
    }
  })

  test('an SD-JWT library hides fields in the same way', async () => {
    const [token] = await makeEvents(signer)
    const shown = await sdJwt.present(token!, { action: true })
    expect(parseEvent(shown).fields).toEqual({ action: INPUTS[0]!.action })
    expect(parseEvent(shown).leafHash).toEqual(parseEvent(token!).leafHash)
  })

  test('an SD-JWT library refuses a damaged token', async () => {
    const [token] = await makeEvents(signer)
    const [head, body, tail] = token!.split('.')
    const damaged = `${head}.${body}.${tail!.startsWith('A') ? 'B' : 'A'}${tail!.slice(1)}`
    await expect(sdJwt.verify(damaged)).rejects.toThrow()
  })
})

// jose has no ES256K: the Web Cryptography API knows no such curve.
test.each<Alg>(['Ed25519', 'ES256'])('a JOSE library verifies event and batch header: %s', async (alg) => {
  const signer = signerFor('interop', alg)
  const tokens = await makeEvents(signer)
  const header = await makeHeader(signer, tokens)
  for (const jws of [...tokens.map((token) => token.split('~')[0]!), header.text]) {
    const result = await compactVerify(jws, await importJWK({ ...signer.jwk }, alg), { algorithms: [alg] })
    expect(result.protectedHeader.kid).toBe(signer.kid)
    expect(JSON.parse(new TextDecoder().decode(result.payload))).toMatchObject({ iss: 'billing-api' })
  }
})

test('the event in a proof is a token that stock libraries read', async () => {
  const [proof] = vectors<{ proof: string }[]>('proofs')
  const { event, keys } = parseProof(proof!.proof)
  const jws = event.split('~')[0]!
  await expect(compactVerify(jws, await importJWK({ ...keys[0]! }, 'Ed25519'))).resolves.toBeDefined()
})
