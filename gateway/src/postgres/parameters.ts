// Parameters of a statement as events show them.
import { isUtf8 } from 'node:buffer'
import type { JsonValue } from '@killick/sdk/core'
import { hashOf } from '../sessions/disclosed.ts'

/** Longer ones are shown as length and hash. */
const MAX_TEXT = 8_192
const MAX_BINARY = 256

/** Types whose binary form is their text: char, name, text, json, unknown, bpchar, varchar. */
const TEXTS = new Set([18, 19, 25, 114, 705, 1042, 1043])
/** Types whose binary form is a signed number of so many bytes: int8, int2, int4, oid. */
const INTEGERS = new Map([
  [20, 8],
  [21, 2],
  [23, 4],
  [26, 4],
])

/** Its binary form is a version, and the text. */
const [JSONB, JSONB_VERSION] = [3802, 1]

/** @param type the type's OID; 0 where the client did not say it */
export function parameterShown(bytes: Buffer | null, isBinary: boolean, type: number): JsonValue {
  if (bytes === null) return null
  // As hex it would show what the rules remove from the text.
  if (isBinary && type === JSONB && bytes[0] === JSONB_VERSION) return parameterShown(bytes.subarray(1), false, type)
  if (!isBinary || TEXTS.has(type)) {
    if (bytes.length > MAX_TEXT) return hashOf(bytes)
    return isUtf8(bytes) ? bytes.toString('utf8') : { latin1: bytes.toString('latin1') }
  }
  if (INTEGERS.get(type) === bytes.length) return `${integerOf(bytes)}`
  return bytes.length > MAX_BINARY ? hashOf(bytes) : { hex: bytes.toString('hex') }
}

function integerOf(bytes: Buffer): bigint | number {
  return bytes.length === 8 ? bytes.readBigInt64BE(0) : bytes.readIntBE(0, bytes.length)
}
