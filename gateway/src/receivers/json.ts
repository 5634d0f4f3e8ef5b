// Plain JSON: the fields of an event as `record()` takes them, and beside them `id` and `source`.
import { isObject, type JsonValue, KillickError, parseJson } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'

/** One event of plain JSON. @param at where it stands @throws GatewayRefusal `collect_input_invalid` */
export function readPlain(value: JsonValue, at: string): Received {
  if (!isObject(value)) throw new GatewayRefusal('collect_input_invalid', 'An event must be an object.', { at })
  const { id = null, source = null, ...fields } = value
  return { fields, id: nameOf(id, 'id', at), source: nameOf(source, 'source', at), at }
}

/** Longest id or source of a sender, in UTF-16 code units. */
const MAX_NAME = 1024

/** A sender's id or source. @throws GatewayRefusal `collect_input_invalid` */
export function nameOf(value: unknown, member: string, at: string): string | null {
  if (value === null) return null
  if (typeof value !== 'string' || value === '' || value.length > MAX_NAME)
    throw new GatewayRefusal('collect_input_invalid', `${member} must be a text of 1 to ${MAX_NAME} characters.`, {
      at: `${at}/${member}`,
    })
  return value
}

/** A body of JSON: one event, or an array of them. */
export function readPlainJson(text: string): { received: Received[]; isArray: boolean } {
  const value = parseJson(text)
  if (!Array.isArray(value)) return { received: [readPlain(value, '')], isArray: false }
  return { received: value.map((each, i) => readPlain(each, `/${i}`)), isArray: true }
}

/** A line of NDJSON. @throws KillickError, GatewayRefusal with the line's number */
export function readPlainLine({ number, text }: { number: number; text: string }): Received {
  const at = `line ${number}`
  return readPlain(parseAt(text, at), at)
}

/** A text of JSON, or a number, which may be inexact: what begins or ends otherwise is no JSON, and stays so. */
const TEXT_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\w.+-])-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])/g

/**
 * JSON of a form that somebody else has chosen: numbers that would be rounded, such as times in nanoseconds and many a `bigint`, become the
 * texts that they are written as. All else is read as strictly as what is ours.
 */
export function parseForeign(text: string): JsonValue {
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof KillickError) || error.code !== 'json_number_inexact') throw error
    const isExact = (value: number) => (Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value))
    return parseJson(text.replace(TEXT_OR_NUMBER, (it) => (it.startsWith('"') || isExact(Number(it)) ? it : `"${it}"`)))
  }
}

/** JSON whose faults say where it stands. @param parse reads it. Default: as an event of ours */
export function parseAt(text: string, at: string, parse: (text: string) => JsonValue = parseJson): JsonValue {
  try {
    return parse(text)
  } catch (error) {
    throw new GatewayRefusal('collect_input_invalid', `${at}: ${(error as Error).message}`, { at })
  }
}
