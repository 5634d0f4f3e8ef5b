import { hexlify, Interface } from 'ethers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compileContract } from '../../scripts/artifact.ts'
import { type Chain, openChain } from '../support/chain.ts'
import { consistencyPath, inclusionPath, leafHash, nodeHash, treeRoot } from '../support/rfc9162.ts'

const MAX_SIZE = 40
const MAX_INCLUSION_SIZE = 20
/** The largest size at which every single mistake is tried too. */
const MAX_SLIP_SIZE = process.env.CI ? MAX_SIZE : 24
/** Cases in one call, so few that it stays well below the gas limit. */
const BATCH = 200

interface Consistency {
  oldSize: number
  newSize: number
  oldRoot: Uint8Array
  newRoot: Uint8Array
  path: Uint8Array[]
}
interface Inclusion {
  leaf: Uint8Array
  index: number
  size: number
  path: Uint8Array[]
  root: Uint8Array
}

const leaves = Array.from({ length: MAX_SIZE + 1 }, (_, i) => leafHash(Uint8Array.of(i)))
const roots = Array.from({ length: MAX_SIZE + 2 }, (_, size) => treeRoot(leaves.slice(0, size)))

let chain: Chain
let harness: string
let abi: Interface

beforeAll(async () => {
  const compiled = await compileContract('test/contracts/RFC9162Harness.sol', 'RFC9162Harness')
  abi = new Interface(compiled.abi as never)
  chain = await openChain()
  harness = await chain.deploy(compiled as never)
}, 30_000)
afterAll(() => chain.close())

async function call(method: string, ...args: unknown[]) {
  const data = await chain.provider.call({ to: harness, data: abi.encodeFunctionData(method, args) })
  return abi.decodeFunctionResult(method, data)[0]
}

/** Members of the harness's structs, in their order. */
const MEMBERS = {
  verifyConsistency: ['oldSize', 'newSize', 'oldRoot', 'newRoot', 'path'],
  verifyInclusion: ['leaf', 'index', 'size', 'path', 'root'],
} as const
type Method = keyof typeof MEMBERS
type Case = Consistency | Inclusion

const word = (n: number) => n.toString(16).padStart(64, '0')
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Encodes the cases as ethers' `encodeFunctionData` does, which for twenty thousand cases takes longer than all the rest. */
function encode(method: Method, cases: readonly Case[]): string {
  const members = MEMBERS[method]
  const structs = cases.map((each) => {
    let path = ''
    const head = members.map((name) => {
      const value = each[name as keyof Case] as number | Uint8Array | Uint8Array[]
      if (typeof value === 'number') return word(value)
      if (value instanceof Uint8Array) return hex(value)
      path = word(value.length) + value.map(hex).join('')
      return word(32 * members.length)
    })
    return head.join('') + path
  })
  let at = 32 * structs.length
  const offsets = structs.map((struct) => {
    const offset = word(at)
    at += struct.length / 2
    return offset
  })
  return [abi.getFunction(method)!.selector, word(32), word(structs.length), ...offsets, ...structs].join('')
}

/** The library's answers, case by case. */
async function answers(method: Method, cases: readonly Case[]): Promise<boolean[]> {
  const all: boolean[] = []
  for (let i = 0; i < cases.length; i += BATCH) {
    const data = encode(method, cases.slice(i, i + BATCH))
    const answer = (await chain.provider.send('eth_call', [{ to: harness, data }, 'latest'])) as string
    all.push(...abi.decodeFunctionResult(method, answer)[0])
  }
  return all
}

const flip = (hash: Uint8Array, bit: number) => hash.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))

/** Every path that one mistake makes of this one: a bit flipped; a hash lost, added or doubled; two neighbours exchanged. */
function slips(path: Uint8Array[]): Uint8Array[][] {
  const other = leafHash(Uint8Array.of(255))
  return [
    [...path, other],
    [other, ...path],
    ...path.flatMap((hash, i) => [
      path.with(i, flip(hash, (i * 37 + path.length * 101) % 256)),
      path.toSpliced(i, 1),
      path.toSpliced(i, 0, hash),
      ...(i === 0 ? [] : [path.with(i, path[i - 1]!).with(i - 1, hash)]),
    ]),
  ]
}

/** The sides on which the hashes of a path are joined. A path cannot tell apart sizes with the same shape. */
function inclusionShape(index: number, size: number): string {
  if (size === 1) return ''
  let k = 1
  while (k * 2 < size) k *= 2
  return index < k ? `${inclusionShape(index, k)}r` : `${inclusionShape(index - k, size - k)}l`
}

function consistencyShape(oldSize: number, newSize: number, known = true): string {
  if (oldSize === newSize) return known ? '' : 'x'
  let k = 1
  while (k * 2 < newSize) k *= 2
  return oldSize <= k
    ? `${consistencyShape(oldSize, k, known)}r`
    : `${consistencyShape(oldSize - k, newSize - k, false)}l`
}

const allTrue = (n: number) => Array.from({ length: n }, () => true)
const allFalse = (n: number) => Array.from({ length: n }, () => false)

test('cases are encoded as ethers encodes them', () => {
  const [a, b, c] = [leaves[0]!, leaves[1]!, leaves[2]!]
  const consistency = [1, 2].map((n) => ({ oldSize: n, newSize: 3, oldRoot: a, newRoot: b, path: [a, b, c].slice(n) }))
  const inclusion = [1, 3].map((n) => ({ leaf: a, index: n, size: 2 ** 40 + n, path: [b, c, a].slice(n), root: c }))
  expect(encode('verifyConsistency', consistency)).toBe(abi.encodeFunctionData('verifyConsistency', [consistency]))
  expect(encode('verifyInclusion', inclusion)).toBe(abi.encodeFunctionData('verifyInclusion', [inclusion]))
})

describe('hashing', () => {
  test('is that of the RFC, with separate domains for leaves and nodes', async () => {
    expect(await call('emptyRoot')).toBe(hexlify(treeRoot([])))
    for (const length of [0, 1, 31, 32, 33, 64, 65, 1000]) {
      const entry = new Uint8Array(length).fill(7)
      expect(await call('leafHash', entry)).toBe(hexlify(leafHash(entry)))
    }
    expect(await call('nodeHash', leaves[0], leaves[1])).toBe(hexlify(nodeHash(leaves[0]!, leaves[1]!)))
  })
})

describe('consistency', () => {
  const trueCases: Consistency[] = []
  for (let newSize = 0; newSize <= MAX_SIZE; newSize++) {
    for (let oldSize = 0; oldSize <= newSize; oldSize++) {
      const path = consistencyPath(leaves.slice(0, newSize), oldSize)
      trueCases.push({ oldSize, newSize, oldRoot: roots[oldSize]!, newRoot: roots[newSize]!, path })
    }
  }
  const upToSlips = trueCases.filter(({ newSize }) => newSize <= MAX_SLIP_SIZE)
  const grown = upToSlips.filter(({ oldSize, newSize }) => 0 < oldSize && oldSize < newSize)

  test(`every pair of sizes up to ${MAX_SIZE} is accepted with its path`, async () => {
    expect(await answers('verifyConsistency', trueCases)).toEqual(allTrue(trueCases.length))
  })

  test('no mistake in a path, a root or a size is accepted', async () => {
    const wrong = upToSlips.flatMap((c) => [
      ...slips(c.path).map((path) => ({ ...c, path })),
      { ...c, oldRoot: flip(c.oldRoot, c.newSize) },
      ...(c.oldSize === 0 ? [] : [{ ...c, newRoot: flip(c.newRoot, c.newSize) }]),
      ...(c.oldSize < c.newSize ? [{ ...c, oldSize: c.newSize, newSize: c.oldSize }] : []),
      { ...c, oldSize: c.newSize + 1 },
    ])
    expect(wrong.length).toBeGreaterThan(5_000)
    expect(await answers('verifyConsistency', wrong)).toEqual(allFalse(wrong.length))
  }, 30_000)

  test('sizes are told apart exactly as far as the shape of their paths differs', async () => {
    const resized = grown.flatMap((c) =>
      [-2, -1, 1, 2].flatMap((d) => [
        { case: { ...c, newSize: c.newSize + d }, shape: consistencyShape(c.oldSize, c.newSize) },
        { case: { ...c, oldSize: c.oldSize + d }, shape: consistencyShape(c.oldSize, c.newSize) },
      ]),
    )
    const possible = resized.filter(({ case: c }) => 0 < c.oldSize && c.oldSize < c.newSize)
    const expected = possible.map(({ case: c, shape }) => consistencyShape(c.oldSize, c.newSize) === shape)
    expect(
      await answers(
        'verifyConsistency',
        possible.map((p) => p.case),
      ),
    ).toEqual(expected)
    expect(new Set(expected)).toEqual(new Set([true, false]))
  }, 30_000)

  test('a fork is not an extension', async () => {
    const forks = grown.map((c) => {
      const forked = leaves.slice(0, c.newSize).with(c.oldSize - 1, leafHash(Uint8Array.of(254)))
      return { ...c, newRoot: treeRoot(forked), path: consistencyPath(forked, c.oldSize) }
    })
    expect(await answers('verifyConsistency', forks)).toEqual(allFalse(forks.length))
  })
})

describe('inclusion', () => {
  const trueCases: Inclusion[] = []
  for (let size = 1; size <= MAX_INCLUSION_SIZE; size++) {
    for (let index = 0; index < size; index++) {
      const path = inclusionPath(leaves.slice(0, size), index)
      trueCases.push({ leaf: leaves[index]!, index, size, path, root: roots[size]! })
    }
  }

  test(`every leaf of every tree up to ${MAX_INCLUSION_SIZE} is accepted with its path`, async () => {
    expect(await answers('verifyInclusion', trueCases)).toEqual(allTrue(trueCases.length))
  })

  test('no mistake in a path, the leaf, its index or the root is accepted', async () => {
    const wrong = trueCases.flatMap((c) => [
      ...slips(c.path).map((path) => ({ ...c, path })),
      { ...c, leaf: flip(c.leaf, c.index) },
      { ...c, root: flip(c.root, c.size) },
      { ...c, index: c.size },
      ...Array.from({ length: c.size }, (_, index) => ({ ...c, index })).filter(({ index }) => index !== c.index),
    ])
    expect(await answers('verifyInclusion', wrong)).toEqual(allFalse(wrong.length))
  })

  test('an inner node does not pass as a leaf', async () => {
    // Leaves 0 and 1 under one node: taken for the first leaf of a tree of three, that node needs a path of one hash.
    const inner = nodeHash(leaves[0]!, leaves[1]!)
    const forged = { leaf: leafHash(Buffer.concat([leaves[0]!, leaves[1]!])), index: 0, path: [leaves[2]!] }
    const cases = [2, 3].map((size) => ({ ...forged, size, root: roots[3]! }))
    expect(await answers('verifyInclusion', cases)).toEqual([false, false])
    // The node's bare hash, which no entry has, passes only at the wrong size; an anchor fixes the size together with the root.
    const bare = [2, 3].map((size) => ({ ...forged, leaf: inner, size, root: roots[3]! }))
    expect(await answers('verifyInclusion', bare)).toEqual([true, false])
  })

  test('sizes are told apart exactly as far as the shape of their paths differs', async () => {
    const resized = trueCases.flatMap((c) =>
      Array.from({ length: MAX_INCLUSION_SIZE }, (_, i) => ({
        ...c,
        size: i + 1,
        shape: inclusionShape(c.index, c.size),
      })),
    )
    const expected = resized.map((c) => c.index < c.size && inclusionShape(c.index, c.size) === c.shape)
    expect(await answers('verifyInclusion', resized)).toEqual(expected)
  })
})
