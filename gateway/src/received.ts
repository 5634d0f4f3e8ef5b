// What every receiver makes of its input, before anybody asks whether it may be recorded.
import { hash } from 'node:crypto'
import type { JsonObject, JsonValue } from '@killick/sdk/core'

/** One event as an emitter handed it in. */
export type Received = {
  /** The event's fields, as `record()` takes them; not checked. */
  readonly fields: JsonObject
  /** The sender's name for it: the same again is the same event. Null: none. */
  readonly id: string | null
  /** The source that the emitter names. Null: none. */
  readonly source: string | null
  /** Where it stands in the input: a JSON pointer, or `line <number>`. Empty: it is the input. */
  readonly at: string
}

/** What an event says of how it came: the field `collected` (docs/PROTOCOL.md §5). */
export type Collected = {
  /** The collector's own name, which is the event's source. */
  readonly by: string
  readonly emitter: string
  readonly auth: string
  readonly credential?: string
  readonly source: string
  readonly via: string
  readonly id?: string
}

/** First 16 bytes of a hash over claimed source and sender's id, which together name an event. */
export const keyOfId = (source: string, id: string): Buffer =>
  hash('sha256', JSON.stringify([source, id]), 'buffer').subarray(0, 16)

/** First 20 bytes of a hash over the content, in which the order of members does not matter: senders print maps in any order. */
export const hashOfContent = (fields: JsonObject): Buffer =>
  hash('sha256', contentText(fields), 'buffer').subarray(0, HASH_BYTES)

/** Bytes of a hash of the content. */
export const HASH_BYTES = 20

/** What is hashed of it. */
export const contentText = (fields: JsonObject): string => JSON.stringify(sorted(fields))

/** The same value with the members of each object in order. Printing a copy at once takes less time than printing it in parts. */
function sorted(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  const copy: JsonObject = {}
  for (const name of Object.keys(value).sort()) copy[name] = sorted(value[name]!)
  return copy
}
