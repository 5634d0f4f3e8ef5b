// What the commands share: arguments, exit codes, and how failures are reported.
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** `run` resolves with the exit code. `help` is the whole text of `killick <command> --help`. */
export type Command = { summary: string; help: string; run: (args: string[]) => Promise<number> }

export const EXIT = { ok: 0, failed: 1, usage: 2, undecided: 3 } as const

/** The command was called wrongly, or its input cannot be read: exit code 2. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>

/** Parses arguments; wrong ones become a UsageError in our own words. */
export function readArgs<T extends Options>(args: string[], options: T, names: readonly string[] = []) {
  let parsed: ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; args: string[] }>>
  try {
    parsed = parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0])
  }
  const missing = names[parsed.positionals.length]
  if (missing) throw new UsageError(`<${missing}> is missing`)
  const extra = parsed.positionals[names.length]
  if (extra !== undefined) throw new UsageError(`Unexpected argument ${extra}`)
  return parsed
}

/** An option that must be given, or be set in the environment. */
export function required(value: string | undefined, option: string, variable?: string): string {
  const found = value ?? (variable && process.env[variable])
  if (!found) throw new UsageError(`--${option} is missing${variable ? ` (or set ${variable})` : ''}`)
  return found
}

/** A whole number, as an option or part of one. */
export function integer(text: string, option: string, min: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value) || value < min)
    throw new UsageError(`--${option} must be a whole number from ${min}`)
  return value
}
