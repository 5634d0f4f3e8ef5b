/**
 * Strict JSON (RFC 8259 and RFC 7493, I-JSON). `JSON.parse` takes the last of two equal member names, rounds
 * integers beyond 2^53, and lets halves of surrogate pairs through. Each of these lets one text mean two things.
 */
import { type ErrorCode, KillickError } from './errors.ts'

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
/** A JSON object. */
export type JsonObject = { [member: string]: JsonValue }

export const MAX_JSON_DEPTH = 32

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/**
 * The value of a JSON text, read strictly (RFC 8259, I-JSON of RFC 7493): no member twice, no half of a surrogate pair, no
 * number that would be rounded.
 * @param maxDepth most levels of arrays and objects; default 32
 * @throws KillickError `json_invalid`, `json_duplicate_member`, `json_lone_surrogate`, `json_number_inexact`, `json_too_deep`,
 * with the character offset in `details.at`.
 */
export function parseJson(text: string, maxDepth: number = MAX_JSON_DEPTH): JsonValue {
  return parseNatively(text, maxDepth) ?? parseStrictly(text, maxDepth)
}

/**
 * The native parser is several times faster than the scanner below, and gives the same answer if the text cannot mean two
 * things. Returns undefined if the scanner must decide.
 */
function parseNatively(text: string, maxDepth: number): JsonValue | undefined {
  // Escapes may stand for half a surrogate pair.
  if (text.includes('\\u') || text.includes('__proto__') || !text.isWellFormed()) return undefined
  try {
    const value = JSON.parse(text) as JsonValue
    const members = countMembers(value, maxDepth)
    // A member that occurs twice is counted once, so there are fewer members than colons. Strings may hold colons too; then a
    // text that prints back unchanged, as ours does, has lost nothing.
    return members === countColons(text) || (members >= 0 && JSON.stringify(value) === text) ? value : undefined
  } catch {
    return undefined
  }
}

function countColons(text: string): number {
  let count = 0
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) count++
  return count
}

/** How many members all objects have together; negative if the value is too deep or holds a number that is not exact. */
function countMembers(value: JsonValue, depth: number): number {
  if (typeof value === 'number') {
    const isExact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
    return isExact ? 0 : Number.NEGATIVE_INFINITY
  }
  if (typeof value !== 'object' || value === null) return 0
  if (depth === 0) return Number.NEGATIVE_INFINITY
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item, depth - 1)
    return count
  }
  for (const name in value) count += 1 + countMembers(value[name]!, depth - 1)
  return count
}

function parseStrictly(text: string, maxDepth: number): JsonValue {
  let at = 0

  function fail(code: ErrorCode, what: string): never {
    throw new KillickError(code, `${what} at character ${at}`, { at })
  }
  function skipSpace(): void {
    while (at < text.length && ' \t\n\r'.includes(text[at]!)) at++
  }
  function literal<T extends JsonValue>(word: string, value: T): T {
    if (!text.startsWith(word, at)) fail('json_invalid', 'Unexpected text')
    at += word.length
    return value
  }
  function string(): string {
    const start = at++
    for (;;) {
      const char = text[at]
      if (char === undefined || char < ' ') fail('json_invalid', 'Unterminated or unescaped string')
      at += char === '\\' ? 2 : 1
      if (char === '"') break
    }
    let value: string
    try {
      value = JSON.parse(text.slice(start, at)) as string
    } catch {
      fail('json_invalid', 'Malformed string')
    }
    if (!value.isWellFormed()) fail('json_lone_surrogate', 'Half of a surrogate pair')
    return value
  }
  function number(): number {
    NUMBER.lastIndex = at
    const lexeme = NUMBER.exec(text)?.[0]
    if (lexeme === undefined) fail('json_invalid', 'Unexpected text')
    const value = Number(lexeme)
    if (!Number.isFinite(value)) fail('json_number_inexact', 'Number out of range')
    // Fractions are read as every JSON reader reads them; integers must be exact.
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) fail('json_number_inexact', 'Integer beyond 2^53')
    at += lexeme.length
    return value
  }
  function array(depth: number): JsonValue[] {
    const items: JsonValue[] = []
    at++
    skipSpace()
    if (text[at] === ']') {
      at++
      return items
    }
    for (;;) {
      items.push(value(depth))
      skipSpace()
      if (text[at] === ']') break
      if (text[at] !== ',') fail('json_invalid', 'Expected "," or "]"')
      at++
    }
    at++
    return items
  }
  function object(depth: number): JsonObject {
    const members: JsonObject = {}
    at++
    skipSpace()
    if (text[at] === '}') {
      at++
      return members
    }
    for (;;) {
      skipSpace()
      if (text[at] !== '"') fail('json_invalid', 'Expected a member name')
      const name = string()
      // Assigning this member would set the prototype.
      if (name === '__proto__') fail('json_invalid', 'Member name "__proto__" is not allowed')
      if (Object.hasOwn(members, name)) fail('json_duplicate_member', `Member ${JSON.stringify(name)} again`)
      skipSpace()
      if (text[at] !== ':') fail('json_invalid', 'Expected ":"')
      at++
      members[name] = value(depth)
      skipSpace()
      if (text[at] === '}') break
      if (text[at] !== ',') fail('json_invalid', 'Expected "," or "}"')
      at++
    }
    at++
    return members
  }
  function value(depth: number): JsonValue {
    skipSpace()
    switch (text[at]) {
      case '{':
      case '[':
        if (depth >= maxDepth) fail('json_too_deep', `Nested deeper than ${maxDepth}`)
        return text[at] === '{' ? object(depth + 1) : array(depth + 1)
      case '"':
        return string()
      case 't':
        return literal('true', true)
      case 'f':
        return literal('false', false)
      case 'n':
        return literal('null', null)
      default:
        return number()
    }
  }

  const result = value(0)
  skipSpace()
  if (at !== text.length) fail('json_invalid', 'Text after the value')
  return result
}

/** Whether this is an object and not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** True when the object has exactly the required members, plus any of the optional ones. */
export function hasMembers(value: JsonObject, required: readonly string[], optional: readonly string[] = []): boolean {
  const names = Object.keys(value)
  return (
    required.every((name) => Object.hasOwn(value, name)) &&
    names.every((name) => required.includes(name) || optional.includes(name))
  )
}
