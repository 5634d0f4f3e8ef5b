/**
 * Reads the base64url and the JSON that recorders print, byte by byte. It makes neither strings nor objects, so it is faster than
 * decoding and parsing: docs/decisions/0006-event-reader-by-hand.md. It accepts less than core's parsers and never
 * more. For anything else (white space, escapes by number, exponents) it returns NO, and the caller asks core.
 */

/** Returned instead of the end offset when the input was not recognised. */
export const NO = -1

const VALUES = new Int8Array(256).fill(-1)
for (const [value, char] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].entries())
  VALUES[char.charCodeAt(0)] = value

/** The decoded base64url: `bytes[0, length)`, and a zero after it. */
export class Decoded {
  readonly bytes: Buffer
  length = 0
  isAscii = true

  /** @param size of the longest text, in characters */
  constructor(size: number) {
    this.bytes = Buffer.alloc(Math.ceil(size / 4) * 3 + 4)
  }

  /**
   * Decodes canonical, unpadded base64url (RFC 4648 §5) from `at` on, up to the first byte that is not base64url. There must be
   * one.
   * @returns the offset of that byte
   */
  decode(text: Uint8Array, at: number): number {
    const { bytes } = this
    const last = bytes.length - 4
    let end = 0
    let seen = 0
    let [a, b, c] = [0, 0, 0]
    for (;;) {
      a = VALUES[text[at]!]!
      b = VALUES[text[at + 1]!]!
      c = VALUES[text[at + 2]!]!
      // Behind the end of `text` a value is undefined, which counts as 0 here; but a negative one stands before it.
      const group = (a << 18) | (b << 12) | (c << 6) | VALUES[text[at + 3]!]!
      if (group < 0) break
      if (end > last) return NO
      bytes[end] = group >> 16
      bytes[end + 1] = group >> 8
      bytes[end + 2] = group
      seen |= group
      end += 3
      at += 4
    }
    if (a >= 0) {
      // RFC 4648 §3.5: the unused bits of the last character must be zero.
      if (b < 0 || end > last) return NO
      const isThree = c >= 0
      const rest = isThree ? (a << 10) | (b << 4) | (c >> 2) : (a << 2) | (b >> 4)
      if (isThree ? (c & 3) !== 0 : (b & 15) !== 0) return NO
      if (isThree) bytes[end++] = rest >> 8
      bytes[end++] = rest
      seen |= isThree ? (rest << 8) | rest : rest
      at += isThree ? 3 : 2
    }
    bytes[end] = 0
    this.length = end
    this.isAscii = (seen & 0x808080) === 0
    return at
  }
}

/** The bytes of an ASCII text. */
export const literal = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** The byte of an ASCII character. */
export const byteOf = (char: string): number => char.charCodeAt(0)

const QUOTE = byteOf('"')
const BACKSLASH = byteOf('\\')
const COMMA = byteOf(',')
const COLON = byteOf(':')
const MINUS = byteOf('-')
const DOT = byteOf('.')
const ZERO = byteOf('0')
const NINE = byteOf('9')
const UNDERSCORE = byteOf('_')
const OPEN_OBJECT = byteOf('{')
const CLOSE_OBJECT = byteOf('}')
const OPEN_ARRAY = byteOf('[')
const CLOSE_ARRAY = byteOf(']')
const SHORT_ESCAPES = new Set(literal('"\\/bfnrt'))

const [TRUE, FALSE, NULL] = ['true', 'false', 'null'].map(literal) as [Uint8Array, Uint8Array, Uint8Array]
const [TYPE, ID, NAME] = ['type', 'id', 'name'].map(literal) as [Uint8Array, Uint8Array, Uint8Array]
const [PATH, BEFORE, AFTER] = ['path', 'before', 'after'].map(literal) as [Uint8Array, Uint8Array, Uint8Array]
const RESERVED = ['_sd', '...', '__proto__'].map(literal)

/** @returns where the text ends, if it stands at `at` */
export function skip(bytes: Uint8Array, at: number, text: Uint8Array): number {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return NO
  return at + text.length
}

const isDigit = (byte: number) => byte >= ZERO && byte <= NINE

/** Which form an object must have: any, or one of those that core's fields.ts describes. */
type Shape = 'any' | 'party' | 'change'

/** Depth beyond which core decides. It allows more. */
const MAX_DEPTH = 20
/** Members of one object, and of all objects that are open at a time, beyond which core decides. */
const MAX_MEMBERS = 64
const MAX_OPEN = 512
/** Characters of the type and the id of a party; a character has at least one byte. */
const MAX_PARTY_TEXT = 512
export const MAX_TARGETS = 1_000
const MAX_CHANGES = 10_000

/** Reads JSON in `bytes`, behind whose end a zero must stand. */
export class JsonScanner {
  readonly bytes: Uint8Array
  /** The string that was read last, without its quotes, and whether it holds escapes. */
  from = 0
  to = 0
  isEscaped = false
  /** Of the parties read since `start()`: where their ids begin and end. */
  readonly ids = new Int32Array(2 * MAX_TARGETS)
  parties = 0
  /** Where the names of the members of open objects begin and end. */
  readonly #names = new Int32Array(2 * MAX_OPEN)
  #open = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  start(): void {
    this.#open = 0
    this.parties = 0
  }

  is(text: Uint8Array): boolean {
    return this.to - this.from === text.length && skip(this.bytes, this.from, text) !== NO
  }

  value(at: number, depth = 0): number {
    const byte = this.bytes[at]!
    if (byte === QUOTE) return this.string(at)
    if (byte === OPEN_OBJECT) return this.object(at, depth)
    if (byte === OPEN_ARRAY) return this.array(at, depth)
    if (isDigit(byte) || byte === MINUS) return this.#number(at)
    return skip(this.bytes, at, byte === TRUE[0] ? TRUE : byte === FALSE[0] ? FALSE : NULL)
  }

  string(at: number): number {
    const { bytes } = this
    if (bytes[at] !== QUOTE) return NO
    let isEscaped = false
    let i = at + 1
    for (let byte = bytes[i]!; byte !== QUOTE; byte = bytes[++i]!) {
      if (byte < 0x20) return NO
      if (byte === BACKSLASH) {
        if (!SHORT_ESCAPES.has(bytes[++i]!)) return NO
        isEscaped = true
      }
    }
    this.from = at + 1
    this.to = i
    this.isEscaped = isEscaped
    return i + 1
  }

  object(at: number, depth = 0, shape: Shape = 'any'): number {
    const { bytes } = this
    if (bytes[at] !== OPEN_OBJECT || depth === MAX_DEPTH) return NO
    if (bytes[at + 1] === CLOSE_OBJECT) return shape === 'any' ? at + 2 : NO
    const names = this.#open
    let required = shape === 'party' ? 2 : shape === 'change' ? 1 : 0
    for (let byte = COMMA; byte === COMMA; byte = bytes[at]!) {
      at = this.string(at + 1)
      if (at === NO || bytes[at] !== COLON || !this.#addName(names)) return NO
      if (shape === 'party' && (this.is(TYPE) || this.is(ID))) {
        const isId = this.is(ID)
        at = this.string(at + 1)
        if (at === NO || this.isEscaped || this.to === this.from || this.to - this.from > MAX_PARTY_TEXT) return NO
        if (isId) this.#addId()
        required--
      } else if (shape === 'party' && this.is(NAME)) {
        at = this.string(at + 1)
      } else if (shape === 'change' && this.is(PATH)) {
        at = this.string(at + 1)
        required--
      } else {
        if (shape === 'change' && !this.is(BEFORE) && !this.is(AFTER)) return NO
        at = this.value(at + 1, depth + 1)
      }
      if (at === NO) return NO
    }
    this.#open = names
    return bytes[at] === CLOSE_OBJECT && required === 0 ? at + 1 : NO
  }

  array(at: number, depth = 0, shape?: Shape): number {
    const { bytes } = this
    if (bytes[at] !== OPEN_ARRAY || depth === MAX_DEPTH) return NO
    if (bytes[at + 1] === CLOSE_ARRAY) return at + 2
    let items = 0
    for (let byte = COMMA; byte === COMMA; byte = bytes[at]!) {
      at = shape === undefined ? this.value(at + 1, depth + 1) : this.object(at + 1, depth + 1, shape)
      if (at === NO) return NO
      items++
    }
    if (items > (shape === 'party' ? MAX_TARGETS : shape === 'change' ? MAX_CHANGES : Number.POSITIVE_INFINITY))
      return NO
    return bytes[at] === CLOSE_ARRAY ? at + 1 : NO
  }

  /** Integers of up to 15 digits, and decimals with as many before the point: all of these are exact enough for core. */
  #number(at: number): number {
    const { bytes } = this
    let i = bytes[at] === MINUS ? at + 1 : at
    const first = i
    while (isDigit(bytes[i]!)) i++
    if (i === first || i - first > 15 || (bytes[first] === ZERO && i - first > 1)) return NO
    if (bytes[i] === DOT) {
      const point = i++
      while (isDigit(bytes[i]!)) i++
      if (i === point + 1) return NO
    }
    return i
  }

  /** Notes the string that was read last as a member name. False if the object already has it, or must not have it. */
  #addName(first: number): boolean {
    const { bytes, from, to } = this
    const names = this.#names
    const open = this.#open
    if (this.isEscaped || open - first >= 2 * MAX_MEMBERS || open >= names.length) return false
    for (let i = first; i < open; i += 2) {
      const start = names[i]!
      if (names[i + 1]! - start !== to - from) continue
      let k = 0
      while (k < to - from && bytes[start + k] === bytes[from + k]) k++
      if (k === to - from) return false
    }
    if ((bytes[from] === UNDERSCORE || bytes[from] === DOT) && RESERVED.some((name) => this.is(name))) return false
    names[open] = from
    names[open + 1] = to
    this.#open = open + 2
    return true
  }

  #addId(): void {
    // Too many are refused at their end.
    if (this.parties < MAX_TARGETS) {
      this.ids[2 * this.parties] = this.from
      this.ids[2 * this.parties + 1] = this.to
    }
    this.parties++
  }
}
