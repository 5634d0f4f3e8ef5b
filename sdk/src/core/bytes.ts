/**
 * Text and byte encodings. Every decoder is strict: what it accepts, its encoder prints back unchanged, so
 * one value has one spelling. Decoders return null rather than throw, because a caller always has a better
 * error to give than "bad base64".
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of a string. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The string of UTF-8 bytes; null if they are not valid UTF-8. A leading BOM is kept as a character. */
export function fromUtf8(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}

/** All parts, one after another, in a new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/**
 * Whether something is a Uint8Array, also one of another realm: where tests run in jsdom, `Uint8Array` is the window's own, and a Buffer
 * is no instance of it.
 */
export function isBytes(value: unknown): value is Uint8Array {
  // Anything may say that it is one, but nothing else is a view.
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]'
}

/** Whether two arrays hold the same bytes. Not in constant time, so for public values only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

const HEX = '0123456789abcdef'

/** Lower-case hex, two digits a byte, without 0x. */
export function toHex(bytes: Uint8Array): string {
  let out = ''
  for (const byte of bytes) out += HEX[byte >> 4]! + HEX[byte & 15]!
  return out
}

/** Bytes of lower-case hex without 0x; null for any other text. */
export function fromHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return null
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

function valuesOf(alphabet: string): Int8Array {
  const values = new Int8Array(128).fill(-1)
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i
  return values
}

const STANDARD_VALUES = valuesOf(STANDARD)
const URL_SAFE_VALUES = valuesOf(URL_SAFE)

function encode64(bytes: Uint8Array, alphabet: string): string {
  let out = ''
  let i = 0
  for (; i + 2 < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    out += alphabet[group >> 18]! + alphabet[(group >> 12) & 63]! + alphabet[(group >> 6) & 63]! + alphabet[group & 63]!
  }
  const rest = bytes.length - i
  if (rest === 1) out += alphabet[bytes[i]! >> 2]! + alphabet[(bytes[i]! << 4) & 63]!
  if (rest === 2) {
    const group = (bytes[i]! << 8) | bytes[i + 1]!
    out += alphabet[group >> 10]! + alphabet[(group >> 4) & 63]! + alphabet[(group << 2) & 63]!
  }
  return out
}

function decode64(text: string, values: Int8Array): Uint8Array | null {
  if (text.length % 4 === 1) return null
  const out = new Uint8Array(Math.floor((text.length * 3) / 4))
  let bits = 0
  let held = 0
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const value = code < 128 ? values[code]! : -1
    if (value < 0) return null
    held = ((held << 6) | value) & 0xfff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      out[at++] = held >> bits
    }
  }
  // RFC 4648 §3.5: the unused bits of the last character must be zero, or one value would have many spellings.
  return (held & ((1 << bits) - 1)) === 0 ? out : null
}

/** What browsers have of base64 since 2025, and Node since 25. TypeScript does not know it yet. */
type BuiltIn = {
  readonly toBase64?: (options: { alphabet: 'base64url'; omitPadding: true }) => string
}
type BuiltInStatic = {
  readonly fromBase64?: (text: string, options: { alphabet: 'base64url' }) => Uint8Array
}
const { fromBase64: fromBase64BuiltIn } = Uint8Array as BuiltInStatic
const WITHOUT_PADDING = { alphabet: 'base64url', omitPadding: true } as const

/** base64url without padding (RFC 4648 §5, RFC 7515 §2). */
export function toBase64url(bytes: Uint8Array): string {
  return (bytes as BuiltIn).toBase64?.(WITHOUT_PADDING) ?? encode64(bytes, URL_SAFE)
}

/** Bytes of base64url without padding; null for any other text, or if it is not canonical (unused bits must be zero). */
export function fromBase64url(text: string): Uint8Array | null {
  if (fromBase64BuiltIn === undefined) return decode64(text, URL_SAFE_VALUES)
  try {
    const bytes = fromBase64BuiltIn(text, WITHOUT_PADDING)
    // It passes over white space, padding and unused bits: a text is canonical if it is printed back unchanged.
    return toBase64url(bytes) === text ? bytes : null
  } catch {
    return null
  }
}

/** Standard base64 with padding (RFC 4648 §4), as C2SP notes use it. */
export function toBase64(bytes: Uint8Array): string {
  return encode64(bytes, STANDARD) + ['', '==', '='][bytes.length % 3]!
}

/** Bytes of standard base64 with padding; null for any other text, or if it is not canonical (unused bits must be zero). */
export function fromBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null
  const bare = text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text
  if ((4 - (bare.length % 4)) % 4 !== text.length - bare.length) return null
  return decode64(bare, STANDARD_VALUES)
}
