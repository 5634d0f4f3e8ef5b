// Which tool calls may reach the server, and which a person is asked about before.
import { isObject, type JsonValue, unescapePointer } from '@killick/sdk/core'
import { matchesName } from '../name-pattern.ts'
import { withNumbersOnly } from '../sessions/json-texts.ts'
import { folded } from './ambiguity.ts'

/** Which calls of tools are denied. In patterns of tool names `*` stands for any text. */
export type McpPolicy = {
  /** Patterns of tools that may be called. Null: all. */
  allow: string[] | null
  /** Patterns of tools that may not be called, even if `allow` names them. */
  deny: string[]
  /** Patterns of tools whose calls wait for a person, where nothing denies them: see `approvals`. */
  approve: string[]
  /** Rules on arguments, beside those lists. */
  rules: McpArgumentRule[]
}

/** A rule on an argument of some tools. */
export type McpArgumentRule = {
  /** Its name, as events and answers show it. */
  name: string
  /** Patterns of the tools that it is for. */
  tools: string[]
  /**
   * JSON pointer into the arguments; `*` in it stands for any one member or element. Names are compared without regard to case, and it leads
   * into texts of JSON.
   */
  argument: string
  /** `require`: all values there must fit, and there must be one. `deny`: none may fit. `approve`: if one fits, the call waits for a person. */
  effect: 'require' | 'deny' | 'approve'
  /** What fits: this value, compared as JSON, or a text that this regular expression matches. What is no text is matched as JSON. */
  fits: { equals: JsonValue } | { matches: RegExp }
}

/** Why a call is denied: `allow`, `deny` or the name of a rule, and a sentence. */
export type Denial = { readonly rule: string; readonly why: string }

/** @param name as the call has it, whatever that is @returns null if the call may pass */
export function denialOf(policy: McpPolicy, name: JsonValue | undefined, args: JsonValue | undefined): Denial | null {
  const isNamed = typeof name === 'string'
  const tool = isNamed ? name : ''
  const isRestricted = isRestricting(policy)
  if (!isNamed && isRestricted) return { rule: 'allow', why: 'The call names no tool.' }
  if (policy.deny.some((pattern) => matchesName(pattern, tool)))
    return { rule: 'deny', why: `The tool ${tool} may not be called.` }
  if (policy.allow !== null && !policy.allow.some((pattern) => matchesName(pattern, tool)))
    return { rule: 'allow', why: `The tool ${tool} is not one that may be called.` }
  for (const { name: rule, tools, argument, effect, fits } of policy.rules) {
    if (effect === 'approve' || !tools.some((pattern) => matchesName(pattern, tool))) continue
    const values = valuesOf(args, argument)
    const isDenied =
      effect === 'deny'
        ? values.some((value) => doesFit(value, fits) ?? true)
        : values.length === 0 || !values.every((value) => doesFit(value, fits) ?? false)
    if (isDenied) return { rule, why: `The rule ${rule} denies this value of ${argument}.` }
  }
  return null
}

/** Whether a policy may keep any call from the server. */
export const isRestricting = ({ allow, deny, approve, rules }: McpPolicy): boolean =>
  allow !== null || deny.length > 0 || approve.length > 0 || rules.length > 0

/** Whether a policy lets calls wait for a person. */
export const asksPeople = ({ approve, rules }: McpPolicy): boolean =>
  approve.length > 0 || rules.some(({ effect }) => effect === 'approve')

/** Why a call that is not denied waits for a person: `approve` or the name of a rule; null: it does not. */
export function approvalOf(policy: McpPolicy, name: JsonValue | undefined, args: JsonValue | undefined): string | null {
  if (typeof name !== 'string') return null
  if (policy.approve.some((pattern) => matchesName(pattern, name))) return 'approve'
  const rule = policy.rules.find(
    ({ effect, tools, argument, fits }) =>
      effect === 'approve' &&
      tools.some((pattern) => matchesName(pattern, name)) &&
      valuesOf(args, argument).some((value) => doesFit(value, fits) ?? true),
  )
  return rule?.name ?? null
}

const valuesOf = (args: JsonValue | undefined, pointer: string): JsonValue[] =>
  valuesAt(args ?? {}, pointer.split('/').slice(1).map(unescapePointer))

/** Some servers take a member in another case for it, and some, as those of the official SDK for Python, a text of JSON for what it holds. */
function valuesAt(value: JsonValue, names: readonly string[]): JsonValue[] {
  const [name, ...more] = names
  if (name === undefined) return [value]
  const inside = typeof value === 'string' ? jsonIn(value) : value
  if (typeof inside !== 'object' || inside === null) return []
  const own = Object.entries(inside) as [string, JsonValue][]
  return own
    .filter(([each]) => name === '*' || folded(each) === folded(name))
    .flatMap(([, each]) => valuesAt(each, more))
}

function jsonIn(text: string): JsonValue {
  if (!/^\s*[[{]/.test(text)) return null
  try {
    return JSON.parse(withNumbersOnly(text)) as JsonValue
  } catch {
    return null
  }
}

/** @returns null for what is nested too deep to be compared, as a text of JSON may be: it counts against the call */
function doesFit(value: JsonValue, fits: McpArgumentRule['fits']): boolean | null {
  try {
    if ('matches' in fits) return fits.matches.test(typeof value === 'string' ? value : JSON.stringify(value))
    return JSON.stringify(sorted(value)) === JSON.stringify(sorted(fits.equals))
  } catch {
    return null
  }
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
