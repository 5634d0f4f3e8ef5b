// What a line says, as far as the recorder must know it (JSON-RPC 2.0). The line itself is relayed as it came.
import { isUtf8 } from 'node:buffer'
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { ambiguityOf } from './ambiguity.ts'

/** Which way a message goes. */
export type Direction = 'client-to-server' | 'server-to-client'

/** An id of JSON-RPC, as it stands in the message: a number that reading would round is a `WrittenId`. */
export type MessageId = string | number | WrittenId

/** A number as it is written, which `JSON.stringify` prints as it is (`JSON.rawJSON`). */
export type WrittenId = { readonly rawJSON: string }

/** One message. A request without an id that can be answered is a `notification`, whatever its method. */
export type Message =
  | { readonly kind: 'request'; readonly id: MessageId; readonly method: string; readonly params: JsonObject }
  | { readonly kind: 'notification'; readonly method: string; readonly params: JsonObject }
  | { readonly kind: 'answer'; readonly id: MessageId | null; readonly result?: JsonValue; readonly error?: JsonValue }

/** The messages of a line: one, or those of a batch; or why there are none. `isBlank`: nothing but white space. */
export type ReadLine =
  | { readonly messages: readonly Message[]; readonly isBatch: boolean; readonly doubt: string | null }
  | { readonly fault: string; readonly isBlank: boolean }

/** What tells a reader where a message ends. */
export type Framing = 'line' | 'body'

/** What becomes of a line. */
export type Passage = {
  /** Whether it goes on as it came. */
  readonly isPassed: boolean
  /** What its sender is answered in the receiver's place; empty: nothing. */
  readonly answer: Buffer
  /** Where it waits for a person: what becomes of it when that is decided. */
  readonly held?: Promise<Passage>
}

/** Reads a line, or a body. `doubt` says why another reader might read it otherwise. @param line with or without its line feed */
export function readLine(line: Buffer, framing: Framing = 'line'): ReadLine {
  if (!isUtf8(line)) return { fault: 'is not UTF-8', isBlank: false }
  const text = line.toString('utf8').replace(/\r?\n$/, '')
  if (text.trim() === '') return { fault: 'is empty', isBlank: true }
  let value: JsonValue
  try {
    value = JSON.parse(text) as JsonValue
  } catch {
    return { fault: 'is not JSON', isBlank: false }
  }
  const isBatch = Array.isArray(value)
  const messages = (isBatch ? (value as JsonValue[]) : [value]).map(messageOf)
  if (messages.length === 0 || messages.includes(null))
    return { fault: 'is JSON, but not a message of JSON-RPC', isBlank: false }
  const read = withWrittenIds(messages as Message[], text)
  return { messages: read, isBatch, doubt: ambiguityOf(text, value, framing) }
}

/** An event cannot hold a number that was rounded, and whoever asked by it would not know it again in an answer of ours. */
function withWrittenIds(messages: readonly Message[], text: string): readonly Message[] {
  if (!messages.some(hasRoundedId)) return messages
  const ids = writtenIds(text)
  return messages.map((each, i) =>
    hasRoundedId(each) ? ({ ...each, id: ids?.[i]?.id ?? rawJSON(JSON.stringify(each.id)) } as Message) : each,
  )
}

/** Null where the message is nested deeper than there is stack for: its id is then shown as it was rounded. */
function writtenIds(text: string): { id: MessageId }[] | null {
  try {
    const written = parseWith(text, (name, value, { source }) =>
      name === 'id' && isRounded(value) ? rawJSON(source!) : value,
    )
    return [written].flat() as { id: MessageId }[]
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

const hasRoundedId = (message: Message): message is Exclude<Message, { kind: 'notification' }> =>
  message.kind !== 'notification' && isRounded(message.id)

/** Whether a number cannot be told from others that are written otherwise, or is not finite. */
const isRounded = (value: unknown): boolean =>
  typeof value === 'number' && (Number.isInteger(value) ? !Number.isSafeInteger(value) : !Number.isFinite(value))

// TypeScript knows neither the third argument nor `rawJSON` yet.
const { parse: parseWith, rawJSON } = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: unknown, context: { source?: string }) => unknown): unknown
  rawJSON(text: string): WrittenId
}

function messageOf(value: JsonValue): Message | null {
  if (!isObject(value)) return null
  const { id, method } = value
  const has = (name: string) => Object.hasOwn(value, name)
  const isId = typeof id === 'string' || typeof id === 'number'
  if (has('method')) {
    // What is request and answer in one could be taken for either.
    if (typeof method !== 'string' || has('result') || has('error')) return null
    const params = isObject(value.params) ? value.params : { ...(has('params') && { params: value.params! }) }
    return isId ? { kind: 'request', id, method, params } : { kind: 'notification', method, params }
  }
  if (!has('id') || (!isId && id !== null) || has('result') === has('error')) {
    // An error without an id answers what could not be read.
    if (!has('id') && has('error') && !has('result')) return { kind: 'answer', id: null, error: value.error! }
    return null
  }
  return has('error')
    ? { kind: 'answer', id: id as MessageId | null, error: value.error! }
    : { kind: 'answer', id: id as MessageId | null, result: value.result! }
}
