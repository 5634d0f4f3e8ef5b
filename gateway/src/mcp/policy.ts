// Which tool calls may reach the server.
import { isObject, type JsonValue, unescapePointer } from '@killick/sdk/core'
import { matchesName } from '../name-pattern.ts'

/** Which calls of tools are denied. In patterns of tool names `*` stands for any text. */
export type McpPolicy = {
  /** Patterns of tools that may be called. Null: all. */
  allow: string[] | null
  /** Patterns of tools that may not be called, even if `allow` names them. */
  deny: string[]
  /** Rules on arguments, beside those lists. */
  rules: McpArgumentRule[]
}

/** A rule on an argument of some tools. */
export type McpArgumentRule = {
  /** Its name, as events and answers show it. */
  name: string
  /** Patterns of the tools that it is for. */
  tools: string[]
  /** JSON pointer into the arguments; `*` in it stands for any one member or element. */
  argument: string
  /** `require`: all values there must fit, and there must be one. `deny`: none may fit. */
  effect: 'require' | 'deny'
  /** What fits: this value, compared as JSON, or a text that this regular expression matches. What is no text is matched as JSON. */
  fits: { equals: JsonValue } | { matches: RegExp }
}

/** Why a call is denied: `allow`, `deny` or the name of a rule, and a sentence. */
export type Denial = { readonly rule: string; readonly why: string }

/** @param name as the call has it, whatever that is @returns null if the call may pass */
export function denialOf(policy: McpPolicy, name: JsonValue | undefined, args: JsonValue | undefined): Denial | null {
  const isNamed = typeof name === 'string'
  const tool = isNamed ? name : ''
  const isRestricted = policy.allow !== null || policy.deny.length > 0 || policy.rules.length > 0
  if (!isNamed && isRestricted) return { rule: 'allow', why: 'The call names no tool.' }
  if (policy.deny.some((pattern) => matchesName(pattern, tool)))
    return { rule: 'deny', why: `The tool ${tool} may not be called.` }
  if (policy.allow !== null && !policy.allow.some((pattern) => matchesName(pattern, tool)))
    return { rule: 'allow', why: `The tool ${tool} is not one that may be called.` }
  for (const { name: rule, tools, argument, effect, fits } of policy.rules) {
    if (!tools.some((pattern) => matchesName(pattern, tool))) continue
    const values = valuesAt(args ?? {}, argument.split('/').slice(1).map(unescapePointer))
    const isDenied =
      effect === 'deny'
        ? values.some((value) => doesFit(value, fits))
        : values.length === 0 || !values.every((value) => doesFit(value, fits))
    if (isDenied) return { rule, why: `The rule ${rule} denies this value of ${argument}.` }
  }
  return null
}

function valuesAt(value: JsonValue, names: readonly string[]): JsonValue[] {
  const [name, ...more] = names
  if (name === undefined) return [value]
  if (typeof value !== 'object' || value === null) return []
  if (name === '*') return Object.values(value).flatMap((each) => valuesAt(each as JsonValue, more))
  return Object.hasOwn(value, name) ? valuesAt((value as Record<string, JsonValue>)[name]!, more) : []
}

function doesFit(value: JsonValue, fits: McpArgumentRule['fits']): boolean {
  if ('matches' in fits) return fits.matches.test(typeof value === 'string' ? value : JSON.stringify(value))
  return JSON.stringify(sorted(value)) === JSON.stringify(sorted(fits.equals))
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  )
}
