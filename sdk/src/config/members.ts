// Reads JSON that people write: what is not known is refused, with the name that was probably meant.
import type { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import { nearest } from '../core/nearest.ts'

/** Makes the error; `member` is the one at fault, with a `.` before each part of its path but the first. */
export type Fail = (why: string, member?: string, meant?: string) => KillickError

/**
 * The members of an object, all of which are known.
 * @param path of the object, with a `.` at its end, or empty
 */
export function membersOf(value: unknown, path: string, known: readonly string[], fail: Fail): JsonObject {
  if (!isObject(value)) throw fail(path === '' ? 'it is not a JSON object' : `${path.slice(0, -1)} must be an object`)
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue
    const meant = nearest(name, known)
    const hint = meant === null ? `the members are ${known.join(', ')}` : `did you mean ${path}${meant}?`
    throw fail(`there is no member ${path}${name}: ${hint}`, path + name, meant === null ? undefined : path + meant)
  }
  return value
}

/** A text that is not empty; undefined if the member is absent. */
export function textOf(value: unknown, member: string, what: string, fail: Fail): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value === '') throw fail(`${member} must be ${what}`, member)
  return value
}

/** An http or https URL; undefined if the member is absent. */
export function urlOf(value: unknown, member: string, fail: Fail): string | undefined {
  const url = textOf(value, member, 'an http or https URL', fail)
  if (url !== undefined && !/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw fail(`${member} must be an http or https URL`, member)
  return url
}
