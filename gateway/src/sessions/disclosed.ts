// A value of a message as an event shows it: itself, or where that cannot be, its hash and length.
import { createHash } from 'node:crypto'
import { checkField, type JsonObject, type JsonValue } from '@killick/sdk/core'

/** The value, or what stands for it. */
export type Disclosed = { readonly value: JsonValue } | { readonly omitted: JsonObject }

/** Deeper than an event can show, and far from what printing takes stack for. */
const DEEPEST = 64

/** Lower-case hex, and how many bytes were hashed. */
export const hashOf = (bytes: Buffer | string): { sha256: string; bytes: number } => ({
  sha256: createHash('sha256').update(bytes).digest('hex'),
  bytes: Buffer.byteLength(bytes),
})

/**
 * `omitted.why` is `size` beyond `maxBytes` of JSON, or `form` for what an event cannot hold exactly, such as integers beyond 2^53 or more than
 * 30 levels. The hash is over the value as `JSON.stringify` prints it; of a value that is nested very deep there is none.
 */
export function disclosed(value: JsonValue, maxBytes: number): Disclosed {
  if (isDeep(value)) return { omitted: { why: 'form' } }
  const text = JSON.stringify(value)
  if (Buffer.byteLength(text) > maxBytes) return { omitted: { why: 'size', ...hashOf(text) } }
  return isRecordable(value) ? { value } : { omitted: { why: 'form', ...hashOf(text) } }
}

const NOT_RECORDABLE = Symbol('not recordable')

function isRecordable(value: JsonValue): boolean {
  try {
    // One level lower, where the event has it.
    checkField('value', [[value]], () => {
      throw NOT_RECORDABLE
    })
    return true
  } catch (error) {
    if (error === NOT_RECORDABLE) return false
    throw error
  }
}

/** Whether a value is nested deeper than an event can show. Without recursion: a message may be nested deeper than the stack is. */
export function isDeep(value: JsonValue): boolean {
  if (typeof value !== 'object') return false
  let level: JsonValue[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) return true
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []))
  }
  return false
}

/** A text as an id or a name in an event: not empty, of bounded length, whole characters. */
export function shortened(text: string, max = 400): string {
  const whole = text.toWellFormed()
  if (whole === '') return '(empty)'
  if (whole.length <= max) return whole
  return `${whole.slice(0, max - 70).toWellFormed()}…sha256:${hashOf(whole).sha256}`
}
