import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import * as jose from 'jose'
import { describe, expect, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { generateKey, loadSigner, publicJwk, readKeyFile, signerOf, writeKeyFile } from '../../../sdk/src/client/key.ts'
import { signJws } from '../../../sdk/src/core/jws.ts'
import { verifySignature } from '../../../sdk/src/core/signature.ts'
import { findSodium } from '../../../sdk/src/node/sodium.ts'
import { event, tempDir } from './support.ts'

const message = new TextEncoder().encode('message')

describe.each(['Ed25519', 'ES256', 'ES256K'] as const)('%s', (alg) => {
  const key = generateKey(alg)
  const signer = signerOf(key)

  test('signs what our verifier and, where it knows the curve, a JOSE library accept', async () => {
    expect(signer.alg).toBe(alg)
    const signature = await signer.sign(message)
    expect(signature.length).toBe(64)
    expect(verifySignature(signer.jwk, message, signature)).toBe(true)
    expect(verifySignature(signer.jwk, new TextEncoder().encode('massage'), signature)).toBe(false)
    if (alg === 'ES256K') return
    const token = await signJws({ a: 1 }, 'test', signer)
    const { payload } = await jose.compactVerify(token, await jose.importJWK({ ...signer.jwk, alg }))
    expect(new TextDecoder().decode(payload)).toBe('{"a":1}')
    expect(signer.kid).toBe(await jose.calculateJwkThumbprint(signer.jwk))
  })

  test('goes through a file that only the owner can read', async () => {
    const file = join(tempDir(), 'key.json')
    await writeKeyFile(file, key)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await readKeyFile(file)).toEqual(key)
    expect((await loadSigner(file)).kid).toBe(signer.kid)
    await expect(writeKeyFile(file, key)).rejects.toMatchObject({ code: 'EEXIST' })
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(key)
  })

  test('the public part holds nothing private', () => {
    expect(publicJwk(key)).not.toHaveProperty('d')
  })
})

test.each([0o640, 0o604, 0o660, 0o644])(
  'a key file with mode %o is refused, and the error says what to do',
  async (mode) => {
    const file = join(tempDir(), 'key.json')
    await writeKeyFile(file, generateKey())
    chmodSync(file, mode)
    await expect(loadSigner(file)).rejects.toMatchObject({
      code: 'key_unsafe',
      message: expect.stringContaining('chmod 600'),
    })
  },
)

test.each(['', '/srv/app/'])(
  'a key itself where the path of its file belongs is not repeated by the error',
  async (folder) => {
    const key = generateKey()
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
    for (const text of [JSON.stringify(key), JSON.stringify(key, null, 2), String(pem)]) {
      const error = await loadSigner(folder + text).catch((error) => error)
      expect(error).toMatchObject({ code: 'key_invalid', message: expect.stringContaining('path of its file') })
      expect(inspect(error)).not.toContain(key.d)
      expect(inspect(error)).not.toContain('BEGIN')
    }
  },
)

test('libsodium signs as OpenSSL does, messages of any length', async () => {
  expect(findSodium()).not.toBeNull()
  for (const length of [0, 1, 63, 64, 1_000, 100_000]) {
    const [key, bytes] = [generateKey(), randomBytes(length)]
    const signature = await signerOf(key).sign(bytes)
    expect(Buffer.from(signature)).toEqual(sign(null, bytes, createPrivateKey({ key: { ...key }, format: 'jwk' })))
    expect(verifySignature(publicJwk(key), bytes, signature)).toBe(true)
  }
})

test('a public key, which anybody may read, is told as one that cannot sign', async () => {
  const file = join(tempDir(), 'key.pub.json')
  writeFileSync(file, JSON.stringify(publicJwk(generateKey())), { mode: 0o644 })
  await expect(loadSigner(file)).rejects.toMatchObject({
    ...{ code: 'key_invalid', message: expect.stringContaining('no private key') },
  })
})

test('what is no key is refused', async () => {
  const file = join(tempDir(), 'key.json')
  writeFileSync(file, 'not json', { mode: 0o600 })
  const [a, b] = [generateKey(), generateKey()]
  for (const bad of [
    file,
    join(tempDir(), 'absent'),
    { ...a, d: undefined },
    { ...a, d: b.d },
    { ...a, d: 'AA' },
    publicJwk(a),
    {},
  ])
    await expect(loadSigner(bad as never)).rejects.toMatchObject({ code: 'key_invalid' })
  expect(() => generateKey('RS256' as never)).toThrow(expect.objectContaining({ code: 'key_invalid' }))
})

test('a signer of one’s own gets its name from its public key', async () => {
  const local = signerOf(generateKey('ES256'))
  const remote = await loadSigner({ jwk: local.jwk, sign: async (bytes) => local.sign(bytes) })
  expect(remote).toMatchObject({ kid: local.kid, alg: 'ES256' })
  expect(verifySignature(local.jwk, message, await remote.sign(message))).toBe(true)
})

test('bytes of another realm are bytes, as a Buffer is where tests run in jsdom', async () => {
  const local = signerOf(generateKey())
  const Foreign = runInNewContext('Uint8Array')
  const foreign = (bytes: Uint8Array) => new Foreign(local.sign(bytes))
  for (const sign of [foreign, async (bytes: Uint8Array) => foreign(bytes)]) {
    const key = { jwk: local.jwk, sign }
    const audit = await openAuditLog({
      url: 'http://127.0.0.1:1',
      source: 'test',
      spool: tempDir(),
      key,
      onError: () => {},
    })
    await audit.record(event(0))
    await audit.close({ timeoutMs: 0 })
  }
})

test('a signer of one’s own that does not sign by its key is told at once, before anything is kept', async () => {
  const jwk = generateKey('ES256')
  const local = signerOf(jwk)
  const der = (bytes: Uint8Array) => sign('sha256', bytes, createPrivateKey({ key: { ...jwk }, format: 'jwk' }))
  const other = signerOf(generateKey('ES256'))
  const answers: unknown[] = [
    der,
    async (bytes: Uint8Array) => der(bytes),
    other.sign,
    () => new Uint8Array(64),
    () => 'x',
    () => {},
  ]
  for (const answer of answers) {
    const remote = await loadSigner({ jwk: local.jwk, sign: answer as typeof local.sign })
    await expect((async () => remote.sign(message))()).rejects.toMatchObject({ code: 'signature_invalid' })
  }
  const audit = await openAuditLog({
    url: 'http://127.0.0.1:1',
    source: 'test',
    spool: tempDir(),
    key: { jwk: local.jwk, sign: der },
    onError: () => {},
  })
  await expect(audit.record(event(0))).rejects.toMatchObject({ code: 'signature_invalid' })
  expect(await audit.close()).toMatchObject({ pending: 0 })
})
