// A text that two readers can read as two messages could show the recorder one call, and the server another.
import { isObject, type JsonValue } from '@killick/sdk/core'

/** Members of messages that a reader without regard to case would take for each other. */
const TOP = ['jsonrpc', 'id', 'method', 'params', 'result', 'error']
const PARAMS = ['name', 'arguments', 'uri', '_meta']

/**
 * Why a message might be read in two ways; null if it cannot be.
 *
 * - an object names a member twice: readers take the first or the last
 * - a known member is written in another case: some readers take it all the same
 * - a carriage return stands inside the line: some readers end the line there
 * @param text JSON, without the end of its line
 * @param framing `body`: its end does not lie in its text
 */
export function ambiguityOf(text: string, value: JsonValue, framing: 'line' | 'body' = 'line'): string | null {
  if (framing === 'line' && text.includes('\r')) return 'has a carriage return inside'
  if (hasDuplicate(text)) return 'names a member twice'
  for (const message of Array.isArray(value) ? value : [value]) {
    if (!isObject(message)) continue
    if (hasOddCase(Object.keys(message), TOP)) return 'has a known member in another case'
    if (isObject(message.params) && hasOddCase(Object.keys(message.params), PARAMS))
      return 'has a known member of params in another case'
  }
  return null
}

const hasOddCase = (names: readonly string[], known: readonly string[]): boolean =>
  names.some((name) => !known.includes(name) && known.includes(folded(name)))

/** A name as readers without regard to case compare it: some take `ſ` for `s`, and the sign of Kelvin for `k`. */
export const folded = (name: string): string => name.toUpperCase().toLowerCase()

/** Goes through the text without recursion, so that nesting costs no stack. @param text is valid JSON */
function hasDuplicate(text: string): boolean {
  /** The names of each object that is open; null for an array. */
  const open: (Set<string> | null)[] = []
  let isName = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      const string = text.slice(at, end + 1)
      at = end
      const names = open.at(-1)
      if (isName && names) {
        const name = string.includes('\\') ? (JSON.parse(string) as string) : string.slice(1, -1)
        if (names.has(name)) return true
        names.add(name)
        isName = false
      }
    } else if (char === '{') {
      open.push(new Set())
      isName = true
    } else if (char === '[') {
      open.push(null)
      isName = false
    } else if (char === '}' || char === ']') {
      open.pop()
      isName = false
    } else if (char === ',') isName = open.at(-1) !== null
  }
  return false
}

/** Where the string that begins at a quotation mark ends. A regular expression would need stack for each of its characters. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end
    while (text[before - 1] === '\\') before--
    if ((end - before) % 2 === 0) return end
  }
}
