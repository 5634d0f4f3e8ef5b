/** Pieces of which steps are told. */
import { isObject, type JsonValue } from '../../core/json.ts'
import { mayBeHidden, type OpenEvent, type SessionEvent, type SessionStep } from './step.ts'

/** A line of our own words, as strings, and of what others wrote, which whoever shows it makes harmless. */
export type ToldStep = readonly (string | { readonly said: string })[]

/** Tells one kind of step. */
export type Teller = (event: OpenEvent, step: SessionStep) => ToldStep

/** Longest piece of somebody else's words in a line, in UTF-16 code units. */
const MAX_SAID = 160

/** Somebody else's words, cut where they are long. */
export function said(text: string): { said: string } {
  if (text.length <= MAX_SAID) return { said: text }
  return { said: `${text.slice(0, MAX_SAID).toWellFormed()}… (${(text.length - MAX_SAID).toLocaleString('en')} more)` }
}

/** A value on one line: a text as it is, anything else as JSON. */
export const shown = (value: JsonValue): { said: string } =>
  said(typeof value === 'string' ? value : JSON.stringify(value))

/** A field, or why it is not there: too large to be recorded, or not shown. Empty where there is none. */
export function field(name: string, before: string, event: OpenEvent, { known }: SessionStep): ToldStep {
  const value = event.fields[name]
  if (value !== undefined) return [before, shown(value)]
  const omitted = isObject(known.omitted) ? known.omitted[name] : undefined
  if (isObject(omitted)) {
    const { bytes, sha256 } = omitted
    const size = typeof bytes === 'number' ? `${bytes.toLocaleString('en')} bytes` : 'what no event can hold'
    return [before, size, ...(typeof sha256 === 'string' ? [', SHA-256 ', said(sha256)] : [])]
  }
  return mayBeHidden(name, event) ? [before, 'what is not shown'] : []
}

/** The id of the first target of a type. */
export function targetOf({ fields }: SessionEvent, type: string): { said: string } | string {
  const targets = Array.isArray(fields.targets) ? fields.targets : []
  const found = targets.find((target) => isObject(target) && target.type === type)
  return isObject(found) && typeof found.id === 'string' ? said(found.id) : 'something that is not shown'
}

/** A member of an object, for people. */
export const member = (value: JsonValue | undefined, name: string): JsonValue | undefined =>
  isObject(value) ? value[name] : undefined

/** What a recorder has counted and could not record: `; 3 chunks were not recorded`. Empty for none. */
export const lost = (number: JsonValue | undefined, one: string, many: string): ToldStep =>
  typeof number === 'number' && number > 0
    ? [`; ${number.toLocaleString('en')} ${number === 1 ? `${one} was` : `${many} were`} not recorded`]
    : []

/** Things that an event names, without the session itself: `mcp-tool echo, mcp-server files`. */
export function targetsOf({ fields }: SessionEvent): { said: string }[] {
  const targets = Array.isArray(fields.targets) ? fields.targets : []
  return targets.flatMap((target) =>
    isObject(target) && target.type !== 'session' ? [said(`${String(target.type)} ${String(target.id)}`)] : [],
  )
}
