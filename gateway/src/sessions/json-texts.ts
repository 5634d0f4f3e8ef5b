// Texts that are JSON themselves. Rules by names of members find nothing in a text, and MCP has a tool return its structured result as such a
// text too.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { KitError, type Redaction, type Removal } from '@killick/sdk/kit'

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
  if (Array.isArray(value))
    return value.map((each, i) => redactJsonTexts(each, [...names, `${i}`], redaction, removals))
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, redactJsonTexts(each, [...names, name], redaction, removals)]),
  )
}

function redactText(text: string, names: readonly string[], redaction: Redaction, removals: Removal[]): string {
  const parsed = parse(text)
  if (parsed === null) return text
  try {
    const found = redaction.redactValue(parsed.value)
    const [first] = found.removals
    if (first === undefined) return text
    const place = pointerTo(names, redaction)
    if (!parsed.isExact) {
      removals.push({ path: place, rule: first.rule })
      return `[redacted:${first.rule}]`
    }
    removals.push(...found.removals.map(({ path, rule }) => ({ path: `${place}${path}`, rule })))
    return JSON.stringify(found.value)
  } catch (error) {
    if (!(error instanceof KitError)) throw error
    return text
  }
}

/** Whether it may be such a text. */
export const isJsonText = (value: unknown): value is string => typeof value === 'string' && /^\s*[[{]/.test(value)

/** Digits that every number keeps. */
const EXACT_DIGITS = 15

type Parsed = { readonly value: JsonObject | JsonValue[]; readonly isExact: boolean }

/** `isExact`: the value is all that the text says. It is not where a name stands twice in an object, or a number has too many digits. */
function parse(text: string): Parsed | null {
  if (!isJsonText(text)) return null
  let members = 0
  let isExact = true
  const look = function (this: unknown, _name: string, value: unknown, { source = '' }: { source?: string } = {}) {
    if (!Array.isArray(this)) members += 1
    if (typeof value === 'number' && source !== `${value}` && source.replace(/\D/g, '').length > EXACT_DIGITS)
      isExact = false
    return value
  }
  try {
    const value = JSON.parse(text, look) as JsonObject | JsonValue[]
    // The whole is the one member of an object that there is not.
    return { value, isExact: isExact && members - 1 === membersIn(text) }
  } catch {
    return null
  }
}

/** How many members its objects have. Without a regular expression, which would need stack for each character of a string. */
function membersIn(text: string): number {
  let [members, isString] = [0, false]
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') isString = !isString
    else if (isString && char === '\\') at += 1
    else if (!isString && char === ':') members += 1
  }
  return members
}

/** A name may be a secret itself. */
const pointerTo = (names: readonly string[], redaction: Redaction): string =>
  names.map((name) => `/${`${redaction.redactValue(name).value}`.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
