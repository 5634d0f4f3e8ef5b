/**
 * The fields of an event: who did what to what, with what outcome. The same rules hold when an application records
 * and when a batch arrives, so an event that was recorded is never refused for its fields.
 */
import { KillickError } from './errors.ts'
import { isObject, type JsonObject, MAX_JSON_DEPTH } from './json.ts'
import { nearest } from './nearest.ts'
import { escapePointer } from './pointer.ts'
import { parseTime } from './time.ts'

/** What can be recorded: JSON, and Dates, which become what JSON makes of them: ISO 8601 text in UTC. */
export type Recordable = null | boolean | number | string | Date | readonly Recordable[] | RecordableObject
/** An object of what can be recorded. Members that are undefined count as absent. */
export type RecordableObject = { readonly [member: string]: Recordable | undefined }

/**
 * Someone or something, such as `{ type: 'user', id: 'u-17', name: 'Zoë' }`. `type` and `id` are required, each 1 to 512
 * characters; any other member may follow.
 */
export type Party = RecordableObject & {
  readonly type: string
  readonly id: string
  readonly name?: string | undefined
}
/**
 * One thing that changed. `path` says where, preferably as a JSON pointer (RFC 6901). `before` and `after` are its values;
 * one of them is absent if something was added or removed.
 */
export type Change = {
  readonly path: string
  readonly before?: Recordable | undefined
  readonly after?: Recordable | undefined
}

/**
 * An event as an application passes it to `record()`. Each member becomes a field that can be shown or hidden by itself. Members
 * that are undefined count as absent; values are at most 30 levels deep, and the whole event at most 262,144 bytes. What has no
 * member of its own belongs in `metadata`, or in a field that the application has declared (`AuditLogOptions.fields`).
 */
export type EventInput = {
  /** What was done, e.g. `invoice.approve`; 1 to 256 characters. */
  readonly action: string
  /** Who did it. */
  readonly actor: Party
  /** What it was done to, at most 1,000; default none. */
  readonly targets?: readonly Party[] | undefined
  /** How it ended. */
  readonly outcome?: 'success' | 'failure' | 'denied' | undefined
  /** Circumstances: ip, userAgent, requestId, traceparent and the like. */
  readonly context?: RecordableObject | undefined
  /** What changed; at most 10,000. */
  readonly changes?: readonly Change[] | undefined
  /** Anything else that belongs to the event. */
  readonly metadata?: RecordableObject | undefined
  /** When it happened, if not now: a Date, or an RFC 3339 date-time. */
  readonly occurredAt?: string | Date | undefined
  /** The version of the source's catalogue that the event was made with; `defineActions` writes it. */
  readonly catalogue?: string | undefined
}

/**
 * An `EventInput` with further fields: a name of letters, digits and underscores that starts with a letter, at most 64
 * characters, and any JSON. Events with such fields are valid; a recorder takes only those that its application has declared.
 */
export type AnyEventInput = EventInput & { readonly [field: string]: unknown }

/** Largest event token, in bytes, which are also characters: it is ASCII. */
export const MAX_EVENT_BYTES = 262_144

/** The fields that the protocol names: docs/PROTOCOL.md §5. */
// biome-ignore format: one line
const FIELDS = ['action', 'actor', 'targets', 'outcome', 'context', 'changes', 'metadata', 'occurredAt', 'catalogue'] as const

const RESERVED = new Set(['iss', 'stm', 'seq', 'prev', 'jti', 'iat', 'sub', 'aud', 'exp', 'nbf', 'cnf'])
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
// The event's own object and the disclosure array around a field use the other two levels.
const MAX_FIELD_DEPTH = MAX_JSON_DEPTH - 2

type Fail = (path: string, why: string) => never

/** Whether this is the name of a catalogue's version: 1 to 64 letters, digits, dots, underscores, hyphens; first a letter or digit. */
export const isVersionName = (value: unknown): value is string => typeof value === 'string' && VERSION.test(value)

function checkText(value: unknown, path: string, max: number, fail: Fail): void {
  if (typeof value !== 'string' || value.length === 0) fail(path, 'must be a non-empty string')
  if ((value as string).length > max) fail(path, `must have at most ${max} characters`)
}

function checkParty(value: unknown, path: string, fail: Fail): void {
  if (!isObject(value)) fail(path, 'must be an object with type and id')
  const party = value as JsonObject
  checkText(party.type, `${path}/type`, 512, fail)
  checkText(party.id, `${path}/id`, 512, fail)
  if (party.name !== undefined && typeof party.name !== 'string') fail(`${path}/name`, 'must be a string')
}

function checkList(value: unknown, path: string, max: number, fail: Fail): readonly unknown[] {
  if (!Array.isArray(value)) fail(path, 'must be an array')
  if ((value as unknown[]).length > max) fail(path, `must have at most ${max} entries`)
  return value as unknown[]
}

const FIELD_CHECKS: Record<string, (value: unknown, path: string, fail: Fail) => void> = {
  action: (value, path, fail) => checkText(value, path, 256, fail),
  actor: checkParty,
  targets: (value, path, fail) => {
    for (const [i, target] of checkList(value, path, 1000, fail).entries()) checkParty(target, `${path}/${i}`, fail)
  },
  outcome: (value, path, fail) => {
    if (value !== 'success' && value !== 'failure' && value !== 'denied')
      fail(path, 'must be success, failure or denied')
  },
  context: (value, path, fail) => {
    if (!isObject(value)) fail(path, 'must be an object')
  },
  metadata: (value, path, fail) => {
    if (!isObject(value)) fail(path, 'must be an object')
  },
  changes: (value, path, fail) => {
    for (const [i, change] of checkList(value, path, 10_000, fail).entries()) {
      if (!isObject(change)) fail(`${path}/${i}`, 'must be an object with a path')
      const { path: changed, ...rest } = change as JsonObject
      if (typeof changed !== 'string') fail(`${path}/${i}/path`, 'must be a string')
      const unknown = Object.keys(rest).find((name) => name !== 'before' && name !== 'after')
      if (unknown !== undefined) fail(`${path}/${i}/${unknown}`, 'is not one of path, before, after')
    }
  },
  occurredAt: (value, path, fail) => {
    if (parseTime(value) === null) fail(path, 'must be an RFC 3339 date-time')
  },
  catalogue: (value, path, fail) => {
    if (!isVersionName(value)) fail(path, 'must be the name of a version')
  },
}

/**
 * Checks one field of an event: its name, its form, and that it is plain JSON.
 * @param fail called with a JSON pointer to the fault and the reason; it must throw
 */
export function checkField(name: string, value: unknown, fail: (path: string, why: string) => never): void {
  checkFieldName(name, fail)
  checkForm(name, value, fail)
  checkJson(value, `/${name}`, 1, fail)
}

function checkFieldName(name: string, fail: Fail): void {
  if (!FIELD_NAME.test(name) || RESERVED.has(name)) fail(`/${name}`, 'is not allowed as the name of a field')
}

function checkForm(name: string, value: unknown, fail: Fail): void {
  if (Object.hasOwn(FIELD_CHECKS, name)) FIELD_CHECKS[name]!(value, `/${name}`, fail)
}

/** SD-JWT readers take these members for digests wherever they stand, and would show a different event from the one recorded. */
const isReservedMember = (name: string) => name === '_sd' || name === '...' || name === '__proto__'

/** Checks that a JavaScript value survives JSON unchanged. */
function checkJson(value: unknown, path: string, depth: number, fail: Fail): void {
  if (typeof value !== 'object' || value === null) {
    checkScalar(value, path, fail)
    return
  }
  if (depth > MAX_FIELD_DEPTH) fail(path, `is nested deeper than ${MAX_FIELD_DEPTH} levels`)
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) checkJson(item, `${path}/${i}`, depth + 1, fail)
    return
  }
  if (!isPlain(value)) {
    dateText(value, path, fail)
    return
  }
  for (const name in value) {
    checkMemberName(name, path, fail)
    const member = (value as Record<string, unknown>)[name]
    if (member !== undefined) checkJson(member, `${path}/${escapePointer(name)}`, depth + 1, fail)
  }
}

/**
 * What JSON makes of a JavaScript value, by the same rules. Each part is read once: a getter, a proxy or a toJSON that answers
 * otherwise a second time would have something else recorded than what was checked, which the service could only refuse.
 * @param room how many characters may still come: an event is longer than its texts
 */
function jsonOf(value: unknown, path: string, depth: number, room: { left: number }): unknown {
  room.left -= typeof value === 'string' ? value.length : 1
  if (room.left < 0) throw new KillickError('event_too_large')
  if (typeof value !== 'object' || value === null) {
    checkScalar(value, path, failInput)
    return value
  }
  if (depth > MAX_FIELD_DEPTH) failInput(path, `is nested deeper than ${MAX_FIELD_DEPTH} levels`)
  if (Array.isArray(value)) {
    const items: unknown[] = []
    for (let i = 0, { length } = value; i < length; i++) items.push(jsonOf(value[i], `${path}/${i}`, depth + 1, room))
    return items
  }
  if (!isPlain(value)) return dateText(value, path, failInput)
  const members: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    checkMemberName(name, path, failInput)
    room.left -= name.length
    const member = (value as Record<string, unknown>)[name]
    if (member !== undefined) members[name] = jsonOf(member, `${path}/${escapePointer(name)}`, depth + 1, room)
  }
  return members
}

function checkScalar(value: unknown, path: string, fail: Fail): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) fail(path, 'holds half of a surrogate pair')
      return
    case 'boolean':
    case 'object': // null
      return
    case 'number':
      if (!Number.isFinite(value)) fail(path, 'must be a finite number')
      if (Number.isInteger(value) && !Number.isSafeInteger(value))
        fail(path, 'is an integer beyond 2^53; send it as a string')
      return
    default:
      fail(path, `${value === undefined ? 'is undefined' : `is a ${typeof value}`}, which JSON cannot carry`)
  }
}

function checkMemberName(name: string, path: string, fail: Fail): void {
  if (isReservedMember(name) || !name.isWellFormed()) fail(path, 'has a member name that is not allowed')
}

/** Whether an object has nothing but its members. Those of another realm too: jest runs tests in one, and `fetch` answers from outside. */
export function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Of all objects that are not plain, a Date may be recorded: JSON makes a text of it. A Date of another realm is one too. */
function dateText(value: object, path: string, fail: Fail): string {
  const time = timeOf(value)
  if (time === null) fail(path, 'is not a plain object')
  if (Number.isNaN(time)) fail(path, 'is an invalid Date')
  // Whatever an application has made of its own dates.
  const text: unknown = (value as Date).toJSON()
  if (typeof text !== 'string') fail(path, 'is a Date of which JSON makes no text')
  checkScalar(text, path, fail)
  return text
}

function timeOf(value: unknown): number | null {
  try {
    return Date.prototype.getTime.call(value)
  } catch {
    return null
  }
}

function failInput(path: string, why: string): never {
  throw new KillickError('field_invalid', `${path || 'The event'} ${why}`, { field: path })
}

/** A name that is neither the protocol's nor declared, with the one that may have been meant. */
function failUnknown(name: string, declared: ReadonlySet<string>): never {
  const meant = nearest(name, [...FIELDS, ...declared])
  const advice = meant === null ? 'What has no field of its own belongs in metadata' : `Did you mean ${meant}?`
  throw new KillickError('field_invalid', `/${name} is not a field of an event. ${advice}`, {
    field: `/${name}`,
    ...(meant !== null && { meant }),
  })
}

/** Whether an application may declare a field of this name: one that the protocol allows and does not name itself. */
export const isOwnField = (name: unknown): name is string =>
  typeof name === 'string' && FIELD_NAME.test(name) && !RESERVED.has(name) && !KNOWN.has(name)

const KNOWN: ReadonlySet<string> = new Set(FIELDS)

/**
 * The fields of an event to record, checked; undefined ones left out, and `targets` empty where it is absent. Values are copies: JSON
 * with nothing of the caller's behind it.
 * @param declared names beyond those of the protocol; null: any
 * @throws KillickError field_invalid, with a JSON pointer to the field at fault in `details.field`, and for a name that is not
 * known the one that may have been meant in `details.meant`; event_too_large, where that is plain already
 */
export function checkEventInput(input: unknown, declared: ReadonlySet<string> | null = null): [string, unknown][] {
  const given = readable('', () =>
    isObject(input) ? Object.entries<unknown>(input) : failInput('', 'must be an object'),
  )
  const names = declared === null ? FIELDS : [...FIELDS, ...declared]
  const uncopied = readable('', () => uncopiedMember(input as object, names))
  if (uncopied !== undefined) failInput(`/${uncopied}`, UNCOPIED)
  const present = new Set<string>()
  for (const [name, value] of given) {
    if (declared !== null && !KNOWN.has(name) && !declared.has(name)) failUnknown(name, declared)
    if (value !== undefined) present.add(name)
  }
  for (const required of ['action', 'actor']) {
    if (!present.has(required)) failInput(`/${required}`, 'is missing')
  }
  if (!present.has('targets')) given.push(['targets', []])
  const fields: [string, unknown][] = []
  const room = { left: MAX_EVENT_BYTES }
  for (const [name, value] of given) {
    if (value === undefined) continue
    checkFieldName(name, failInput)
    const json = readable(`/${name}`, () => jsonOf(value, `/${name}`, 1, room))
    checkForm(name, json, failInput)
    fields.push([name, json])
  }
  return fields
}

/** What is said of such a member, after its name. */
export const UNCOPIED = 'is not among the object’s own enumerable members; copy it into a plain object'

/**
 * The first of the names that an object has, but not among what is copied of it, such as an accessor of its class: a denial that
 * is one would be left out, and nobody would know. What every object has, by a polluted prototype, is none of it.
 */
export const uncopiedMember = (value: object, names: readonly string[]): string | undefined =>
  names.find(
    (name) =>
      name in value &&
      !(name in Object.prototype) &&
      !Object.prototype.propertyIsEnumerable.call(value, name) &&
      (value as Record<string, unknown>)[name] !== undefined,
  )

/** What `read` returns. What a getter or proxy of the caller throws meanwhile is the input's fault. */
function readable<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof KillickError) throw error
    return failInput(
      path,
      `cannot be read: ${error instanceof Error ? error.message : `${error === null ? 'null' : typeof error} was thrown`}`,
    )
  }
}
