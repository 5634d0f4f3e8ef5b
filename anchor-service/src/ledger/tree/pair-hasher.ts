/**
 * Parents of tree nodes, SHA-256(0x01 ‖ left ‖ right) (RFC 9162 §2.1.1), four at a time with the vector instructions of
 * WebAssembly (FIPS 180-4 §6.2.2 in each of four lanes): a call of Node's own hash costs more than the hashing of so few bytes,
 * docs/decisions/0008-native-cryptography.md.
 * The module is put together here, instruction by instruction, from the standard's own loops.
 */

/** Bytes of a WebAssembly module (WebAssembly Core Specification, chapter 5). */
type Code = readonly number[]

const leb = (value: number): Code => (value < 128 ? [value] : [(value % 128) | 128, ...leb(Math.floor(value / 128))])
const sleb = (value: number): Code => {
  const isLast = value >= -64 && value < 64
  return isLast ? [value & 127] : [(value & 127) | 128, ...sleb(value >> 7)]
}
const list = (items: readonly Code[]): Code => [...leb(items.length), ...items.flat()]
const section = (id: number, content: Code): Code => [id, ...leb(content.length), ...content]

const get = (local: number): Code => [0x20, ...leb(local)]
const set = (local: number): Code => [0x21, ...leb(local)]
const i32 = (value: number): Code => [0x41, ...sleb(value)]
const vector = (opcode: number): Code => [0xfd, ...leb(opcode)]
const words = (value: number): Code => [
  ...vector(0x0c),
  ...Array.from({ length: 16 }, (_, i) => (value >>> (8 * (i % 4))) & 255),
]
const SHL = vector(0xab)
const SHR = vector(0xad)
const ADD = vector(0xae)
const OR = vector(0x50)
const XOR = vector(0x51)
/** Of the first where the third has ones, else of the second. */
const SELECT = vector(0x52)
/** From big-endian words to the machine's, and back. */
const swap = (x: number): Code => [
  ...get(x),
  ...get(x),
  ...vector(0x0d),
  3,
  2,
  1,
  0,
  7,
  6,
  5,
  4,
  11,
  10,
  9,
  8,
  15,
  14,
  13,
  12,
]
/** Word `lane` of a vector from or to an address; alignment 1. */
const loadLane = (offset: number, lane: number): Code => [...vector(0x56), 0, ...leb(offset), lane]
const storeLane = (offset: number, lane: number): Code => [...vector(0x5a), 0, ...leb(offset), lane]

const shr = (x: number, n: number): Code => [...get(x), ...i32(n), ...SHR]
const rotr = (x: number, n: number): Code => [...shr(x, n), ...get(x), ...i32(32 - n), ...SHL, ...OR]
const xor3 = (x: Code, y: Code, z: Code): Code => [...x, ...y, ...XOR, ...z, ...XOR]

/** The first 32 bits of the fractional parts of the square (cube) roots of the first primes (FIPS 180-4 §4.2.2, §5.3.3). */
const PRIMES = Array.from({ length: 310 }, (_, i) => i + 2).filter((n) => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
})
/** Exactly, in integers: the root of n · 2^(32·degree), without its whole part. */
function rootBits(n: number, degree: bigint): number {
  const target = BigInt(n) << (32n * degree)
  let root = 0n
  for (let bit = 1n << 40n; bit > 0n; bit >>= 1n) if ((root + bit) ** degree <= target) root += bit
  return Number(root & 0xffffffffn)
}
const IV = PRIMES.slice(0, 8).map((prime) => rootBits(prime, 2n))
const K = PRIMES.slice(0, 64).map((prime) => rootBits(prime, 3n))

// Locals: where the nodes are, where their parents go, how many fours there are, which block it is; then vectors.
const [FROM, TO, FOURS, BLOCK] = [0, 1, 2, 3]
const STATE = 4
const SUM = 12
const W = 20
const T1 = 36

/** Words of the first block: 0x01, and 63 bytes of the two nodes, which begin one byte off a word. */
function firstBlock(): Code {
  return Array.from({ length: 16 }, (_, t) => {
    const at = t === 0 ? 0 : 4 * t - 1
    const lanes = [0, 1, 2, 3].flatMap((lane) => [
      ...get(FROM),
      ...get(W + t),
      ...loadLane(at + 64 * lane, lane),
      ...set(W + t),
    ])
    const swapped = [...lanes, ...swap(W + t)]
    return t > 0 ? [...swapped, ...set(W + t)] : [...swapped, ...i32(8), ...SHR, ...words(0x01000000), ...OR, ...set(W)]
  }).flat()
}

/** Words of the second block: the last byte, the bit behind it, and the length, 520 bits. */
function secondBlock(): Code {
  const lanes = [0, 1, 2, 3].flatMap((lane) => [...get(FROM), ...get(W), ...loadLane(60 + 64 * lane, lane), ...set(W)])
  const word = [...swap(W), ...i32(24), ...SHL, ...words(0x00800000), ...OR, ...set(W)]
  const zeros = Array.from({ length: 14 }, (_, i) => [...words(0), ...set(W + 1 + i)]).flat()
  return [...lanes, ...word, ...zeros, ...words(520), ...set(W + 15)]
}

/** The 64 rounds; the eight variables change names instead of values. */
function rounds(): Code {
  let names = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => STATE + i)
  const code: number[] = []
  for (let t = 0; t < 64; t++) {
    const [a, b, c, d, e, f, g, h] = names as [number, number, number, number, number, number, number, number]
    const w = W + (t % 16)
    if (t >= 16) {
      const [w15, w2, w7] = [W + ((t - 15) % 16), W + ((t - 2) % 16), W + ((t - 7) % 16)]
      const small0 = xor3(rotr(w15, 7), rotr(w15, 18), shr(w15, 3))
      const small1 = xor3(rotr(w2, 17), rotr(w2, 19), shr(w2, 10))
      code.push(...get(w), ...small0, ...ADD, ...get(w7), ...ADD, ...small1, ...ADD, ...set(w))
    }
    const big1 = xor3(rotr(e, 6), rotr(e, 11), rotr(e, 25))
    const choice = [...get(f), ...get(g), ...get(e), ...SELECT]
    code.push(...get(h), ...big1, ...ADD, ...choice, ...ADD, ...words(K[t]!), ...ADD, ...get(w), ...ADD, ...set(T1))
    const big0 = xor3(rotr(a, 2), rotr(a, 13), rotr(a, 22))
    const majority = [...get(c), ...get(a), ...get(a), ...get(b), ...XOR, ...SELECT]
    code.push(...get(d), ...get(T1), ...ADD, ...set(d))
    code.push(...get(T1), ...big0, ...ADD, ...majority, ...ADD, ...set(h))
    names = [h, a, b, c, d, e, f, g]
  }
  return code
}

function makeModule(): Uint8Array<ArrayBuffer> {
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  const begin = eight.flatMap((i) => [...words(IV[i]!), ...set(SUM + i)])
  const before = eight.flatMap((i) => [...get(SUM + i), ...set(STATE + i)])
  const after = eight.flatMap((i) => [...get(SUM + i), ...get(STATE + i), ...ADD, ...set(SUM + i)])
  const store = eight.flatMap((i) => [
    ...[...swap(SUM + i), ...set(SUM + i)],
    ...[0, 1, 2, 3].flatMap((lane) => [...get(TO), ...get(SUM + i), ...storeLane(32 * lane + 4 * i, lane)]),
  ])
  const add = (local: number, value: number): Code => [...get(local), ...i32(value), 0x6a, ...set(local)]
  const body = [
    ...[0x03, 0x40, ...firstBlock(), ...begin, ...i32(0), ...set(BLOCK)],
    ...[0x03, 0x40, ...before, ...rounds(), ...after],
    // Once more, with the second block.
    ...[...get(BLOCK), 0x45, 0x04, 0x40, ...secondBlock(), ...i32(1), ...set(BLOCK), 0x0c, 0x01, 0x0b, 0x0b],
    ...[...store, ...add(FROM, 256), ...add(TO, 128), ...add(FOURS, -1)],
    ...[...get(FOURS), 0x0d, 0x00, 0x0b, 0x0b],
  ]
  const locals = list([
    [1, 0x7f],
    [T1 + 1 - STATE, 0x7b],
  ])
  const code = [...locals, ...body]
  const name = (text: string) => list([...Buffer.from(text)].map((byte) => [byte]))
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list([[0x60, ...list([[0x7f], [0x7f], [0x7f]]), 0]])),
    ...section(3, list([[0]])),
    ...section(5, list([[0x00, 1]])),
    ...section(
      7,
      list([
        [...name('memory'), 0x02, 0],
        [...name('hash'), 0x00, 0],
      ]),
    ),
    ...section(10, list([[...leb(code.length), ...code]])),
  ])
}

const PAGE = 65_536

type Memory = { readonly buffer: ArrayBuffer; grow(pages: number): number }
type Exports = { memory: Memory; hash: (from: number, to: number, fours: number) => void }
// TypeScript has its types with those of browsers only.
type WebAssembly = {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object) => { exports: Exports }
}
const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssembly }).WebAssembly
const { memory, hash } = new Instance(new Module(makeModule())).exports

/** A tree's level, which gives way to the one above it. All trees share the memory: one is finished before the next begins. */
export class HashLevel {
  count: number
  #bytes: Buffer

  /** @param leaves 32 bytes each */
  constructor(leaves: Uint8Array) {
    this.count = leaves.length / 32
    // Four are always hashed: behind the last there may be others, which nobody looks at.
    const lacking = leaves.length + 256 - memory.buffer.byteLength
    if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE))
    this.#bytes = Buffer.from(memory.buffer)
    this.#bytes.set(leaves)
  }

  /** 32 bytes to a node; what is not copied is gone with the next step. */
  get nodes(): Buffer {
    return this.#bytes.subarray(0, 32 * this.count)
  }

  /** Of each two nodes the parent; one that is left over goes up as it is. */
  climb(): void {
    const pairs = this.count >> 1
    const left = this.count % 2 === 1 ? Buffer.from(this.#bytes.subarray(64 * pairs, 64 * pairs + 32)) : null
    if (pairs > 0) hash(0, 0, Math.ceil(pairs / 4))
    if (left !== null) this.#bytes.set(left, 32 * pairs)
    this.count = pairs + (left === null ? 0 : 1)
  }
}
