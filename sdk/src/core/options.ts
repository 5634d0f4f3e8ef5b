/** Reads the options of a function: one with a misspelt name would be as good as not given, and nobody would know. */
import { KillickError } from './errors.ts'
import { isObject } from './json.ts'
import { nearest } from './nearest.ts'
import { printable } from './text.ts'

/** The name of every option: the compiler finds one that is missing. */
export type OptionNames<Options> = { readonly [name in keyof Options]-?: true }

/** Makes the error; `details` are `{ option, meant }`, the last where one is near. */
type Fault = (message: string, details: { option?: string; meant?: string }) => Error

const invalid: Fault = (message, details) => new KillickError('option_invalid', message, details)

/**
 * The options as they were given, each of which is known; none where `given` is undefined or null.
 * @param fault default: KillickError `option_invalid`
 */
export function knownOptions<Options extends object>(
  given: Options | null | undefined,
  names: OptionNames<Options>,
  fault: Fault = invalid,
): Options {
  if (given === undefined || given === null) return {} as Options
  if (!isObject(given)) throw fault('Options must be an object', {})
  for (const name in given) {
    if (Object.hasOwn(names, name)) continue
    const meant = nearest(name, Object.keys(names))
    const advice = meant === null ? '' : `. Did you mean ${meant}?`
    throw fault(`Option ${printable(name)} is not known${advice}`, { option: name, ...(meant !== null && { meant }) })
  }
  return given
}
