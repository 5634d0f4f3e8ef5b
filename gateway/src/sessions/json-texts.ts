// Texts that are JSON themselves. Rules by names of members find nothing in a text, and MCP has a tool return its structured result as such a
// text too.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { compileRedaction, KitError, type Redaction, type Removal } from '@killick/sdk/kit'
import { isDeep } from './disclosed.ts'

/**
 * A value of which the rules have looked into each text that is an object or an array of JSON as a whole. One in which they have found
 * something is printed anew without it, or is removed as a whole where that would say something else; every other text stays as it is, also one
 * that is nested too deep to be looked into.
 * @param names that lead to the value in the event
 * @param removals where removals are added; their places go on inside of the text
 */
export function redactJsonTexts(
  value: JsonValue,
  names: readonly string[],
  redaction: Redaction,
  removals: Removal[],
): JsonValue {
  if (typeof value === 'string') return redactText(value, names, redaction, removals)
  // Of most values it is known at once that there is nothing to look into.
  const looked = (each: JsonValue, name: string) =>
    typeof each === 'object' || isJsonText(each) ? redactJsonTexts(each, [...names, name], redaction, removals) : each
  if (Array.isArray(value)) return value.map((each, i) => looked(each, `${i}`))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, looked(each, name)]))
}

function redactText(given: string, names: readonly string[], redaction: Redaction, removals: Removal[]): string {
  const text = withNumbersOnly(given)
  const value = parse(text)
  if (value === null) return given
  const rules = withoutPaths(redaction)
  const isWhole = membersOf(value) === membersIn(text)
  const place = pointerTo(names, redaction)
  const lookInto = (each: JsonValue) => {
    const inside: Removal[] = []
    // A text in it may be JSON as well: a tool that echoes a body has that in its result, and its result in a text.
    const found = rules.redactValue(redactJsonTexts(each, names, rules, inside))
    const all = [...inside, ...found.removals.map(({ path, rule }) => ({ path: `${place}${path}`, rule }))]
    return { value: found.value, all, first: all[0] }
  }
  try {
    const found = lookInto(value)
    const { all } = found
    // Of members of one name the last one is what is parsed, and another may be what must not be said. All of them are nested deeper.
    const first = found.first ?? (isWhole ? undefined : lookInto(parse(unfolded(text))).first)
    if (first === undefined) return given
    if (text !== given || !isWhole || !hasExactNumbers(text)) {
      removals.push({ path: place, rule: first.rule })
      return `[redacted:${first.rule}]`
    }
    removals.push(...all)
    return JSON.stringify(found.value)
  } catch (error) {
    if (!(error instanceof KitError)) throw error
    return given
  }
}

const pathless = new WeakMap<Redaction, Redaction>()

/** The rules without those by paths: they lead into events, and a text that looks like one is none. */
function withoutPaths(redaction: Redaction): Redaction {
  let found = pathless.get(redaction)
  if (found === undefined) {
    found = compileRedaction(redaction.rules.filter((rule) => !('paths' in rule)))
    pathless.set(redaction, found).set(found, found)
  }
  return found
}

/** Whether it may be such a text. */
export const isJsonText = (value: unknown): value is string => typeof value === 'string' && /^\s*[[{]/.test(value)

function parse(text: string): JsonObject | JsonValue[] | null {
  if (!isJsonText(text)) return null
  try {
    const value = JSON.parse(text) as JsonObject | JsonValue[]
    return isDeep(value) ? null : value
  } catch {
    return null
  }
}

/**
 * A text of JSON with null in the place of three words that Python prints for numbers, and takes for such: it would else be none, whatever stands
 * beside them.
 */
export function withNumbersOnly(text: string): string {
  if (!isJsonText(text) || !/NaN|Infinity/.test(text)) return text
  let isQuoted = false
  return text.replace(/\\.|"|-?(?:NaN|Infinity)/gs, (found) => {
    if (found === '"') isQuoted = !isQuoted
    return isQuoted || /["\\]/.test(found) ? found : 'null'
  })
}

/** Whether every number can be kept. */
function hasExactNumbers(text: string): boolean {
  let isExact = true
  JSON.parse(text, (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && !isKept(value, source)) isExact = false
    return value
  })
  return isExact
}

/** Digits that every number keeps, from the smallest one on. */
const EXACT_DIGITS = 15
const SMALLEST = 2 ** -1022

/** Whether a number is the one that was written. */
function isKept(value: number, source: string): boolean {
  if (source === `${value}`) return true
  if (source.replace(/\D/g, '').length > EXACT_DIGITS) return false
  if (value === 0) return /^-?0(?:\.0+)?(?:e|$)/i.test(source)
  return Math.abs(value) >= SMALLEST && Number.isFinite(value)
}

function membersOf(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0
  const inside = Object.values(value) as JsonValue[]
  return inside.reduce<number>((sum, each) => sum + membersOf(each), Array.isArray(value) ? 0 : inside.length)
}

/** How many members the objects of a text have: more than what is parsed has, where a name stands twice in one of them. */
function membersIn(text: string): number {
  let members = 0
  eachMark(text, (char) => {
    if (char === ':') members += 1
  })
  return members
}

/** A text of JSON with a list of objects of one member in place of each object, so that no member replaces another. */
function unfolded(text: string): string {
  const open: string[] = []
  const parts: string[] = []
  let from = 0
  const put = (at: number, instead: string) => {
    parts.push(text.slice(from, at), instead)
    from = at + 1
  }
  eachMark(text, (char, at) => {
    if (char === '{' || char === '[') open.push(char)
    if (char === '{') put(at, '[{')
    if (char === '}') put(at, '}]')
    if (char === ',' && open.at(-1) === '{') put(at, '},{')
    if (char === '}' || char === ']') open.pop()
  })
  return parts.join('') + text.slice(from)
}

/** Calls for each character outside of strings. Without a regular expression, which would need stack for each character of a string. */
function eachMark(text: string, call: (char: string, at: number) => void): void {
  let isString = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (char === '"') isString = !isString
    else if (!isString) call(char, at)
    else if (char === '\\') at += 1
  }
}

/** A name may be a secret itself. */
const pointerTo = (names: readonly string[], redaction: Redaction): string =>
  names.map((name) => `/${`${redaction.redactValue(name).value}`.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
