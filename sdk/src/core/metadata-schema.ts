/**
 * The part of JSON Schema (2020-12) in which a catalogue says what an action's metadata is. It has no keyword by which a short schema
 * or a short value could take long: no regular expression, no recursion, nothing from elsewhere.
 */
import { isObject, type JsonObject, type JsonValue } from './json.ts'
import { escapePointer, unescapePointer } from './pointer.ts'

/** Called with a JSON pointer into the schema and the reason; it must throw. */
export type FailSchema = (path: string, why: string) => never

/** How many schemas one may hold, each counted as often as it is referred to. A value is held against each at most once. */
export const MAX_SCHEMAS = 512
const MAX_CHOICES = 1_000

const SCHEMA = new Set(['additionalProperties', 'items', 'not', 'propertyNames'])
const SCHEMAS = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems'])
const NAMED_SCHEMAS = new Set(['properties', '$defs'])
const COUNTS = new Set(['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'])
const NUMBERS = new Set(['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'])
const TYPES = new Set(['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'])

/**
 * Keywords that may stand in a schema and are for readers: a ledger does not check them. For most, because JSON Schema says that they
 * describe; for `pattern` and `uniqueItems`, because what they cost has no bound that is worth stating.
 */
export const UNCHECKED_KEYWORDS: ReadonlySet<string> = new Set([
  ...[
    '$schema',
    '$id',
    '$comment',
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
  ],
  ...['format', 'contentEncoding', 'contentMediaType', 'pattern', 'uniqueItems'],
])

const LOCAL = /^#\/\$defs\/([^/~%]+)$/

/**
 * Checks that a schema is of this part of JSON Schema.
 * @returns the keywords in it that a ledger does not check although they restrict: `pattern`, `format`, `uniqueItems`
 */
export function checkMetadataSchema(schema: JsonValue, fail: FailSchema): string[] {
  const unchecked = new Set<string>()
  const defs = isObject(schema) && isObject(schema.$defs) ? schema.$defs : {}
  const sizes = new Map<string, number>()
  const open = new Set<string>()

  function refSize(ref: JsonValue, path: string): number {
    const name = typeof ref === 'string' ? LOCAL.exec(ref)?.[1] : undefined
    if (name === undefined || !Object.hasOwn(defs, name)) fail(path, 'must be #/$defs/<name>, of the schema itself')
    const known = sizes.get(name!)
    if (known !== undefined) return known
    if (open.has(name!)) fail(path, 'refers to itself')
    open.add(name!)
    const size = sizeOf(defs[name!]!, `/$defs/${name}`, false)
    open.delete(name!)
    sizes.set(name!, size)
    return size
  }

  function listSize(value: JsonValue, path: string): number {
    if (!Array.isArray(value) || value.length === 0) fail(path, 'must be an array of schemas')
    return (value as JsonValue[]).reduce<number>((sum, one, i) => sum + sizeOf(one, `${path}/${i}`, false), 0)
  }

  function namedSize(value: JsonValue, path: string, isRoot: boolean): number {
    if (!isObject(value)) fail(path, 'must be an object of schemas')
    if (path.endsWith('/$defs')) {
      if (!isRoot) fail(path, 'is allowed at the top only')
      for (const name of Object.keys(value as JsonObject)) refSize(`#/$defs/${name}`, `${path}/${name}`)
      return 0
    }
    return Object.entries(value as JsonObject).reduce(
      (sum, [name, one]) => sum + sizeOf(one, `${path}/${name}`, false),
      0,
    )
  }

  function sizeOf(value: JsonValue, path: string, isRoot: boolean): number {
    if (typeof value === 'boolean') return 1
    if (!isObject(value)) fail(path, 'must be a schema: an object, true or false')
    let size = 1
    for (const [keyword, given] of Object.entries(value as JsonObject)) {
      const at = `${path}/${keyword}`
      if (keyword === '$ref') size += refSize(given, at)
      else if (SCHEMA.has(keyword)) size += sizeOf(given, at, false)
      else if (SCHEMAS.has(keyword)) size += listSize(given, at)
      else if (NAMED_SCHEMAS.has(keyword)) size += namedSize(given, at, isRoot)
      else if (UNCHECKED_KEYWORDS.has(keyword)) {
        if (keyword === 'pattern' || keyword === 'format' || keyword === 'uniqueItems') unchecked.add(keyword)
      } else checkKeyword(keyword, given, at, fail)
      if (size > MAX_SCHEMAS) fail(path, `holds more than ${MAX_SCHEMAS} schemas, each counted where it is referred to`)
    }
    return size
  }

  sizeOf(schema, '', true)
  return [...unchecked].sort()
}

function checkKeyword(keyword: string, value: JsonValue, at: string, fail: FailSchema): void {
  if (COUNTS.has(keyword)) {
    if (!Number.isSafeInteger(value) || (value as number) < 0) fail(at, 'must be a number from 0')
  } else if (NUMBERS.has(keyword)) {
    if (typeof value !== 'number' || (keyword === 'multipleOf' && value <= 0)) fail(at, 'must be a number')
  } else if (keyword === 'type') {
    const types = Array.isArray(value) ? value : [value]
    if (types.length === 0 || !types.every((type) => TYPES.has(type as string))) fail(at, 'is no type of JSON')
  } else if (keyword === 'required') {
    if (!Array.isArray(value) || !value.every((name) => typeof name === 'string')) fail(at, 'must be an array of names')
  } else if (keyword === 'enum') {
    if (!Array.isArray(value) || value.length === 0) fail(at, 'must be an array of values')
    if ((value as JsonValue[]).length > MAX_CHOICES) fail(at, `has more than ${MAX_CHOICES} values`)
  } else if (keyword !== 'const') {
    fail(at, 'is not among the keywords of JSON Schema that a catalogue may use')
  }
}

/** Why a value is not valid: the place in it, as a JSON pointer, and a reason. */
export type SchemaFault = { readonly path: string; readonly why: string }

/**
 * Checks a value against the schema that it was made from.
 * @param removed places in the value, as JSON pointers, that hold what a recorder put in the place of what it removed: there, anything
 * is valid
 */
export type MetadataCheck = (value: unknown, removed?: readonly string[]) => SchemaFault | null

/** How many steps a check may take: about as many as there are pairs of a value and a schema that it is held against. */
export const MAX_STEPS = 1_000_000

/** Places that hold nothing of what was recorded, as a tree; `true`: this place. */
type Removed = { isRemoved: boolean; readonly members: Map<string, Removed> }

/** What one check needs beside the value. `path` is where it failed, made on the way back. */
type Run = { steps: number; path: string }

/** @returns why the value is not valid, or null */
type Part = (value: unknown, run: Run, removed: Removed | undefined) => string | null

const TOO_COSTLY = 'takes too long to check: it has too much in it for its schema'

class TooCostly extends Error {}

function spend(run: Run, steps: number): void {
  run.steps -= steps
  if (run.steps < 0) throw new TooCostly()
}

/**
 * What checks values by a schema that `checkMetadataSchema` has taken. Closures and no generated code, since schemas come from elsewhere;
 * and every step is counted, so that neither a schema nor a value can keep it busy.
 */
export function compileMetadataSchema(schema: JsonValue): MetadataCheck {
  const defs = isObject(schema) && isObject(schema.$defs) ? schema.$defs : {}
  const known = new Map<string, Part>()
  const refer = (name: string): Part => {
    const part = known.get(name) ?? compile(defs[name]!, refer)
    known.set(name, part)
    return part
  }
  const part = compile(schema, refer)
  return (value, removed = []) => {
    const run: Run = { steps: MAX_STEPS, path: '' }
    try {
      const why = part(value, run, removed.length === 0 ? undefined : treeOf(removed))
      return why === null ? null : { path: run.path, why }
    } catch (error) {
      if (!(error instanceof TooCostly)) throw error
      return { path: '', why: TOO_COSTLY }
    }
  }
}

function treeOf(paths: readonly string[]): Removed {
  const root: Removed = { isRemoved: false, members: new Map() }
  for (const path of paths) {
    let at = root
    for (const text of path.split('/').slice(1)) {
      const name = unescapePointer(text)
      const next = at.members.get(name) ?? { isRemoved: false, members: new Map() }
      at.members.set(name, next)
      at = next
    }
    at.isRemoved = true
  }
  return root
}

function compile(schema: JsonValue, refer: (name: string) => Part): Part {
  if (typeof schema === 'boolean') return schema ? () => null : () => 'is not allowed'
  const of = (inner: JsonValue) => compile(inner, refer)
  const parts = Object.entries(schema as JsonObject)
    .map(([keyword, value]) => PARTS[keyword]?.(value, of, schema as JsonObject, refer))
    .filter((part) => part !== undefined)
  return (value, run, removed) => {
    spend(run, 1)
    if (removed?.isRemoved) return null
    for (const part of parts) {
      const why = part(value, run, removed)
      if (why !== null) return why
    }
    return null
  }
}

/** Checks what is inside, and puts the place in front if that fails. */
function inside(part: Part, value: unknown, name: string, run: Run, removed: Removed | undefined): string | null {
  const why = part(value, run, removed?.members.get(name))
  if (why !== null) run.path = `/${escapePointer(name)}${run.path}`
  return why
}

/** Whether it holds; where it fails is forgotten, since another alternative may hold. */
function holds(part: Part, value: unknown, run: Run, removed: Removed | undefined): boolean {
  if (part(value, run, removed) === null) return true
  run.path = ''
  return false
}

const typeOf = (value: unknown): string => {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

const isMembers = (value: unknown): value is { [member: string]: unknown } => typeOf(value) === 'object'

/** Whether two JSON values are equal. */
function areEqual(a: unknown, b: unknown, run: Run): boolean {
  spend(run, 1)
  if (a === b) return true
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((one, i) => areEqual(one, b[i], run))
    )
  if (!isMembers(a) || !isMembers(b)) return false
  const names = Object.keys(a)
  spend(run, names.length)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && areEqual(a[name], b[name], run))
  )
}

/** Length in characters, of which JavaScript counts some as two. */
function lengthOf(text: string, run: Run): number {
  spend(run, text.length >> 4)
  let length = 0
  for (const _ of text) length++
  return length
}

const STEP_TOLERANCE = 1e-9

type MakePart = (
  value: JsonValue,
  of: (schema: JsonValue) => Part,
  schema: JsonObject,
  refer: (name: string) => Part,
) => Part

/** A part that speaks of one type of values; of all others it says nothing. */
const forNumbers =
  (test: (value: number, limit: number) => boolean, why: string): MakePart =>
  (limit) =>
  (value) =>
    typeof value !== 'number' || test(value, limit as number) ? null : `${why} ${limit}`
const forTexts =
  (test: (length: number, limit: number) => boolean, why: string): MakePart =>
  (limit) =>
  (value, run) =>
    typeof value !== 'string' || test(lengthOf(value, run), limit as number) ? null : `${why} ${limit} characters`
const forArrays =
  (test: (length: number, limit: number) => boolean, why: string): MakePart =>
  (limit) =>
  (value) =>
    !Array.isArray(value) || test(value.length, limit as number) ? null : `${why} ${limit} items`
const forObjects =
  (test: (size: number, limit: number) => boolean, why: string): MakePart =>
  (limit) =>
  (value, run) => {
    if (!isMembers(value)) return null
    const size = Object.keys(value).length
    spend(run, size)
    return test(size, limit as number) ? null : `${why} ${limit} members`
  }
const atLeast = (value: number, limit: number) => value >= limit
const atMost = (value: number, limit: number) => value <= limit

const PARTS: { readonly [keyword: string]: MakePart } = {
  $ref: (ref, _of, _schema, refer) => refer(LOCAL.exec(ref as string)![1]!),
  type: (given) => {
    const types = [given].flat() as string[]
    const why = `must be ${types.join(' or ')}`
    return (value) => {
      const type = typeOf(value)
      return types.includes(type) || (type === 'integer' && types.includes('number')) ? null : why
    }
  },
  const: (wanted) => (value, run) => (areEqual(value, wanted, run) ? null : 'is not the value that it must be'),
  enum: (choices) => (value, run) =>
    (choices as JsonValue[]).some((choice) => areEqual(value, choice, run))
      ? null
      : 'is none of the values that it may be',
  minimum: forNumbers(atLeast, 'must be at least'),
  maximum: forNumbers(atMost, 'must be at most'),
  exclusiveMinimum: forNumbers((value, limit) => value > limit, 'must be more than'),
  exclusiveMaximum: forNumbers((value, limit) => value < limit, 'must be less than'),
  multipleOf: forNumbers(
    (value, step) => Math.abs(value / step - Math.round(value / step)) < STEP_TOLERANCE,
    'must be a multiple of',
  ),
  minLength: forTexts(atLeast, 'must have at least'),
  maxLength: forTexts(atMost, 'must have at most'),
  minItems: forArrays(atLeast, 'must have at least'),
  maxItems: forArrays(atMost, 'must have at most'),
  minProperties: forObjects(atLeast, 'must have at least'),
  maxProperties: forObjects(atMost, 'must have at most'),
  required: (given) => {
    const names = given as string[]
    return (value, run) => {
      if (!isMembers(value)) return null
      spend(run, names.length)
      const missing = names.find((name) => !Object.hasOwn(value, name))
      if (missing === undefined) return null
      run.path = `/${escapePointer(missing)}`
      return 'is missing'
    }
  },
  properties: (given, of) => {
    const parts = Object.entries(given as JsonObject).map(([name, schema]) => [name, of(schema)] as const)
    return (value, run, removed) => {
      if (!isMembers(value)) return null
      spend(run, parts.length)
      for (const [name, part] of parts) {
        const why = Object.hasOwn(value, name) ? inside(part, value[name], name, run, removed) : null
        if (why !== null) return why
      }
      return null
    }
  },
  additionalProperties: (given, of, { properties }) => {
    const part = of(given)
    const named = new Set(Object.keys(isObject(properties) ? properties : {}))
    return (value, run, removed) => {
      if (!isMembers(value)) return null
      for (const name of Object.keys(value)) {
        spend(run, 1)
        const why = named.has(name) ? null : inside(part, value[name], name, run, removed)
        if (why !== null) return why
      }
      return null
    }
  },
  propertyNames: (given, of) => {
    const part = of(given)
    return (value, run) => {
      if (!isMembers(value)) return null
      const odd = Object.keys(value).find((name) => !holds(part, name, run, undefined))
      if (odd === undefined) return null
      run.path = `/${escapePointer(odd)}`
      return 'has a name that is not allowed'
    }
  },
  prefixItems: (given, of) => {
    const parts = (given as JsonValue[]).map(of)
    return (value, run, removed) => {
      if (!Array.isArray(value)) return null
      for (const [i, part] of parts.slice(0, value.length).entries()) {
        const why = inside(part, value[i], String(i), run, removed)
        if (why !== null) return why
      }
      return null
    }
  },
  items: (given, of, { prefixItems }) => {
    const part = of(given)
    const from = Array.isArray(prefixItems) ? prefixItems.length : 0
    return (value, run, removed) => {
      if (!Array.isArray(value)) return null
      for (let i = from; i < value.length; i++) {
        const why = inside(part, value[i], String(i), run, removed)
        if (why !== null) return why
      }
      return null
    }
  },
  allOf: (given, of) => {
    const parts = (given as JsonValue[]).map(of)
    return (value, run, removed) => {
      for (const part of parts) {
        const why = part(value, run, removed)
        if (why !== null) return why
      }
      return null
    }
  },
  anyOf: (given, of) => {
    const parts = (given as JsonValue[]).map(of)
    return (value, run, removed) =>
      parts.some((part) => holds(part, value, run, removed)) ? null : 'fits none of the forms that it may have'
  },
  oneOf: (given, of) => {
    const parts = (given as JsonValue[]).map(of)
    return (value, run, removed) => {
      const fitting = parts.filter((part) => holds(part, value, run, removed)).length
      // Where a part was removed, several forms may fit what is left.
      if (fitting === 1 || (fitting > 1 && removed !== undefined)) return null
      return fitting === 0 ? 'fits none of the forms that it may have' : 'fits more than one form'
    }
  },
  not: (given, of) => {
    const part = of(given)
    return (value, run, removed) =>
      removed === undefined && holds(part, value, run, removed) ? 'has a form that is not allowed' : null
  },
}
