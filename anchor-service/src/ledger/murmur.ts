const C1 = 0xcc9e2d51
const C2 = 0x1b873593

/**
 * MurmurHash3 x86_32 (Austin Appleby, public domain) of `bytes[from, to)`, as a number with a sign: spreads texts evenly, in a
 * tenth of the time of SHA-256, and keeps nobody from finding two with the same value.
 */
export function murmur3(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let hash = seed
  let i = from
  for (; i + 4 <= to; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    hash ^= scramble(word)
    hash = Math.imul(rotate(hash, 13), 5) + 0xe6546b64
  }
  let rest = 0
  for (let k = to - 1; k >= i; k--) rest = (rest << 8) | bytes[k]!
  hash ^= scramble(rest)
  hash ^= to - from
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

const scramble = (word: number) => Math.imul(rotate(Math.imul(word, C1), 15), C2)
const rotate = (word: number, bits: number) => (word << bits) | (word >>> (32 - bits))
