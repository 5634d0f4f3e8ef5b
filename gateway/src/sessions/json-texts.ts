// Texts that are JSON themselves. Rules by names of members find nothing in a text, and MCP has a tool return its structured result as such a
// text too.
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { KitError, type Redaction, type Removal } from '@killick/sdk/kit'

/**
 * A value of which the rules have looked into each text that is an object or an array of JSON as a whole. One in which they have found
 * something is printed anew without it; every other text stays as it is, also one that is nested too deep to be looked into.
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
    const found = redaction.redactValue(parsed)
    if (found.removals.length === 0) return text
    const place = pointerTo(names, redaction)
    removals.push(...found.removals.map(({ path, rule }) => ({ path: `${place}${path}`, rule })))
    return JSON.stringify(found.value)
  } catch (error) {
    if (!(error instanceof KitError)) throw error
    return text
  }
}

function parse(text: string): JsonObject | JsonValue[] | null {
  if (!/^\s*[[{]/.test(text)) return null
  try {
    return JSON.parse(text) as JsonObject | JsonValue[]
  } catch {
    return null
  }
}

/** A name may be a secret itself. */
const pointerTo = (names: readonly string[], redaction: Redaction): string =>
  names.map((name) => `/${`${redaction.redactValue(name).value}`.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
