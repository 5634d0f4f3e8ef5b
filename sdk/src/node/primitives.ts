// Core's primitives with Node's built-in functions, two to six times as fast as the portable ones:
// docs/decisions/0008-native-cryptography.md.
import crypto from 'node:crypto'
import { fromUtf8 } from '../core/bytes.ts'
import type { Hash } from '../core/hash.ts'
import type { Primitives } from '../core/primitives.ts'

// Not imported by its name: on a Node without it, the import itself would fail before version.ts could say so.
const { hash } = crypto

// hash() takes a string or a buffer and returns a string or a buffer. From a buffer to a string is the fastest way, so
// everything short is written into this buffer first.
const scratch = Buffer.alloc(32_768)
/** The longest text that fits after a prefix; a character has at most three bytes. */
const FITS = 10_922

/** Writes the text's UTF-8 into `scratch` from `at` on. @returns where it ends */
const put = (text: string, at: number): number => at + scratch.write(text, at, 'utf8')

/** The bytes of base64url, or null. Buffer skips other characters, so a text is canonical if Buffer prints it back unchanged. */
function decode(base64url: string): Buffer | null {
  const fits = base64url.length <= FITS
  const bytes = fits ? scratch.subarray(0, scratch.write(base64url, 'base64url')) : Buffer.from(base64url, 'base64url')
  return bytes.toString('base64url') === base64url ? bytes : null
}

function toHash(latin1: string): Hash {
  const bytes = new Uint8Array(32)
  for (let i = 0; i < 32; i++) bytes[i] = latin1.charCodeAt(i)
  return bytes as Hash
}

/** `Primitives` with Node's built-in functions: for `parseBatch`, `readBatch` and `parseEvent`, if there is much to read. */
export const nodePrimitives: Primitives = {
  ascii: (text) => Buffer.from(text, 'latin1'),
  digest: (text) => hash('sha256', text.length > FITS ? text : scratch.subarray(0, put(text, 0)), 'base64url'),
  leafHash(text) {
    if (text.length > FITS) return toHash(hash('sha256', `\0${text}`, 'binary'))
    scratch[0] = 0x00
    return toHash(hash('sha256', scratch.subarray(0, put(text, 1)), 'binary'))
  },
  nodeHash(left, right) {
    scratch[0] = 0x01
    scratch.set(left, 1)
    scratch.set(right, 33)
    return toHash(hash('sha256', scratch.subarray(0, 65), 'binary'))
  },
  decode(base64url) {
    const bytes = decode(base64url)
    return bytes && new Uint8Array(bytes)
  },
  decodeText(base64url) {
    const bytes = decode(base64url)
    if (bytes === null) return null
    const text = bytes.toString('utf8')
    // The decoder writes U+FFFD for bytes that are not UTF-8; the text may also hold that character itself.
    return text.includes('\ufffd') ? fromUtf8(bytes) : text
  },
}
