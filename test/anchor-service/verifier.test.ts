import { randomBytes } from 'node:crypto'
import { verifySignature } from '@killick/sdk/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { verifierOf } from '../../anchor-service/src/verifier.ts'
import { newSigner } from './support/producer.ts'

const N = {
  Ed25519: 2n ** 252n + 27742317777372353535851937790883648493n,
  'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  secp256k1: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}

const toBytes = (n: bigint, order: 'le' | 'be') => {
  const bytes = Buffer.from(n.toString(16).padStart(64, '0'), 'hex')
  return order === 'le' ? bytes.reverse() : bytes
}

describe.each(['Ed25519', 'P-256', 'secp256k1'] as const)('%s', (curve) => {
  const signer = newSigner(curve)
  const agree = async (message: Uint8Array, signature: Uint8Array, jwk = signer.jwk) => {
    const native = verifierOf(jwk)(signer.alg, message, signature)
    expect(native).toBe(verifySignature(jwk, message, signature))
    return native
  }

  test('accepts genuine signatures, as the sdk does', async () => {
    for (let i = 0; i < 20; i++) {
      const message = new Uint8Array(randomBytes(i * 7))
      expect(await agree(message, await signer.sign(message))).toBe(true)
    }
  })

  test('agrees with the sdk on every flipped bit of a signature', async () => {
    const message = new Uint8Array([1, 2, 3])
    const signature = await signer.sign(message)
    for (let bit = 0; bit < 512; bit++) {
      const flipped = signature.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(await agree(message, flipped)).toBe(false)
    }
  })

  test('agrees with the sdk on scalars out of range, wrong lengths and other keys', async () => {
    const message = new Uint8Array([1, 2, 3])
    const signature = await signer.sign(message)
    const order = curve === 'Ed25519' ? 'le' : 'be'
    const s = BigInt(
      `0x${Buffer.from(order === 'le' ? signature.slice(32).reverse() : signature.slice(32)).toString('hex')}`,
    )
    for (const scalar of [s + N[curve], N[curve], N[curve] - s, 0n, 2n ** 256n - 1n]) {
      if (scalar >= 2n ** 256n) continue
      await agree(message, Buffer.concat([signature.slice(0, 32), toBytes(scalar, order)]))
    }
    for (const point of [0n, 1n, 2n ** 255n - 19n, 2n ** 255n - 20n, 2n ** 256n - 1n]) {
      await agree(message, Buffer.concat([toBytes(point, order), signature.slice(32)]))
    }
    expect(await agree(message, signature.slice(1))).toBe(false)
    expect(await agree(message, signature, newSigner(curve).jwk)).toBe(false)
  })

  test('agrees with the sdk on noise', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.uint8Array(), async (signature, message) => {
        expect(await agree(message, signature)).toBe(false)
      }),
      { numRuns: process.env.CI ? 500 : 50 },
    )
  })
})

test("refuses an algorithm that is not the key's", async () => {
  const signer = newSigner()
  const message = new Uint8Array([1])
  const signature = await signer.sign(message)
  expect(verifierOf(signer.jwk)('ES256', message, signature)).toBe(false)
})
