import { createPublicKey, createSecretKey, generateKeyPairSync, hash, type JsonWebKey, sign, verify } from 'node:crypto'
import {
  type Alg,
  algOf,
  type PublicJwk,
  parsePublicJwk,
  thumbprint,
  toBase64url,
  utf8,
  verifySignature,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { calculateJwkThumbprint } from 'jose'
import { describe, expect, test } from 'vitest'
import { signerFor } from '../../../scripts/lib/vectors/keys.ts'
import { P256, Secp256k1 } from '../../../sdk/src/core/curves.ts'
import { verifyNatively } from '../../../sdk/src/node/signature.ts'

const numRuns = process.env.CI ? 150 : 25
const ALGS: Alg[] = ['Ed25519', 'ES256', 'ES256K']
/** Portable and native code must answer alike, whatever they are asked. */
const verifyBoth: typeof verifySignature = (jwk, message, signature) => {
  const answer = verifySignature(jwk, message, signature)
  expect(verifyNatively(jwk, message, signature)).toBe(answer)
  return answer
}
const invalid = expect.objectContaining({ name: 'KillickError', code: 'key_invalid' })

function pair(alg: Alg) {
  if (alg === 'Ed25519') return generateKeyPairSync('ed25519')
  return generateKeyPairSync('ec', { namedCurve: alg === 'ES256' ? 'prime256v1' : 'secp256k1' })
}

/** What the platform's library (OpenSSL) says. */
function nativeVerify(jwk: PublicJwk, message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
  return jwk.kty === 'OKP'
    ? verify(null, message, key, signature)
    : verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

describe.each(ALGS)('%s', (alg) => {
  const { privateKey, publicKey } = pair(alg)
  const jwk = parsePublicJwk(publicKey.export({ format: 'jwk' }))
  const signed = (message: Uint8Array) =>
    new Uint8Array(
      alg === 'Ed25519'
        ? sign(null, message, privateKey)
        : sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    )

  test('agrees with OpenSSL on good signatures and on damaged ones', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(511), fc.nat(), (message, bit, at) => {
        const signature = signed(message)
        expect(verifyBoth(jwk, message, signature)).toBe(true)
        expect(nativeVerify(jwk, message, signature)).toBe(true)
        const damaged = signature.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
        expect(verifySignature(jwk, message, damaged)).toBe(false)
        expect(nativeVerify(jwk, message, damaged)).toBe(false)
        const other =
          message.length === 0
            ? Uint8Array.of(0)
            : message.map((byte, i) => (i === at % message.length ? byte ^ 1 : byte))
        expect(verifySignature(jwk, other, signature)).toBe(false)
      }),
      { numRuns },
    )
  })

  test('refuses other lengths, zeros and other keys', () => {
    const message = utf8('message')
    const signature = signed(message)
    expect(verifyBoth(jwk, message, signature.subarray(0, 63))).toBe(false)
    expect(verifyBoth(jwk, message, Uint8Array.of(...signature, 0))).toBe(false)
    expect(verifyBoth(jwk, message, new Uint8Array(64))).toBe(false)
    for (const other of ALGS) expect(verifyBoth(signerFor('other', other).jwk, message, signature)).toBe(false)
  })

  test('the deterministic signatures of the vectors verify', async () => {
    const signer = signerFor('some label', alg)
    const signature = await signer.sign(utf8('message'))
    expect(nativeVerify(signer.jwk, utf8('message'), signature)).toBe(true)
    expect(await signer.sign(utf8('message'))).toEqual(signature)
  })

  test('the thumbprint is the one of RFC 7638', async () => {
    expect(thumbprint(jwk)).toBe(await calculateJwkThumbprint(jwk as JsonWebKey))
    expect(algOf(jwk)).toBe(alg)
  })

  test('parsing a key keeps only the members that make the key', () => {
    expect(parsePublicJwk({ ...jwk, use: 'sig', kid: 'x', alg: 'none' })).toEqual(jwk)
    expect(() => parsePublicJwk(privateKey.export({ format: 'jwk' }))).toThrow(invalid)
  })
})

describe.each(['ES256', 'ES256K'] as const)('%s at its edges', (alg) => {
  const Point = alg === 'ES256' ? P256 : Secp256k1
  const { Fn, Fp } = Point
  const message = utf8('message')
  const join = (r: bigint, s: bigint) =>
    Uint8Array.from(Buffer.from([r, s].map((part) => part.toString(16).padStart(64, '0')).join(''), 'hex'))
  const jwkOf = ({ x, y }: { x: bigint; y: bigint }): PublicJwk => ({
    kty: 'EC',
    crv: alg === 'ES256' ? 'P-256' : 'secp256k1',
    x: toBase64url(Fp.toBytes(x)),
    y: toBase64url(Fp.toBytes(y)),
  })
  const agreed = (jwk: PublicJwk, signature: Uint8Array) => {
    const answer = verifyBoth(jwk, message, signature)
    expect(nativeVerify(jwk, message, signature)).toBe(answer)
    return answer
  }

  test('both forms of S are taken, and no R or S beyond its range, as OpenSSL does', async () => {
    const { jwk, sign } = signerFor('either', alg)
    const signature = await sign(message)
    const [r, s] = [Fn.fromBytes(signature.subarray(0, 32)), Fn.fromBytes(signature.subarray(32))]
    const n = Fn.ORDER
    expect(agreed(jwk, join(r, n - s))).toBe(true)
    for (const beyond of [0n, 1n, n - 1n, n, n + 1n, 2n ** 256n - 1n]) {
      expect(agreed(jwk, join(beyond, s))).toBe(false)
      expect(agreed(jwk, join(r, beyond))).toBe(false)
      expect(agreed(jwk, join(beyond, beyond))).toBe(false)
    }
  })

  test('R is what remains of a coordinate that is not below the order, as in OpenSSL', () => {
    const lift = (x: bigint) => {
      try {
        return Point.fromBytes(Uint8Array.of(0x02, ...Fp.toBytes(x)))
      } catch {
        return null
      }
    }
    let r = 1n
    while (lift(Fn.ORDER + r) === null) r++
    // The key under which this point is the one of a signature whose S is 1: (R − e⋅G) / r.
    const e = Fn.create(BigInt(`0x${hash('sha256', message)}`))
    const key = lift(Fn.ORDER + r)!
      .subtract(Point.BASE.multiply(e))
      .multiply(Fn.inv(r))
    const jwk = parsePublicJwk(jwkOf(key.toAffine()))
    expect(agreed(jwk, join(r, 1n))).toBe(true)
    expect(agreed(jwk, join(r, 2n))).toBe(false)
    expect(agreed(jwk, join(r + 1n, 1n))).toBe(false)
  })

  test('a sum that is no point is refused, as OpenSSL does', () => {
    // Under the key −G, R = S = the digest sums to the group's zero.
    const e = Fn.create(BigInt(`0x${hash('sha256', message)}`))
    expect(agreed(parsePublicJwk(jwkOf(Point.BASE.negate().toAffine())), join(e, e))).toBe(false)
  })

  test('a key that is no point of the curve is refused', () => {
    const { x, y } = Point.BASE.toAffine()
    for (const point of [
      { x: 0n, y: 0n },
      { x, y: Fp.add(y, 1n) },
      { x: y, y: x },
    ])
      expect(() => parsePublicJwk(jwkOf(point))).toThrow(invalid)
  })
})

describe('Ed25519 at its edges', () => {
  const P = 2n ** 255n - 19n
  const encode = (y: bigint, sign = 0) => {
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => Number((y >> BigInt(8 * i)) & 255n))
    bytes[31]! |= sign << 7
    return bytes
  }
  const small = {
    identity: encode(1n),
    'order 2': encode(P - 1n),
    'order 4': encode(0n),
    'order 8': encode(littleEndian()),
  }
  const spelled = {
    'y = p': encode(P),
    'y = p + 1': encode(P + 1n),
    '-0': encode(1n, 1),
    'y = 2^255 - 1': encode(2n ** 255n - 1n),
  }

  /** A y of order 8: 26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05. */
  function littleEndian(): bigint {
    return BigInt(
      `0x${Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex').reverse().toString('hex')}`,
    )
  }

  test.each(Object.entries({ ...small, ...spelled }))('a key that is %s is refused', (_, point) => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64url(point) } as const
    expect(() => parsePublicJwk(jwk)).toThrow(invalid)
    // R = A, S = 0 verifies for a key of small order in a library that does not look.
    const forged = new Uint8Array([...point, ...new Uint8Array(32)])
    for (const text of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) expect(verifyBoth(jwk, utf8(text), forged)).toBe(false)
  })

  test('a signature whose R has a part of small order is refused, as OpenSSL does', () => {
    // With A the public key of the secret scalar a, R = rB + T for T of order 8 and S = r + ka satisfies the equation
    // that multiplies by the cofactor, and not the one that does not.
    const { jwk, message, signature } = torsionSignature({ of: 'R' })
    expect(nativeVerify(parsePublicJwk(jwk), message, signature)).toBe(false)
    expect(verifyBoth(parsePublicJwk(jwk), message, signature)).toBe(false)
  })

  test('a signature under a key that has such a part is refused, as OpenSSL does', () => {
    // No JWK has such a key; a verifier key of a note is whatever its holder prints.
    const { jwk, message, signature } = torsionSignature({ of: 'key' })
    expect(() => parsePublicJwk(jwk)).toThrow(invalid)
    expect(nativeVerify(jwk, message, signature)).toBe(false)
    expect(verifyBoth(jwk, message, signature)).toBe(false)
  })

  test('an R of small order is refused also under a key that has such a part, as OpenSSL does', () => {
    // For one message in eight, as for this one, the part of R and that of k·A cancel each other out.
    const { jwk, message, signature } = torsionSignature({ of: 'both', text: 'message 6', withoutR: true })
    expect(nativeVerify(jwk, message, signature)).toBe(false)
    expect(verifyBoth(jwk, message, signature)).toBe(false)
  })

  test('a signature whose R is the identity is refused, as OpenSSL does', () => {
    // With R = 0 the equation [S]B = [k]A needs only S = k·a, which the key's holder knows.
    const { jwk, message, signature } = torsionSignature({ of: 'none', withoutR: true })
    expect(nativeVerify(parsePublicJwk(jwk), message, signature)).toBe(false)
    expect(verifyBoth(parsePublicJwk(jwk), message, signature)).toBe(false)
  })
})

/** Affine arithmetic on edwards25519, slow and only for this. @param of what has a part of small order */
function torsionSignature({
  of,
  withoutR = false,
  text = 'message',
}: {
  of: 'R' | 'key' | 'both' | 'none'
  withoutR?: boolean
  text?: string
}) {
  const p = 2n ** 255n - 19n
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const mod = (a: bigint, m = p) => ((a % m) + m) % m
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n
    for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) if (e & 1n) result = mod(result * b)
    return result
  }
  const inverse = (a: bigint) => power(a, p - 2n)
  const d = mod(-121665n * inverse(121666n))
  type Point = [bigint, bigint]
  const add = ([x1, y1]: Point, [x2, y2]: Point): Point => {
    const t = mod(d * mod(x1 * x2) * mod(y1 * y2))
    return [mod((x1 * y2 + y1 * x2) * inverse(1n + t)), mod((y1 * y2 + x1 * x2) * inverse(1n - t))]
  }
  const times = (point: Point, n: bigint): Point => {
    let result: Point = [0n, 1n]
    for (let q = point, e = n; e > 0n; e >>= 1n, q = add(q, q)) if (e & 1n) result = add(result, q)
    return result
  }
  const bytesOf = (n: bigint) => Uint8Array.from({ length: 32 }, (_, i) => Number((n >> BigInt(8 * i)) & 255n))
  const encode = ([x, y]: Point) => bytesOf(y | ((x & 1n) << 255n))
  const littleEndian = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
  const xOf = (y: bigint): bigint => {
    const square = mod((y * y - 1n) * inverse(d * y * y + 1n))
    const x = power(square, (p + 3n) / 8n)
    return mod(x * x) === square ? x : mod(x * power(2n, (p - 1n) / 4n))
  }
  const yBase = mod(4n * inverse(5n))
  const xBase = xOf(yBase)
  const base: Point = [xBase & 1n ? p - xBase : xBase, yBase]
  const y8 = littleEndian(Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'))
  const [a, r] = [123456789n, withoutR ? 0n : 987654321n]
  const spoiled = (point: Point, what: typeof of) =>
    encode([what, 'both'].includes(of) ? add(point, [xOf(y8), y8]) : point)
  const key = spoiled(times(base, a), 'key')
  const R = spoiled(times(base, r), 'R')
  const message = utf8(text)
  const k = mod(littleEndian(new Uint8Array(hash('sha512', Buffer.concat([R, key, message]), 'buffer'))), order)
  const S = bytesOf(mod(r + k * a, order))
  const jwk: PublicJwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key) }
  return { jwk, message, signature: new Uint8Array([...R, ...S]) }
}

describe('malformed keys are refused:', () => {
  const es = signerFor('any', 'ES256').jwk as { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  const ed = signerFor('any').jwk
  const secret = createSecretKey(Buffer.alloc(32)).export({ format: 'jwk' })
  test.each([
    ['not an object', 'key'],
    ['null', null],
    ['an array', [ed]],
    ['a symmetric key', secret],
    ['another curve', { ...es, crv: 'P-384' }],
    ['another Edwards curve', { ...ed, crv: 'Ed448' }],
    ['X25519', { ...ed, crv: 'X25519' }],
    ['the wrong kty', { ...ed, kty: 'EC' }],
    ['an OKP key with y', { ...ed, y: es.y }],
    ['an EC key without y', { kty: es.kty, crv: es.crv, x: es.x }],
    ['a point off its curve', { ...es, y: es.x }],
    ['a P-256 point said to be on secp256k1', { ...es, crv: 'secp256k1' }],
    ['the point at infinity', { ...es, x: 'A'.repeat(43), y: 'A'.repeat(43) }],
    ['a coordinate with padding', { ...es, x: `${es.x}=` }],
    ['a coordinate of 31 bytes', { ...ed, x: toBase64url(new Uint8Array(31)) }],
    ['a coordinate of 33 bytes', { ...ed, x: toBase64url(new Uint8Array(33)) }],
    ['a coordinate that is no string', { ...ed, x: 7 }],
  ])('%s', (_, value) => {
    expect(() => parsePublicJwk(value)).toThrow(invalid)
  })
})
