import {
  asHash,
  EMPTY_ROOT,
  type Hash,
  InvariantError,
  leafHash,
  type Node,
  nodeHash,
  type Plan,
  planConsistency,
  planInclusion,
  planRoot,
  rootFromInclusion,
  sha256,
  TILE_WIDTH,
  tileOf,
  treeRoot,
  utf8,
  verifyConsistency,
  verifyInclusion,
  verifySignature,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { leftOf } from '../../../sdk/src/core/merkle.ts'
import * as reference from '../../support/rfc9162.ts'

const numRuns = process.env.CI ? 1000 : 100
const LEAVES = Array.from({ length: 300 }, (_, i) => leafHash(utf8(`leaf ${i}`)))
const first = (size: number) => LEAVES.slice(0, size)
/** The root of the first so many leaves. */
const ROOTS = Array.from({ length: LEAVES.length + 1 }, (_, size) => reference.treeRoot(first(size)))
const hexes = (hashes: readonly Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString('hex'))

/** The hash of each perfect subtree, by its level and index. */
const PERFECT = Array.from({ length: Math.floor(Math.log2(LEAVES.length)) + 1 }, (_, level) =>
  Array.from({ length: Math.floor(LEAVES.length / 2 ** level) }, (_, index) =>
    asHash(reference.treeRoot(LEAVES.slice(index * 2 ** level, (index + 1) * 2 ** level))),
  ),
)

/** A store of tiles: each hash of a perfect subtree, read as the service reads it. */
function run<T>(plan: Plan<T>, size: number): T {
  const hashAt = (level: number, index: number): Hash => {
    expect((index + 1) * 2 ** level).toBeLessThanOrEqual(size)
    return PERFECT[level]![index]!
  }
  const read = (node: Node) => {
    const { level, index, start, width } = tileOf(node)
    expect(start + width).toBeLessThanOrEqual(TILE_WIDTH)
    const hashes = Array.from({ length: width }, (_, i) => hashAt(level * 8, index * TILE_WIDTH + start + i))
    return treeRoot(hashes)
  }
  return plan.fold(plan.nodes.map(read))
}

const sizes = fc.integer({ min: 1, max: LEAVES.length })
const leafOfTree = sizes.chain((size) => fc.record({ size: fc.constant(size), index: fc.nat(size - 1) }))
const twoSizes = sizes.chain((size) => fc.record({ size: fc.constant(size), oldSize: fc.nat(size) }))

test('the left siblings in a leaf’s path hash to the tree before it and, with the leaf, to the tree up to it', () => {
  for (let size = 1; size <= 40; size++)
    for (let index = 0; index < size; index++) {
      const path = reference.inclusionPath(first(size), index).map(asHash)
      expect(hexes([leftOf(index, size, path)!])).toEqual(hexes([ROOTS[index]!]))
      expect(hexes([leftOf(index, size, path, LEAVES[index])!])).toEqual(hexes([ROOTS[index + 1]!]))
      if (path.length > 0) expect(leftOf(index, size, path.slice(1))).toBeNull()
      expect(leftOf(index, size, [...path, LEAVES[0]!])).toBeNull()
    }
  expect(leftOf(1, 1, [])).toBeNull()
})

describe('plans and roots agree with RFC 9162 as written', () => {
  test('roots', () => {
    for (let size = 0; size <= 70; size++) {
      const root = hexes([ROOTS[size]!])
      expect(hexes([treeRoot(first(size))])).toEqual(root)
      expect(hexes([run(planRoot(size), size)])).toEqual(root)
    }
  })

  test('inclusion', () => {
    fc.assert(
      fc.property(leafOfTree, ({ size, index }) => {
        const plan = planInclusion(index, size)
        expect(plan.nodes.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size)) + 1)
        const path = run(plan, size)
        expect(hexes(path)).toEqual(hexes(reference.inclusionPath(first(size), index)))
        const claim = { leafHash: LEAVES[index]!, index, size, path, root: ROOTS[size]! }
        expect(verifyInclusion(claim)).toBe(true)
        expect(verifyInclusion({ ...claim, index: BigInt(index), size: BigInt(size) })).toBe(true)
      }),
      { numRuns },
    )
  })

  test('consistency', () => {
    fc.assert(
      fc.property(twoSizes, ({ size, oldSize }) => {
        const path = run(planConsistency(oldSize, size), size)
        expect(hexes(path)).toEqual(hexes(reference.consistencyPath(first(size), oldSize)))
        const roots = { oldRoot: ROOTS[oldSize]!, newRoot: ROOTS[size]! }
        expect(verifyConsistency({ oldSize, newSize: size, ...roots, path })).toBe(true)
      }),
      { numRuns },
    )
  })

  test('consistency of every pair up to 16, and no other root', () => {
    for (let size = 1; size <= 16; size++) {
      const newRoot = ROOTS[size]!
      for (let oldSize = 0; oldSize <= size; oldSize++) {
        const path = reference.consistencyPath(first(size), oldSize)
        const oldRoot = ROOTS[oldSize]!
        const claim = { oldSize, newSize: size, oldRoot, newRoot, path }
        expect(verifyConsistency(claim)).toBe(true)
        expect(verifyConsistency({ ...claim, oldRoot: sha256(utf8('x')) })).toBe(false)
        if (oldSize > 0) expect(verifyConsistency({ ...claim, newRoot: sha256(utf8('x')) })).toBe(false)
      }
    }
  })

  test('a plan refuses a store that lost a node, and an index outside the tree', () => {
    for (const plan of [planRoot(7), planInclusion(2, 7), planConsistency(3, 7)]) {
      expect(() => (plan as Plan<unknown>).fold(LEAVES.slice(0, plan.nodes.length - 1))).toThrow(InvariantError)
    }
    expect(() => planInclusion(7, 7)).toThrow(InvariantError)
    expect(() => planConsistency(8, 7)).toThrow(InvariantError)
  })

  test('plans reach the largest size of the service', () => {
    const size = Number.MAX_SAFE_INTEGER
    expect(planRoot(size).nodes).toHaveLength(53)
    expect(planInclusion(size - 1, size).fold(LEAVES.slice(0, 52))).toHaveLength(52)
  })
})

test('no node passes as a leaf, and the last leaf is not doubled', () => {
  const [a, b, c] = LEAVES as [Hash, Hash, Hash]
  expect(treeRoot([a, b, c])).not.toEqual(treeRoot([a, b, c, c]))
  expect(leafHash(Buffer.concat([a, b]))).not.toEqual(nodeHash(a, b))
  expect(nodeHash(a, b)).not.toEqual(nodeHash(b, a))
  expect(treeRoot([])).toEqual(EMPTY_ROOT)
})

test('any single change to an inclusion claim breaks it', () => {
  fc.assert(
    fc.property(leafOfTree, fc.nat(), fc.nat(255), ({ size, index }, at, bit) => {
      const path = reference.inclusionPath(first(size), index)
      const claim = { leafHash: LEAVES[index]!, index, size, path, root: ROOTS[size]! }
      const flip = (bytes: Uint8Array) => bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      const other = at % size
      expect(verifyInclusion({ ...claim, index: other })).toBe(other === index)
      expect(verifyInclusion({ ...claim, leafHash: flip(claim.leafHash) })).toBe(false)
      expect(verifyInclusion({ ...claim, root: flip(claim.root) })).toBe(false)
      expect(verifyInclusion({ ...claim, path: [...path, EMPTY_ROOT] })).toBe(false)
      if (path.length === 0) return
      expect(verifyInclusion({ ...claim, path: path.slice(1) })).toBe(false)
      const changed = path.map((hash, i) => (i === at % path.length ? flip(hash) : hash))
      expect(verifyInclusion({ ...claim, path: changed })).toBe(false)
    }),
    { numRuns },
  )
})

describe('booleans never throw', () => {
  const hash = leafHash(utf8('x'))
  const revoked = Proxy.revocable([], {})
  revoked.revoke()
  const trap = new Proxy(hash, {
    get() {
      throw new Error('trap')
    },
  })
  const nasty = [
    ...[undefined, null, true, 0, -1, -0, 0.5, Number.NaN, Infinity, 2 ** 53, 2 ** 64, 1n, -1n, 2n ** 64n, '', '1'],
    ...[
      {},
      [],
      [hash],
      [null],
      [[hash]],
      new Array(1),
      new Array(3),
      new Array(65),
      Array(66).fill(hash),
      revoked.proxy,
    ],
    ...[
      hash,
      hash.slice(1),
      new Uint8Array(33),
      new Uint16Array(32),
      new ArrayBuffer(32),
      Object.create(Uint8Array.prototype),
    ],
    ...[trap, [trap], Symbol('x'), () => hash, new Date(), /x/, new Map(), Object.create(null), { length: 32 }],
    { valueOf: () => 1 },
    {
      get root(): never {
        throw new Error('getter')
      },
    },
  ]
  /** Other values make the test tool itself throw. */
  const isTame = (value: unknown) =>
    value !== revoked.proxy && value !== trap && !(Array.isArray(value) && value[0] === trap)
  const garbage = fc.oneof(fc.constantFrom<unknown[]>(...nasty.filter(isTame)), fc.anything())
  const isBoolean = (value: unknown): void => {
    expect(typeof value).toBe('boolean')
  }

  test('verifyInclusion and rootFromInclusion', () => {
    const good = { leafHash: hash, index: 0, size: 1, path: [], root: hash }
    expect(verifyInclusion(good)).toBe(true)
    for (const value of nasty) {
      isBoolean(verifyInclusion(value as never))
      for (const name of ['leafHash', 'size', 'path', 'root']) {
        const answer = verifyInclusion({ ...good, [name]: value })
        expect(answer).toBe(name === 'size' ? value === 1n : name === 'path' ? isEmpty(value) : value === hash)
      }
      expect(verifyInclusion({ ...good, index: value as never })).toBe(Object.is(value, 0) || Object.is(value, -0))
      const deep = { ...good, index: 1, size: 3, path: value as never }
      expect(verifyInclusion(deep)).toBe(false)
    }
    const any = fc.record({ leafHash: garbage, index: garbage, size: garbage, path: garbage, root: garbage })
    fc.assert(
      fc.property(fc.oneof(garbage, any), (claim) => isBoolean(verifyInclusion(claim as never))),
      { numRuns },
    )
    fc.assert(
      fc.property(garbage, garbage, garbage, garbage, (leaf, index, size, path) => {
        const root = rootFromInclusion(leaf as never, index as never, size as never, path as never)
        expect(root === null || root instanceof Uint8Array).toBe(true)
      }),
      { numRuns },
    )
  })

  test('verifyConsistency', () => {
    const good = { oldSize: 1, newSize: 1, oldRoot: hash, newRoot: hash, path: [] }
    expect(verifyConsistency(good)).toBe(true)
    for (const value of nasty) {
      isBoolean(verifyConsistency(value as never))
      for (const name of Object.keys(good)) isBoolean(verifyConsistency({ ...good, [name]: value }))
      expect(verifyConsistency({ ...good, oldSize: 3, newSize: 7, path: value as never })).toBe(false)
    }
    const any = fc.record({ oldSize: garbage, newSize: garbage, oldRoot: garbage, newRoot: garbage, path: garbage })
    fc.assert(
      fc.property(fc.oneof(garbage, any), (claim) => isBoolean(verifyConsistency(claim as never))),
      { numRuns },
    )
  })

  test('verifySignature', () => {
    for (const value of nasty) {
      expect(verifySignature(value as never, hash, new Uint8Array(64))).toBe(false)
      expect(verifySignature({ kty: 'OKP', crv: value, x: 'AA' } as never, hash, new Uint8Array(64))).toBe(false)
      expect(verifySignature({ kty: 'OKP', crv: 'Ed25519', x: value } as never, hash, new Uint8Array(64))).toBe(false)
      expect(verifySignature({ kty: 'EC', crv: 'P-256', x: value, y: value } as never, hash, hash)).toBe(false)
    }
    fc.assert(
      fc.property(garbage, garbage, garbage, (jwk, message, signature) => {
        expect(verifySignature(jwk as never, message as never, signature as never)).toBe(false)
      }),
      { numRuns },
    )
  })

  function isEmpty(value: unknown): boolean {
    try {
      return Array.isArray(value) && value.length === 0
    } catch {
      return false
    }
  }
})
