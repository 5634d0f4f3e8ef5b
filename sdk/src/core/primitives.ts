/**
 * The operations that take most of the time when a batch is parsed. The portable ones below run everywhere. A caller that parses
 * a lot can pass its platform's own, which must give the same answers (a property test compares them).
 */
import { fromBase64url, fromUtf8, utf8 } from './bytes.ts'
import { type Hash, leafHash, nodeHash, printHash, sha256 } from './hash.ts'

/** The operations that take most of the time when a batch is read. A platform's own must give the same answers. */
export type Primitives = {
  /** The bytes of an ASCII text. */
  readonly ascii: (text: string) => Uint8Array
  /** SHA-256 of a text's UTF-8, base64url. */
  readonly digest: (text: string) => string
  /** RFC 9162 leaf hash of a text's UTF-8. */
  readonly leafHash: (text: string) => Hash
  /** RFC 9162 hash of an inner node. */
  readonly nodeHash: (left: Uint8Array, right: Uint8Array) => Hash
  /** Bytes of canonical, unpadded base64url, or null. */
  readonly decode: (base64url: string) => Uint8Array | null
  /** The text whose UTF-8 the canonical base64url holds, or null. */
  readonly decodeText: (base64url: string) => string | null
}

/** Into memory of its own a text is encoded several times as fast as into new memory, where it is hashed only. */
const scratch = new Uint8Array(32_768)
/** The longest text that fits; a character has at most three bytes. */
const FITS = 10_922
const encoder = new TextEncoder()
const encoded = (text: string): Uint8Array =>
  text.length > FITS ? utf8(text) : scratch.subarray(0, encoder.encodeInto(text, scratch).written)

/** More arguments than this a function may not take. */
const MOST_ARGUMENTS = 4_096

/** Text of bytes that are mostly few and ASCII. */
function decoded(bytes: Uint8Array): string | null {
  if (bytes.length > MOST_ARGUMENTS) return fromUtf8(bytes)
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 0x7f) return fromUtf8(bytes)
  return String.fromCharCode.apply(null, bytes as unknown as number[])
}

export const PORTABLE: Primitives = {
  ascii: utf8,
  digest: (text) => printHash(sha256(encoded(text))),
  leafHash: (text) => leafHash(encoded(text)),
  nodeHash,
  decode: fromBase64url,
  decodeText(base64url) {
    const bytes = fromBase64url(base64url)
    return bytes === null ? null : decoded(bytes)
  },
}
