import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifySignature } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadSigner } from '../../../anchor-service/src/ledger/signing-keys.ts'
import { sodium } from '../../../anchor-service/src/sodium.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killick-keys-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('signs as OpenSSL does, with libsodium', async () => {
  expect(sodium).not.toBeNull()
  const file = join(folder, 'key.json')
  const { jwk, sign: signing } = await loadSigner(file)
  const key = createPrivateKey({ key: JSON.parse(await readFile(file, 'utf8')), format: 'jwk' })
  for (const length of [0, 1, 100, 10_000]) {
    const message = randomBytes(length)
    expect(Buffer.from(signing(message))).toEqual(sign(null, message, key))
    expect(verifySignature(jwk, message, signing(message))).toBe(true)
  }
})

test('a file with the public part of another key signs with its own', async () => {
  const [own, other] = [0, 1].map(() => generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }))
  const file = join(folder, 'mixed.json')
  await writeFile(file, JSON.stringify({ ...own, x: other!.x }), { mode: 0o600 })
  const { jwk, sign: signing } = await loadSigner(file)
  expect(jwk).toEqual({ kty: 'OKP', crv: 'Ed25519', x: own!.x })
  const message = randomBytes(100)
  const expected = sign(null, message, createPrivateKey({ key: own!, format: 'jwk' }))
  expect(Buffer.from(signing(message))).toEqual(expected)
})
