import { types } from 'node:util'
import { type Change, isPlain, type Recordable } from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import { knownOptions } from '../core/options.ts'
import { KitError } from './errors.ts'
import { below, NOWHERE, namesOf, type PointerTree, pointerTree, step } from './pointer.ts'
import {
  asRedaction,
  type CompiledRedaction,
  type Redaction,
  type RedactionRules,
  rememberRemovals,
} from './redaction.ts'

/** Options of `diff`. */
export type DiffOptions = {
  /**
   * Rules whose paths are relative to the compared values. What changed and is removed is listed all the same, as
   * `[redacted:<rule>]`, so that it can be seen to have changed.
   */
  readonly redact?: RedactionRules | Redaction | undefined
  /** Only what is at or below these JSON pointers; `*` stands for any one member or element. Default: everything. */
  readonly only?: readonly string[] | undefined
  /**
   * How the elements of arrays are told apart: the pointer of an array (`*` as above) and the member that names its elements, such as
   * `{ '/lines': 'sku' }`; the member must be a text or a number. Such an element's path has that name in the place of an index
   * (`/lines/A-7/quantity`), and the order of elements counts for nothing. Other arrays are compared by index.
   */
  readonly keys?: { readonly [pointer: string]: string } | undefined
}

const OPTIONS = { redact: true, only: true, keys: true } as const
const invalid = (message: string, details: Record<string, unknown>) => new KitError('diff_invalid', message, details)

/** As many levels as fit into `changes` of an event. */
const MAX_DEPTH = 28
const MAX_CHANGES = 10_000

type Json = null | boolean | number | string | Json[] | JsonMembers
type JsonMembers = { [member: string]: Json }

/**
 * What changed from `before` to `after`, as `changes` of an event: paths are JSON pointers (RFC 6901); `before` is absent where
 * something was added, `after` where it was removed. A member that is undefined counts as absent, null is a value, and a Date is its
 * ISO text. If one of the two is undefined as a whole, the change has the path `""`. Elements that an array has lost at its end
 * come last first, so that the changes can be applied one after the other.
 * @throws KitError `diff_invalid` with the place in `details.field`: a cycle, more than 28 levels, what JSON cannot carry, an element
 * whose key is missing or occurs twice, more than 10,000 changes, a malformed option; `redaction_rule_invalid`
 * @example
 * diff({ total: 40, lines: [{ sku: 'A', n: 1 }] }, { total: 40, lines: [{ sku: 'A', n: 2 }] }, { keys: { '/lines': 'sku' } })
 * // [{ path: '/lines/A/n', before: 1, after: 2 }]
 */
export function diff(before: unknown, after: unknown, options?: DiffOptions): Change[] {
  const { redact, only, keys = {} } = knownOptions(options, OPTIONS, invalid)
  const keyed = Object.entries(keys).map(([pattern, key]) => [patternOf(pattern, 'keys'), key] as const)
  const comparison = new Comparison(
    redact === undefined ? null : asRedaction(redact),
    keyed.length === 0 ? NOWHERE : [pointerTree(keyed)],
  )
  const wanted =
    only === undefined ? null : [pointerTree(only.map((pattern) => [patternOf(pattern, 'only'), true] as const))]
  const reader = new Reader()
  comparison.compare(reader.read(before), reader.read(after), wanted)
  return comparison.changes
}

function patternOf(pattern: unknown, option: string): string[] {
  const names = namesOf(pattern)
  if (names === null) throw fault(`Option ${option}`, 'must consist of JSON pointers, such as /lines', { option })
  return names
}

function fault(field: string, why: string, details: Record<string, unknown> = { field }): KitError {
  return new KitError('diff_invalid', `${field || 'The value'} ${why}`, details)
}

/** Null: everything from here on is wanted. */
type Wanted = readonly PointerTree<true>[] | null
type Keys = readonly PointerTree<string>[]

class Comparison {
  readonly changes: Change[] = []
  readonly #redaction: CompiledRedaction | null
  readonly #keys: Keys
  /** The way to what is compared now. */
  readonly #names: string[] = []

  constructor(redaction: CompiledRedaction | null, keys: Keys) {
    this.#redaction = redaction
    this.#keys = keys
  }

  compare(before: Json | undefined, after: Json | undefined, wanted: Wanted, keys = this.#keys): void {
    if (before === after) return
    const all = wanted === null || wanted.some(({ ends }) => ends.length > 0) ? null : wanted
    if (all?.length === 0) return
    const key = keys.length === 0 ? undefined : keys.find(({ ends }) => ends.length > 0)?.ends[0]
    // Where only a part is wanted, what is no such thing has no such part.
    const kind = kindOf(before)
    const isAlike = kind === kindOf(after)
    if (all === null && (!isAlike || kind === 'value')) this.#add(before, after)
    else if (key !== undefined && (Array.isArray(before) || Array.isArray(after))) {
      const [left, right] = [this.#byKey(before, key), this.#byKey(after, key)]
      for (const [name, item] of left) this.#inside(name, item, right.get(name), all, keys)
      for (const [name, item] of right) if (!left.has(name)) this.#inside(name, undefined, item, all, keys)
    } else if (isAlike && Array.isArray(before)) this.#lists(before, after as Json[], all, keys)
    else this.#members(membersOf(before, isAlike), membersOf(after, isAlike), all, keys)
  }

  #inside(name: string, before: Json | undefined, after: Json | undefined, wanted: Wanted, keys: Keys): void {
    if (before === after) return
    this.#names.push(name)
    this.compare(before, after, wanted && step(wanted, name), keys.length === 0 ? NOWHERE : step(keys, name))
    this.#names.pop()
  }

  #lists(before: Json[], after: Json[], wanted: Wanted, keys: Keys): void {
    const shared = Math.min(before.length, after.length)
    for (let i = 0; i < shared; i++) this.#inside(`${i}`, before[i], after[i], wanted, keys)
    for (let i = shared; i < after.length; i++) this.#inside(`${i}`, undefined, after[i], wanted, keys)
    // What a list has lost at its end is taken off from there.
    for (let i = before.length - 1; i >= shared; i--) this.#inside(`${i}`, before[i], undefined, wanted, keys)
  }

  #members(before: JsonMembers, after: JsonMembers, wanted: Wanted, keys: Keys): void {
    const names = Object.keys(before)
    let found = 0
    for (const name of names) {
      const isKept = Object.hasOwn(after, name)
      if (isKept) found += 1
      this.#inside(name, before[name], isKept ? after[name] : undefined, wanted, keys)
    }
    const others = Object.keys(after)
    if (others.length === found) return
    for (const name of others)
      if (!Object.hasOwn(before, name)) this.#inside(name, undefined, after[name], wanted, keys)
  }

  #byKey(list: Json | undefined, key: string): Map<string, Json> {
    const found = new Map<string, Json>()
    if (!Array.isArray(list)) return found
    for (let i = 0; i < list.length; i++) {
      const item = list[i]!
      const name = isObject(item) && Object.hasOwn(item, key) ? (item as JsonMembers)[key] : undefined
      if (typeof name !== 'string' && typeof name !== 'number')
        throw fault(below(this.#path(), i), `has no text or number ${key} to be told apart by`)
      const text = `${name}`
      if (found.has(text)) throw fault(below(this.#path(), i), `has the same ${key} as another element`)
      found.set(text, item)
    }
    return found
  }

  #path(): string {
    return this.#names.reduce<string>(below, '')
  }

  #add(before: Json | undefined, after: Json | undefined): void {
    const path = this.#path()
    if (this.changes.length === MAX_CHANGES)
      throw fault(path, `is one change more than the ${MAX_CHANGES} that an event can have`)
    const values = { ...(before !== undefined && { before }), ...(after !== undefined && { after }) }
    this.changes.push(this.#redaction ? redactChange(this.#redaction, this.#names, path, values) : { path, ...values })
  }
}

const kindOf = (value: Json | undefined) => (Array.isArray(value) ? 'array' : isObject(value) ? 'object' : 'value')

const NO_MEMBERS: JsonMembers = {}
/** What is in a value, by name. Beside anything else, a list must not seem to have a length. */
function membersOf(value: Json | undefined, isAlike: boolean): JsonMembers {
  if (typeof value !== 'object' || value === null) return NO_MEMBERS
  return isAlike ? (value as JsonMembers) : { ...(value as JsonMembers) }
}

function redactChange(
  redaction: CompiledRedaction,
  names: readonly string[],
  path: string,
  values: { readonly before?: Json; readonly after?: Json },
): Change {
  const way = redaction.redactNames(names)
  const removals = way.rules.map((rule) => ({ path: '/path', rule }))
  const change: { path: string; before?: Recordable; after?: Recordable } = {
    path: removals.length === 0 ? path : way.names.reduce<string>(below, ''),
  }
  for (const side of ['before', 'after'] as const) {
    if (!Object.hasOwn(values, side)) continue
    const redacted = redaction.redactBelow(names, values[side])
    change[side] = redacted.value
    removals.push(...redacted.removals.map(({ path: at, rule }) => ({ path: `/${side}${at}`, rule })))
  }
  rememberRemovals(change, removals)
  return change
}

/** Copies a value as JSON would carry it, so that two of them can be compared. */
class Reader {
  /** The way to what is read now, and the objects on it. */
  readonly #names: (string | number)[] = []
  readonly #above: object[] = []
  /** Copies by what they were made of, and how deep that stood: what did not change is often the same object in both. */
  readonly #copies = new Map<object, { readonly copy: Json; readonly depth: number }>()

  read(value: unknown): Json | undefined {
    switch (typeof value) {
      case 'undefined':
        return undefined
      case 'string':
        return value.isWellFormed() ? value : this.#fail('holds half of a surrogate pair')
      case 'boolean':
        return value
      case 'number':
        if (!Number.isFinite(value)) this.#fail('must be a finite number')
        if (Number.isInteger(value) && !Number.isSafeInteger(value))
          this.#fail('is an integer beyond 2^53; make it a text')
        // JSON knows one zero.
        return value === 0 ? 0 : value
      case 'object':
        return value === null ? null : this.#object(value)
      default:
        return this.#fail(`is a ${typeof value}, which JSON cannot carry`)
    }
  }

  #object(value: object): Json {
    const isList = Array.isArray(value)
    if (!isList && !isPlain(value)) return this.#date(value)
    const depth = this.#above.length
    const known = this.#copies.get(value)
    if (known !== undefined && depth <= known.depth) return known.copy
    if (this.#above.includes(value)) this.#fail('leads back to where it came from: a cycle')
    if (depth >= MAX_DEPTH) this.#fail(`is nested deeper than ${MAX_DEPTH} levels`)
    this.#above.push(value)
    const copy = isList ? this.#list(value) : this.#members(value as Record<string, unknown>)
    this.#above.pop()
    this.#copies.set(value, { copy, depth })
    return copy
  }

  #list(list: readonly unknown[]): Json[] {
    const copy: Json[] = []
    for (let i = 0; i < list.length; i++) {
      this.#names.push(i)
      copy.push(
        this.read(list[i]) ?? (list[i] === null ? null : this.#fail('is undefined; an array has no room for that')),
      )
      this.#names.pop()
    }
    return copy
  }

  #members(members: Record<string, unknown>): JsonMembers {
    const copy: JsonMembers = {}
    for (const name of Object.keys(members)) {
      if (name === '__proto__' || name === '_sd' || name === '...' || !name.isWellFormed())
        this.#fail('has a member name that is not allowed')
      this.#names.push(name)
      const read = this.read(members[name])
      if (read !== undefined) copy[name] = read
      this.#names.pop()
    }
    return copy
  }

  #date(value: object): string {
    if (!types.isDate(value)) this.#fail('is not a plain object: compare what is to be recorded of it')
    const text = value.toJSON()
    return typeof text === 'string' ? text : this.#fail('is an invalid Date')
  }

  #fail(why: string): never {
    throw fault(this.#names.reduce<string>(below, ''), why)
  }
}
