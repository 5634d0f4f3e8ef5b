/**
 * The part of JSON Schema (2020-12) in which a catalogue says what an action's metadata is. It has no keyword by which a short schema
 * or a short value could take long: no regular expression, no recursion, nothing from elsewhere.
 */
import { isObject, type JsonObject, type JsonValue } from './json.ts'

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

/** The schema without what is not checked, for what checks by it. */
export function checkedPart(schema: JsonValue): JsonValue {
  if (!isObject(schema)) return schema
  const part: JsonObject = {}
  for (const [keyword, value] of Object.entries(schema)) {
    if (UNCHECKED_KEYWORDS.has(keyword)) continue
    if (SCHEMA.has(keyword)) part[keyword] = checkedPart(value)
    else if (SCHEMAS.has(keyword)) part[keyword] = (value as JsonValue[]).map(checkedPart)
    else if (NAMED_SCHEMAS.has(keyword))
      part[keyword] = Object.fromEntries(
        Object.entries(value as JsonObject).map(([name, one]) => [name, checkedPart(one)]),
      )
    else part[keyword] = value
  }
  return part
}
