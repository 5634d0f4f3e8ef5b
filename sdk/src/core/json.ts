/**
 * Strict JSON (RFC 8259 and RFC 7493, I-JSON). `JSON.parse` takes the last of two equal member names, rounds
 * integers beyond 2^53 and lets half surrogates through; each of these lets one text mean two things.
 */
import { type ErrorCode, KillickError } from './errors.ts'

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export type JsonObject = { [member: string]: JsonValue }

export const MAX_JSON_DEPTH = 32

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/**
 * The value of a JSON text.
 * @throws KillickError json_invalid | json_duplicate_member | json_lone_surrogate | json_number_inexact | json_too_deep,
 * with the character offset in `details.at`.
 */
export function parseJson(text: string, maxDepth: number = MAX_JSON_DEPTH): JsonValue {
  return parseCanonical(text, maxDepth) ?? parseStrictly(text, maxDepth)
}

/**
 * Text that `JSON.stringify` would print, as ours always is, holds no duplicate and no inexact number: either would be
 * lost on the way and print otherwise. So the native parser can do the work, several times faster than the scanner
 * below. Undefined where the scanner must decide.
 */
function parseCanonical(text: string, maxDepth: number): JsonValue | undefined {
  if (mayHideSomething(text)) return undefined
  try {
    const value = JSON.parse(text) as JsonValue
    return JSON.stringify(value) === text && !isDeeperThan(maxDepth, value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Escapes that may stand for half a surrogate pair, halves as they are, integers that may be beyond 2^53, __proto__. */
function mayHideSomething(text: string): boolean {
  return (
    text.includes('\\u') ||
    text.includes('e+') ||
    text.includes('__proto__') ||
    !text.isWellFormed() ||
    /\d{16}/.test(text)
  )
}

function isDeeperThan(depth: number, value: JsonValue): boolean {
  if (typeof value !== 'object' || value === null) return false
  return depth === 0 || Object.values(value).some((member) => isDeeperThan(depth - 1, member))
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
      // Assigning it would set the prototype, not a member.
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
