// Mapping rules: an event as a JSON document with holes. They are data, not a program: each hole names a place in the input.
import type { IncomingHttpHeaders } from 'node:http'
import { isObject, type JsonObject, type JsonValue, unescapePointer } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { headerText } from '../utf8.ts'
import { nameOf } from './json.ts'

/**
 * How an input becomes events. In each text, `{…}` is a hole: `{/a/b}` the value at a JSON pointer (RFC 6901; `{}` is the whole
 * item), `{header:x-name}` a header of the request, `{/a|/b}` the first of them that is there, `{/a|'text'}` a text where there is
 * none. A text that is one hole becomes the value itself, whatever it is; a hole within a text takes texts, numbers and booleans.
 * Where nothing is found the input is refused, unless the hole ends in `?`: then the member is left out, with what is around it in
 * the text. `{{` and `}}` are braces.
 */
export type MappingConfig = {
  /** Where the items are, as a JSON pointer to an array or to one item. Default: the body, which may be an array. */
  items: string
  /** The sender's name for an event. Default: none. */
  id: string | null
  /** The source that it names. Default: none. */
  source: string | null
  /**
   * Who signs its requests as GitHub does, with HMAC-SHA-256 in `X-Hub-Signature-256`: an emitter, and the file with the secret that it
   * shares. A request that shows a key needs no such signature. Default: nobody.
   */
  signed: { readonly emitter: string; readonly secret: string } | null
  /** The event's fields. An object `{ "$case": <text>, "<value>": …, "*": … }` stands for the member that the text names. */
  event: JsonObject
}

/** What a hole stands for; undefined: nothing. */
type Look = (path: string) => JsonValue | undefined

const HOLE = /\{\{|\}\}|\{([^{}]*)\}/g
const WHOLE = /^\{([^{}]*)\}$/
const PART = /^(?:|\/[^|']*|header:[a-z0-9-]+|'[^']*')$/

/** @returns what is wrong with a mapping's texts, with their places */
export function checkMapping({ items, id, source, event }: MappingConfig): string[] {
  const faults: string[] = []
  if (items !== '' && !items.startsWith('/')) faults.push('items must be a JSON pointer')
  const visit = (value: JsonValue, at: string): void => {
    if (typeof value === 'string') {
      for (const [, hole] of value.matchAll(HOLE)) {
        const bad = hole === undefined ? undefined : partsOf(hole).parts.find((part) => !PART.test(part))
        if (bad !== undefined) faults.push(`${at}: {${hole}} is no pointer, header or text in quotes`)
      }
      if (/[{}]/.test(value.replace(HOLE, ''))) faults.push(`${at}: a brace without its other half`)
    } else if (Array.isArray(value)) for (const [i, each] of value.entries()) visit(each, `${at}/${i}`)
    else if (isObject(value)) for (const [name, each] of Object.entries(value)) visit(each, `${at}/${name}`)
  }
  visit(event, 'event')
  if (id !== null) visit(id, 'id')
  if (source !== null) visit(source, 'source')
  return faults
}

/**
 * The events that a mapping makes of an input.
 * @throws GatewayRefusal `collect_input_invalid`, `mapping_empty`, with the place in the input
 */
export function mapInput(mapping: MappingConfig, input: JsonValue, headers: IncomingHttpHeaders, at = ''): Received[] {
  const found = lookAt(input, mapping.items)
  if (found === undefined)
    throw new GatewayRefusal('collect_input_invalid', `There is nothing at ${mapping.items}.`, {
      at: at + mapping.items,
    })
  const isList = Array.isArray(found)
  const items: JsonValue[] = isList ? found : [found]
  if (items.length === 0) throw new GatewayRefusal('mapping_empty', undefined, { at: at + mapping.items })
  return items.map((item, i) => mapItem(mapping, item, headers, `${at}${mapping.items}${isList ? `/${i}` : ''}`))
}

function mapItem(
  { event, id, source }: MappingConfig,
  item: JsonValue,
  headers: IncomingHttpHeaders,
  at: string,
): Received {
  const look: Look = (path) => {
    if (path.startsWith("'")) return path.slice(1, -1)
    if (!path.startsWith('header:')) return lookAt(item, path)
    const value = headers[path.slice('header:'.length)]
    return typeof value === 'string' ? headerText(value) : undefined
  }
  const name = (text: string | null, member: string): string | null => {
    const value = text === null ? undefined : fill(text, look, at)
    if (value === undefined || value === null) return null
    // One name for all would make one event of many.
    return nameOf(typeof value === 'string' ? value : JSON.stringify(value), member, at)
  }
  const fields = fill(event, look, at)
  if (!isObject(fields)) throw new GatewayRefusal('mapping_empty', undefined, { at })
  return { fields, id: name(id, 'id'), source: name(source, 'source'), at }
}

/** A document with its holes filled; undefined where it is left out. */
function fill(value: JsonValue, look: Look, at: string): JsonValue | undefined {
  if (typeof value === 'string') return fillText(value, look, at)
  if (Array.isArray(value)) return value.map((each) => fill(each, look, at)).filter((each) => each !== undefined)
  if (!isObject(value)) return value
  if (typeof value.$case === 'string') {
    const key = String(fillText(value.$case, look, at) ?? '')
    const { $case: _, ...cases } = value
    const chosen = Object.hasOwn(cases, key) ? cases[key] : cases['*']
    if (chosen === undefined)
      throw new GatewayRefusal('mapping_empty', `No case of the mapping is for ${JSON.stringify(key)}.`, { at })
    return fill(chosen, look, at)
  }
  const filled: JsonObject = {}
  for (const [name, each] of Object.entries(value)) {
    const made = fill(each, look, at)
    if (made !== undefined) filled[name] = made
  }
  return filled
}

function fillText(text: string, look: Look, at: string): JsonValue | undefined {
  const [, whole] = WHOLE.exec(text) ?? []
  if (whole !== undefined) return fillHole(whole, look, at)
  let isLeftOut = false
  const filled = text.replace(HOLE, (brace, hole: string | undefined) => {
    if (hole === undefined) return brace.slice(1)
    const value = fillHole(hole, look, at)
    if (value === undefined) isLeftOut = true
    if (typeof value === 'object')
      throw new GatewayRefusal('collect_input_invalid', `{${hole}} is no text, and stands within one.`, { at })
    return String(value)
  })
  return isLeftOut ? undefined : filled
}

/** A value that is null counts as none, as most senders mean it. */
function fillHole(hole: string, look: Look, at: string): JsonValue | undefined {
  const { parts, isOptional } = partsOf(hole)
  for (const part of parts) {
    const value = look(part)
    if (value !== undefined && value !== null) return value
  }
  if (isOptional) return undefined
  throw new GatewayRefusal('collect_input_invalid', `The mapping needs {${hole}}, and the input has none.`, {
    at,
    needs: hole,
  })
}

function partsOf(hole: string): { parts: string[]; isOptional: boolean } {
  const isOptional = hole.endsWith('?')
  return { parts: (isOptional ? hole.slice(0, -1) : hole).split('|'), isOptional }
}

/** RFC 6901. */
function lookAt(value: JsonValue, pointer: string): JsonValue | undefined {
  let found: JsonValue | undefined = value
  for (const step of pointer.split('/').slice(1)) {
    const name = unescapePointer(step)
    if (Array.isArray(found)) found = /^(0|[1-9]\d*)$/.test(name) ? found[Number(name)] : undefined
    else found = isObject(found) && Object.hasOwn(found, name) ? found[name] : undefined
  }
  return found
}
