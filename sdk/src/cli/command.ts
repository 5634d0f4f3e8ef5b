// What the commands share: arguments, exit codes, and how failures are reported.
import { resolve } from 'node:path'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { CONFIG_FILE, type ConfigSettings, type KillickConfig, loadConfig } from '../config/config.ts'
import { KillickError } from '../core/errors.ts'
import { parseHash } from '../core/hash.ts'
import { nearest } from '../core/nearest.ts'
import type { CommandEntry, OptionEntries, OptionEntry, ValuesOf } from './table/entry.ts'

/** `run` resolves with the exit code. Everything else about a command is in the table. */
export type Command = { run: (args: string[]) => Promise<number> }

export const EXIT = { ok: 0, failed: 1, usage: 2, undecided: 3, interrupted: 130 } as const

/** The command was called wrongly, or its input cannot be read: exit code 2. */
export class UsageError extends Error {}

/** Where the value of an option was found. */
export type Origin = 'option' | 'environment' | 'config' | 'default'

/** What a command was called with. */
export type Args<O extends OptionEntries> = {
  readonly values: ValuesOf<O>
  readonly positionals: readonly string[]
  /** Absent: the option has no value. */
  readonly from: { readonly [Name in keyof O]?: Origin }
  /** The killick.json that counts; null if there is none, or the command reads none. */
  readonly config: KillickConfig | null
}

/**
 * Parses arguments as the table says. An option that is absent is taken from the environment, then from killick.json.
 * @throws UsageError in our own words. @throws KillickError `config_invalid`
 */
export function readArgs<O extends OptionEntries>(entry: CommandEntry<O>, args: readonly string[]): Args<O> {
  const { values: given, positionals } = parse(entry, args)
  const named = entry.arguments ?? []
  const missing = named.slice(positionals.length).find(({ optional }) => !optional)
  if (missing) throw new UsageError(`<${missing.name}> is missing`)
  const extra = positionals[named.length]
  if (extra !== undefined) throw new UsageError(`Unexpected argument ${extra}`)
  const config = 'config' in entry.options ? findConfig(given.config) : null
  const values: Record<string, unknown> = {}
  const from: Record<string, Origin> = {}
  for (const [name, option] of Object.entries(entry.options)) {
    const [value, origin] = settle(option, given[name], config)
    values[name] = value
    if (origin !== undefined) from[name] = origin
  }
  return { values: values as ValuesOf<O>, positionals, from: from as Args<O>['from'], config }
}

/** The person at the terminal did not answer, but ended the program: exit code 130, as after Ctrl-C. */
export class Unanswered extends Error {}

type Given = string | boolean | (string | boolean)[] | undefined

function parse(entry: CommandEntry, args: readonly string[]) {
  const options: NonNullable<ParseArgsConfig['options']> = {}
  for (const [name, { value, repeat }] of Object.entries(entry.options))
    options[name] = { type: value === undefined ? 'boolean' : 'string', ...(repeat && { multiple: true }) }
  // One leaf hash in 64 begins as an option does.
  const hashes = new Map<string, string>()
  const plain = args.map((arg, i) => {
    if (!arg.startsWith('-') || parseHash(arg) === null) return arg
    hashes.set(`\0${i}`, arg)
    return `\0${i}`
  })
  const restored = <T>(value: T): T | string => hashes.get(value as string) ?? value
  try {
    const { values, positionals, tokens } = parseArgs({ args: plain, options, allowPositionals: true, tokens: true })
    refuseTwice(entry, tokens)
    const given = Object.entries(values).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(restored) : restored(value),
    ])
    return { values: Object.fromEntries(given) as typeof values, positionals: positionals.map(restored) }
  } catch (error) {
    if (error instanceof UsageError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    const isUnknown = (arg: string) => /^--?[^-]/.test(arg) && !Object.hasOwn(options, optionNamed(arg))
    const unknown = code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' ? args.find(isUnknown) : undefined
    if (unknown === undefined) throw new UsageError(message.split(/\.\s/)[0])
    const meant = nearest(optionNamed(unknown), Object.keys(entry.options))
    throw new UsageError(
      `There is no option ${unknown.replace(/=.*/s, '')}${meant === null ? '' : `; did you mean --${meant}?`}`,
    )
  }
}

/** Of two values parseArgs keeps the last: a hold on two things would hold one, and an erasure for two people leave one out. */
function refuseTwice({ options }: CommandEntry, tokens: readonly { kind: string; name?: string }[]): void {
  const seen = new Set<string>()
  for (const { kind, name } of tokens) {
    if (kind !== 'option' || name === undefined || options[name]?.value === undefined || options[name].repeat) continue
    if (seen.has(name)) throw new UsageError(`--${name} is given twice, and takes one value`)
    seen.add(name)
  }
}

/** The name in an argument such as `--url=http://a`. */
const optionNamed = (arg: string): string => arg.replace(/^--?/, '').replace(/=.*/s, '')

/** The value of an option, and where it is from. */
function settle(
  { value, repeat, env, ...option }: OptionEntry,
  given: Given,
  config: KillickConfig | null,
): [Given, Origin?] {
  if (given !== undefined) return [given, 'option']
  if (value === undefined) return [false]
  if (repeat) return [[]]
  const set = env && process.env[env]
  if (set) return [set, 'environment']
  const kept = option.config && config?.[option.config as keyof ConfigSettings]
  if (kept) return [kept, 'config']
  return option.default === undefined ? [undefined] : [option.default, 'default']
}

function findConfig(given: Given): KillickConfig | null {
  const named = (given as string | undefined) ?? process.env.KILLICK_CONFIG
  let file: string
  try {
    file = resolve(named || CONFIG_FILE)
  } catch (error) {
    // The working folder was removed, so there is no file in it.
    if (named || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return null
  }
  const config = loadConfig(file)
  if (config === null && named) throw new KillickError('config_invalid', `${named} does not exist`, { file })
  return config
}

/** The value of an option without which the command cannot work. @throws UsageError that says where it may come from */
export function required(
  { options }: CommandEntry,
  { values, config }: { readonly values: { readonly [name: string]: unknown }; readonly config: KillickConfig | null },
  name: string,
): string {
  const value = values[name]
  if (typeof value === 'string' && value !== '') return value
  const { env, config: member } = options[name]!
  const file =
    member === undefined ? '' : config ? `, and ${config.file} lacks ${member}` : ', and there is no killick.json here'
  throw new UsageError(`--${name} is missing${env ? ` (or set ${env})` : ''}${file}`)
}

/** Most seconds that a timer can be set for, about 25 days. */
export const MAX_TIMER_S = 2_147_483

/** A whole number, as an option or part of one. */
export function integer(text: string, option: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const end = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`
    throw new UsageError(`--${option} must be a whole number from ${min}${end}`)
  }
  return value
}
