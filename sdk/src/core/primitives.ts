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

export const PORTABLE: Primitives = {
  ascii: utf8,
  digest: (text) => printHash(sha256(utf8(text))),
  leafHash: (text) => leafHash(utf8(text)),
  nodeHash,
  decode: fromBase64url,
  decodeText(base64url) {
    const bytes = fromBase64url(base64url)
    return bytes === null ? null : fromUtf8(bytes)
  },
}
