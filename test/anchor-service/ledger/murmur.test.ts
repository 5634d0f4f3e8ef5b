import { expect, test } from 'vitest'
import { murmur3 } from '../../../anchor-service/src/ledger/murmur.ts'

// Values of the reference implementation, as they are published with other implementations.
test.each([
  ['', 0, 0],
  ['', 1, 0x514e28b7],
  ['', 0xffffffff, 0x81f16f39],
  ['test', 0, 0xba6bd213],
  ['test', 0x9747b28c, 0x704b81dc],
  ['Hello, world!', 0, 0xc0363e43],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
  ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ['aaaa', 0x9747b28c, 0x5a97808a],
  ['aaa', 0x9747b28c, 0x283e0130],
  ['aa', 0x9747b28c, 0x5d211726],
  ['a', 0x9747b28c, 0x7fa09ea6],
  ['\u03c0\u03c0\u03c0\u03c0\u03c0\u03c0\u03c0\u03c0', 0x9747b28c, 0xd58063c1],
])('MurmurHash3 x86_32 of %j under %i', (text, seed, value) => {
  const bytes = Buffer.from(`..${text}..`)
  expect(murmur3(bytes, 2, bytes.length - 2, seed) >>> 0).toBe(value)
})
