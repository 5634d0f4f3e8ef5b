// What must not be recorded is removed before an event is signed: afterwards it could not be removed any more.
import { types } from 'node:util'
import { type Change, type EventInput, isPlain, type Recordable } from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import { type Detector, FINDERS, type Finder, matchesOf } from './detectors.ts'
import { KitError } from './errors.ts'
import { below, NOWHERE, namesOf, type PointerTree, pointerTree, step } from './pointer.ts'

/**
 * A rule that says what to remove, with one way to find it:
 *
 * - `paths`: JSON pointers into the event, such as `/metadata/card`, `/actor/email`, `/targets/0/name`; `*` stands for any one member or
 *   element. Everything at and below the place is removed. `/outcome` and `/occurredAt` cannot be.
 * - `keys`: names of members at any depth, compared without regard to case, `-` and `_`; or regular expressions. Of a name such as
 *   `user[password]` each part counts too, of `user.password` the last one, and in `changes` the names in a change's `path`.
 * - `values`: regular expressions; what they match in a text, a number or a name of a member is removed
 * - `detect`: as `values`, with detectors
 *
 * `name` stands in events: 1 to 64 letters, digits, dots, hyphens and underscores, and no two rules have the same.
 */
export type RedactionRule = { readonly name: string } & (
  | { readonly paths: readonly string[] }
  | { readonly keys: readonly (string | RegExp)[] }
  | { readonly values: readonly RegExp[] }
  | { readonly detect: readonly Detector[] }
)

/** Rules in the order in which they are tried. */
export type RedactionRules = readonly RedactionRule[]

/** Where something was removed (a JSON pointer), and by which rule. Never what it was. */
export type Removal = { readonly path: string; readonly rule: string }

/** Rules, checked and compiled by `compileRedaction`. What they remove becomes `[redacted:<rule>]`. Inputs are never changed. */
export type Redaction = {
  readonly rules: RedactionRules
  /**
   * An event without what the rules find, and what was removed. An audit object adds the removals of all its rules to
   * `metadata.redactions`; this function does not.
   * @throws KitError `event_invalid` if the event holds what cannot be looked into, with the place in `details.field`
   */
  redactEvent(event: EventInput): { event: EventInput; removals: readonly Removal[] }
  /** Any other value; the rules' paths, and those of the removals, are relative to it. @throws KitError `event_invalid` */
  redactValue(value: Recordable): { value: Recordable; removals: readonly Removal[] }
}

/** A start: usual names of secrets, and everything that detectors recognise. */
export const STANDARD_RULES: RedactionRules = [
  {
    name: 'secret',
    keys: [
      ...['password', 'passwd', 'pwd', 'passphrase', 'newPassword', 'oldPassword', 'currentPassword', 'passwordHash'],
      ...['secret', 'clientSecret', 'token', 'accessToken', 'refreshToken', 'idToken', 'sessionToken', 'csrfToken'],
      ...['apiKey', 'xApiKey', 'privateKey', 'secretKey', 'authorization', 'proxyAuthorization', 'cookie', 'setCookie'],
      ...['otp', 'totp', 'pin', 'cvv', 'cvc', 'cardNumber'],
    ],
  },
  { name: 'credential', detect: ['bearer', 'jwt', 'apiKey', 'privateKey'] },
  { name: 'url-password', detect: ['urlPassword'] },
  { name: 'card', detect: ['card'] },
]

const RULE_NAME = /^[A-Za-z0-9._-]{1,64}$/
const WAYS = ['paths', 'keys', 'values', 'detect'] as const
// Deeper than an event can be, so that what is too deep is refused for what it is.
const MAX_DEPTH = 40
const MAX_REMEMBERED_NAMES = 2_000
const MAX_REMEMBERED_TEXT = 64

type TextFinder = { rule: string; find: Finder }
type NameFinder = { rule: string; pattern: RegExp }
type Nodes = readonly PointerTree<string>[]

/**
 * Checks and compiles rules, once for as many events as come.
 * @throws KitError `redaction_rule_invalid`, with the rule's name or else its number in `details.rule`, and a JSON pointer into the
 * rules in `details.field`
 * @example
 * const redaction = compileRedaction([...STANDARD_RULES, { name: 'iban', values: [/\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b/] }])
 */
export function compileRedaction(rules: RedactionRules): Redaction {
  return new CompiledRedaction(rules)
}

const compiled = new WeakMap<RedactionRules, CompiledRedaction>()

/** What was compiled before is taken as it is, and rules that are given again are compiled once. */
export function asRedaction(given: RedactionRules | Redaction): CompiledRedaction {
  if (given instanceof CompiledRedaction) return given
  // One that another copy of this module has compiled has the same rules.
  const rules = isObject(given) ? (given as Redaction).rules : (given as RedactionRules)
  const known = compiled.get(rules)
  if (known) return known
  const redaction = new CompiledRedaction(rules)
  compiled.set(rules, redaction)
  return redaction
}

/** @internal what `diff` needs beside the public functions */
export class CompiledRedaction implements Redaction {
  readonly rules: RedactionRules
  readonly #paths: Nodes
  /** By a name without case, hyphens and underscores. */
  readonly #names = new Map<string, string>()
  readonly #namePatterns: NameFinder[] = []
  readonly #texts: TextFinder[] = []
  /** Short texts in which nothing was found. */
  readonly #clean = new Set<string>()
  /** What is known of names as they are written; null: no rule is for it. */
  readonly #known = new Map<string, string | null>()

  constructor(rules: RedactionRules) {
    checkRules(rules)
    this.rules = rules
    const paths: [string[], string][] = []
    for (const rule of rules) {
      const { name } = rule
      if ('paths' in rule) paths.push(...rule.paths.map((path): [string[], string] => [namesOf(path)!, name]))
      if ('values' in rule)
        this.#texts.push(...rule.values.map((pattern) => ({ rule: name, find: matchesOf(pattern) })))
      if ('detect' in rule)
        this.#texts.push(...rule.detect.map((detector) => ({ rule: name, find: FINDERS[detector] })))
      if ('keys' in rule)
        for (const key of rule.keys) {
          if (typeof key !== 'string') this.#namePatterns.push({ rule: name, pattern: unmoved(key) })
          else if (!this.#names.has(plainName(key))) this.#names.set(plainName(key), name)
        }
    }
    this.#paths = paths.length > 0 ? [pointerTree(paths)] : NOWHERE
  }

  redactEvent(event: EventInput): { event: EventInput; removals: readonly Removal[] } {
    const removals: Removal[] = []
    const redacted: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(event)) {
      const nodes = step(this.#paths, name)
      const path = below('', name)
      const rule = FIELDS.has(name) ? null : this.#ruleFor(name)
      if (name === 'outcome' || name === 'occurredAt' || name === 'catalogue') redacted[name] = value
      else if (rule !== null && value !== undefined) redacted[name] = remove(path, rule, removals)
      else if (name === 'changes' && Array.isArray(value))
        redacted.changes = this.#list(value, path, nodes, removals, (change, at, below) =>
          this.#change(change, at, below, removals),
        )
      else if (name === 'targets' && Array.isArray(value))
        redacted.targets = this.#list(value, path, nodes, removals, (target, at, below, all) =>
          this.#members(target, at, below, 2, removals, all),
        )
      // The field itself stays what it must be; what is in it is removed.
      else if (isObject(value) && isPlain(value))
        redacted[name] = this.#members(value, path, nodes, 1, removals, nodes.find(hasEnd)?.ends[0])
      else redacted[name] = this.#value(value, path, nodes, 1, removals)
    }
    return { event: redacted as EventInput, removals }
  }

  redactValue(value: Recordable): { value: Recordable; removals: readonly Removal[] } {
    const removals: Removal[] = []
    return { value: this.#value(value, '', this.#paths, 0, removals) as Recordable, removals }
  }

  /** Names without what is found in them, and the rules that found it. */
  redactNames(names: readonly string[]): { names: string[]; rules: string[] } {
    const removals: Removal[] = []
    const redacted = names.map((name) => this.#text(name, '', removals))
    return { names: redacted, rules: removals.map(({ rule }) => rule) }
  }

  /** A value that stands at a place below another, whose names lead there. Removals are relative to the value itself. */
  redactBelow(names: readonly string[], value: unknown): { value: Recordable; removals: readonly Removal[] } {
    const removals: Removal[] = []
    let nodes = this.#paths
    let rule = nodes.find(hasEnd)?.ends[0]
    for (const name of names) {
      nodes = step(nodes, name)
      rule ??= nodes.find(hasEnd)?.ends[0] ?? this.#ruleFor(name) ?? undefined
    }
    const redacted = rule === undefined ? this.#value(value, '', nodes, 0, removals) : remove('', rule, removals)
    return { value: redacted as Recordable, removals }
  }

  #list(
    list: readonly unknown[],
    path: string,
    nodes: Nodes,
    removals: Removal[],
    each: (item: Record<string, unknown>, path: string, nodes: Nodes, all: string | undefined) => unknown,
  ): unknown[] {
    const whole = nodes.find(hasEnd)?.ends[0]
    return list.map((item, i) => {
      const at = below(path, i)
      const here = step(nodes, `${i}`)
      if (!isObject(item) || !isPlain(item)) return this.#value(item, at, here, 2, removals)
      const all = whole ?? here.find(hasEnd)?.ends[0]
      if (all === undefined || path !== '/changes') return each(item, at, here, all)
      return this.#members(item, at, here, 2, removals, all)
    })
  }

  /** A change: its names are the form's own, and what it is a change of stands in `path`. */
  #change(change: Record<string, unknown>, path: string, nodes: Nodes, removals: Removal[]): unknown {
    const redacted: Record<string, unknown> = {}
    const changed = typeof change.path === 'string' ? (namesOf(change.path) ?? change.path.split(/[./[\]]+/)) : []
    const rule = changed.map((name) => this.#ruleFor(name)).find((it) => it !== null) ?? null
    for (const [name, value] of entriesOf(change, path)) {
      const at = below(path, name)
      const isValue = name === 'before' || name === 'after'
      if (rule !== null && isValue && value !== undefined) redacted[name] = remove(at, rule, removals)
      else redacted[name] = this.#value(value, at, step(nodes, name), 3, removals)
    }
    return redacted
  }

  #value(value: unknown, path: string, nodes: Nodes, depth: number, removals: Removal[]): unknown {
    for (const { ends } of nodes) if (ends.length > 0 && value !== undefined) return remove(path, ends[0]!, removals)
    switch (typeof value) {
      case 'string':
        return this.#text(value, path, removals)
      case 'number': {
        const text = `${value}`
        const left = this.#text(text, path, removals)
        return left === text ? value : left
      }
      case 'object':
        break
      default:
        // Nothing that could be recorded, or nothing that could hide anything.
        return value
    }
    if (value === null) return null
    if (depth > MAX_DEPTH) throw refused(path, 'is nested too deep')
    if (Array.isArray(value))
      return Array.from(value, (item, i) =>
        this.#value(item, below(path, i), nodes.length > 0 ? step(nodes, `${i}`) : nodes, depth + 1, removals),
      )
    if (isPlain(value)) return this.#members(value, path, nodes, depth, removals)
    if (!types.isDate(value)) throw refused(path, 'is not a plain object')
    // What JSON makes of the date is what would be recorded, whatever its class has made of that.
    const text = value.toJSON()
    if (typeof text !== 'string') throw refused(path, 'is a Date of which JSON makes no text')
    return this.#text(text, path, removals)
  }

  /** @param all a rule by which every member is removed */
  #members(
    object: object,
    path: string,
    nodes: Nodes,
    depth: number,
    removals: Removal[],
    all?: string | undefined,
  ): Record<string, unknown> {
    const redacted: Record<string, unknown> = {}
    for (const [i, [name, value]] of entriesOf(object, path).entries()) {
      const key = freeName(redacted, this.#text(name, `${path}/*`, removals), i + 1)
      const at = below(path, key)
      const rule = all ?? this.#ruleFor(name)
      if (rule !== null && value !== undefined) redacted[key] = remove(at, rule, removals)
      else redacted[key] = this.#value(value, at, step(nodes, name), depth + 1, removals)
    }
    return redacted
  }

  #text(text: string, path: string, removals: Removal[]): string {
    if (text.length <= MAX_REMEMBERED_TEXT && this.#clean.has(text)) return text
    let left = text
    for (const { rule, find } of this.#texts) {
      const ranges = find(left)
      if (ranges.length === 0) continue
      removals.push({ path, rule })
      const before = left
      const rest = before.slice(ranges.at(-1)![1])
      left =
        ranges.map(([from], i) => before.slice(i === 0 ? 0 : ranges[i - 1]![1], from) + marker(rule)).join('') + rest
    }
    if (left === text && text.length <= MAX_REMEMBERED_TEXT) this.#remember(text)
    return left
  }

  /** Names, ids and addresses come again in event after event. */
  #remember(text: string): void {
    if (this.#clean.size >= MAX_REMEMBERED_NAMES) this.#clean.clear()
    this.#clean.add(text)
  }

  #ruleFor(name: string): string | null {
    if (this.#names.size === 0 && this.#namePatterns.length === 0) return null
    const known = this.#known.get(name)
    if (known !== undefined) return known
    let rule: string | null = null
    for (const each of [name, ...partsOf(name)])
      rule ??=
        this.#names.get(plainName(each)) ?? this.#namePatterns.find(({ pattern }) => pattern.test(each))?.rule ?? null
    // Names may come from callers, without end.
    if (this.#known.size >= MAX_REMEMBERED_NAMES) this.#known.clear()
    this.#known.set(name, rule)
    return rule
  }
}

const marker = (rule: string) => `[redacted:${rule}]`

function remove(path: string, rule: string, removals: Removal[]): string {
  removals.push({ path, rule })
  return marker(rule)
}

const hasEnd = ({ ends }: PointerTree<string>) => ends.length > 0
const plainName = (name: string) => name.replace(/[-_]/g, '').toLowerCase()

/** Of `user[password]`, as forms and queries have it, each; of `user.password` the last: what is in front says only whose it is. */
const partsOf = (name: string): string[] => {
  const last = name.slice(name.lastIndexOf('.', name.length - 2) + 1)
  const inBrackets = name.matchAll(/\[["']?([^[\]]*?)["']?\]/g)
  const parts = [...last.split(/[[\]]+/), ...[...inBrackets].map(([, part]) => part!)].filter((part) => part !== '')
  return parts.length === 1 && parts[0] === name ? [] : parts
}

/** A pattern without a memory of where it matched last. */
const unmoved = ({ source, flags }: RegExp) => new RegExp(source, flags.replace(/[gy]/g, ''))

const refused = (field: string, why: string) =>
  new KitError('event_invalid', `${field || 'The value'} ${why}`, { field })

function entriesOf(object: object, path: string): [string, unknown][] {
  // To set this member of another object would set its prototype: the member would be lost without a word.
  if (Object.hasOwn(object, '__proto__')) throw refused(path, 'has a member name that is not allowed')
  return Object.entries(object)
}

/** Names that have become the same stay two: the later one gets its number behind it. */
function freeName(object: object, name: string, number: number): string {
  let free = name
  for (let i = number; Object.hasOwn(object, free); i++) free = `${name}#${i}`
  return free
}

/** The fields that every event can have: what they are called says nothing of what is in them. */
const FIELDS: ReadonlySet<string> = new Set([
  ...['action', 'actor', 'targets', 'outcome', 'context', 'changes', 'metadata', 'occurredAt', 'catalogue'],
])

/** Fields of an event that have no room for anything else. */
const FIXED = new Set(['outcome', 'occurredAt'])

function checkRules(rules: unknown): asserts rules is RedactionRules {
  const fail = (field: string, why: string, rule?: unknown): never => {
    throw new KitError('redaction_rule_invalid', `Redaction rule ${field} ${why}`, {
      field,
      ...(rule !== undefined && { rule }),
    })
  }
  if (!Array.isArray(rules)) fail('', 'list must be an array')
  const taken = new Set<unknown>()
  for (const [i, rule] of (rules as unknown[]).entries()) {
    if (!isObject(rule)) fail(`/${i}`, 'must be an object with a name and one of paths, keys, values and detect', i)
    const { name, ...rest } = rule as Record<string, unknown>
    if (typeof name !== 'string' || !RULE_NAME.test(name))
      fail(`/${i}/name`, 'must be 1 to 64 letters, digits, dots, hyphens and underscores', i)
    if (taken.has(name)) fail(`/${i}/name`, `is that of another rule: ${name}`, name)
    taken.add(name)
    const ways = Object.keys(rest).filter((way) => rest[way] !== undefined)
    const odd = ways.find((way) => !(WAYS as readonly string[]).includes(way))
    if (odd !== undefined) fail(`/${i}/${odd}`, 'is not one of name, paths, keys, values, detect', name)
    if (ways.length !== 1) fail(`/${i}`, 'must have one of paths, keys, values and detect', name)
    const way = ways[0] as (typeof WAYS)[number]
    const list = rest[way]
    if (!Array.isArray(list) || list.length === 0) fail(`/${i}/${way}`, 'must be an array that is not empty', name)
    for (const [j, item] of (list as unknown[]).entries()) {
      const why = FAULTS[way](item)
      if (why !== null) fail(`/${i}/${way}/${j}`, why, name)
    }
  }
}

const isRegExp = (value: unknown): value is RegExp => Object.prototype.toString.call(value) === '[object RegExp]'

/** What is wrong with an item of a rule; null if nothing is. */
const FAULTS: { readonly [way in (typeof WAYS)[number]]: (item: unknown) => string | null } = {
  paths: (item) => {
    const names = namesOf(item)
    if (names === null) return 'must be a JSON pointer, such as /metadata/card'
    if (names.length === 0) return 'must not be the whole'
    return names.length === 1 && FIXED.has(names[0]!) ? 'cannot be removed from an event' : null
  },
  keys: (item) =>
    isRegExp(item) || (typeof item === 'string' && plainName(item) !== '')
      ? null
      : 'must be a name or a regular expression',
  values: (item) => {
    if (!isRegExp(item)) return 'must be a regular expression'
    return unmoved(item).test('') ? 'must not match an empty text' : null
  },
  detect: (item) =>
    typeof item === 'string' && Object.hasOwn(FINDERS, item)
      ? null
      : `must be one of ${Object.keys(FINDERS).join(', ')}`,
}

/** Removals of changes that `diff` has made, each with its place below the change. */
const removedByDiff = new WeakMap<object, readonly Removal[]>()

export const rememberRemovals = (change: Change, removals: readonly Removal[]): void => {
  if (removals.length > 0) removedByDiff.set(change, removals)
}

/** What `diff` has removed from the changes of an event. */
export function removalsOfChanges(changes: EventInput['changes']): Removal[] {
  if (!Array.isArray(changes)) return []
  return changes.flatMap((change, i) =>
    isObject(change)
      ? (removedByDiff.get(change) ?? []).map(({ path, rule }) => ({ path: `/changes/${i}${path}`, rule }))
      : [],
  )
}
