// Reading a configuration strictly: every fault is named at once, and a member that nobody asked for is one.
import { isObject, type JsonObject, type JsonValue, nearest } from '@killick/sdk/core'

/** Most that sizes may be, bytes; beyond 2^53 a number is not exact. */
export const MAX_BYTES = 2 ** 40
/** Most that a timer takes, ms. */
export const MAX_MS = 2 ** 31 - 1

/** The members of one object, each asked for once. What is wrong goes to the list of faults, and something harmless takes its place. */
export type Members = {
  fault(name: string, why: string): void
  has(name: string): boolean
  text(name: string, form?: RegExp, why?: string, fallback?: string): string
  optional(name: string): string | null
  texts(name: string, form?: RegExp, why?: string): string[] | null
  list(name: string): JsonValue[]
  object(name: string): Members
  /** The names of an object's members. */
  names(name: string): string[]
  /** Any value, as it stands; null where there is none. */
  any(name: string): JsonValue
  /** An object as it stands. */
  json(name: string): JsonObject
  flag(name: string): boolean
  integer(name: string, fallback: number, min: number, max: number): number
  choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T
  /** To be called last: members that nobody asked for are faults. */
  done(): void
}

/** Looks into a value that should be an object. @param at its place, a JSON pointer @param faults where what is wrong is added */
export function members(value: JsonValue | undefined, at: string, faults: string[]): Members {
  const object: JsonObject = isObject(value) ? value : {}
  if (value !== undefined && !isObject(value)) faults.push(`${at || '/'} must be an object`)
  const known = new Set<string>()
  const fault = (name: string, why: string): void => void faults.push(`${name === '' ? at : `${at}/${name}`} ${why}`)
  const take = (name: string): JsonValue | undefined => {
    known.add(name)
    return Object.hasOwn(object, name) ? object[name] : undefined
  }
  return {
    fault,
    has: (name: string) => Object.hasOwn(object, name),
    text(name: string, form = /./, why = 'must be a text', fallback?: string): string {
      const given = take(name)
      if (given === undefined && fallback !== undefined) return fallback
      if (given === undefined) fault(name, 'is missing')
      else if (typeof given !== 'string' || !form.test(given)) fault(name, why)
      return typeof given === 'string' ? given : ''
    },
    optional(name: string): string | null {
      const given = take(name)
      if (given !== undefined && (typeof given !== 'string' || given === '')) fault(name, 'must be a text')
      return typeof given === 'string' ? given : null
    },
    texts(name: string, form = /./, why = 'must be a list of texts'): string[] | null {
      const given = take(name)
      if (given === undefined) return null
      const isRight = Array.isArray(given) && given.every((each) => typeof each === 'string' && form.test(each))
      if (!isRight) fault(name, why)
      return isRight ? (given as string[]) : []
    },
    list(name: string): JsonValue[] {
      const given = take(name)
      if (!Array.isArray(given)) fault(name, given === undefined ? 'is missing' : 'must be a list')
      return Array.isArray(given) ? given : []
    },
    object(name: string): Members {
      return members(take(name), `${at}/${name}`, faults)
    },
    names(name: string): string[] {
      const given = take(name)
      if (given !== undefined && !isObject(given)) fault(name, 'must be an object')
      return isObject(given) ? Object.keys(given) : []
    },
    any(name: string): JsonValue {
      return take(name) ?? null
    },
    json(name: string): JsonObject {
      const given = take(name)
      if (!isObject(given)) fault(name, given === undefined ? 'is missing' : 'must be an object')
      return isObject(given) ? given : {}
    },
    flag(name: string): boolean {
      const given = take(name)
      if (given !== undefined && typeof given !== 'boolean') fault(name, 'must be true or false')
      return given === true
    },
    integer(name: string, fallback: number, min: number, max: number): number {
      const given = take(name)
      if (given === undefined) return fallback
      const isRight = Number.isSafeInteger(given) && (given as number) >= min && (given as number) <= max
      if (!isRight) fault(name, `must be an integer from ${min} to ${max}`)
      return isRight ? (given as number) : fallback
    },
    choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
      const given = take(name)
      const chosen = choices.find((each) => each === given)
      if (given !== undefined && chosen === undefined) fault(name, `must be one of ${choices.join(', ')}`)
      return chosen ?? choices[0]
    },
    done(): void {
      for (const name of Object.keys(object)) {
        if (known.has(name)) continue
        const meant = nearest(name, known)
        fault(name, `is not a setting${meant === null ? '' : `; did you mean ${meant}?`}`)
      }
    },
  }
}
