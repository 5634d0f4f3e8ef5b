// Catalogues as a ledger registers them: printed and read back, and refused with the place for everything that is not as it should be.
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type ActionRule,
  catalogueFields,
  faultOf,
  parseActions,
  parseCatalogueChange,
  ruleOf,
} from '../../../sdk/src/core/catalogue.ts'
import { leafHash } from '../../../sdk/src/core/hash.ts'
import type { JsonObject, JsonValue } from '../../../sdk/src/core/json.ts'
import { compileMetadataSchema } from '../../../sdk/src/core/metadata-schema.ts'

const rule: ActionRule = {
  ...{ about: 'Money goes back.', targets: ['invoice'], requires: ['reason'], severity: 'high' },
  metadata: {
    type: 'object',
    properties: { amount: { $ref: '#/$defs/amount' } },
    $defs: { amount: { type: 'number' } },
  },
}
const bare: ActionRule = { about: null, targets: null, requires: [], metadata: null, severity: null }
const system = { source: 'killick', stream: 'system' }
const previous = leafHash(new Uint8Array([1]))
const change = { source: 'billing', previous, enforced: ['1', '2'], version: '2', actions: { a: rule, b: bare } }

test('a change is read back as it was printed; equal rules print alike', () => {
  for (const each of [change, { ...change, previous: null, version: null, actions: null, enforced: [] }]) {
    const fields = catalogueFields(each) as unknown as JsonObject
    expect(parseCatalogueChange({ ...system, fields })).toEqual(each)
  }
  const turned = Object.fromEntries(Object.entries(rule).reverse()) as JsonObject
  expect(JSON.stringify(parseActions({ a: turned }))).toBe(JSON.stringify(parseActions({ a: rule as never })))
})

test('only events of the ledger itself are changes', () => {
  const fields = catalogueFields(change) as unknown as JsonObject
  expect(parseCatalogueChange({ source: 'billing', stream: 'system', fields })).toBeNull()
  expect(parseCatalogueChange({ ...system, stream: 'other', fields })).toBeNull()
  expect(parseCatalogueChange({ ...system, fields: { ...fields, action: 'source.change' } })).toBeNull()
})

test.each<[string, JsonObject, string]>([
  ['no previous', { previous: undefined as never }, '/metadata'],
  ['something more', { more: 1 }, '/metadata'],
  ['a previous that is no hash', { previous: 'x' }, '/metadata/previous'],
  ['a version without actions', { actions: null }, '/metadata/actions'],
  ['actions without a version', { version: null }, '/metadata/actions'],
  ['a version that is no name', { version: 'a b' }, '/metadata/version'],
  ['a version enforced twice', { enforced: ['1', '1'] }, '/metadata/enforced'],
  ['no actions', { actions: {} }, '/metadata/actions'],
])('a change with %s is refused', (_, twist, field) => {
  const { metadata, ...fields } = catalogueFields(change) as unknown as JsonObject
  const twisted = JSON.parse(JSON.stringify({ ...(metadata as JsonObject), ...twist }))
  expect(() => parseCatalogueChange({ ...system, fields: { ...fields, metadata: twisted } })).toThrow(
    expect.objectContaining({ code: 'catalogue_invalid', details: { field } }),
  )
})

test.each<[string, unknown, string]>([
  ['lacks a member', { ...rule, severity: undefined }, '/a'],
  ['has an unknown member', { ...rule, redact: [] }, '/a'],
  ['has an unknown severity', { ...rule, severity: 'huge' }, '/a/severity'],
  ['has a long text', { ...rule, about: 'a'.repeat(2001) }, '/a/about'],
  ['has targets without a name', { ...rule, targets: [''] }, '/a/targets'],
  ['requires what is no field', { ...rule, requires: ['a b'] }, '/a/requires'],
  ['has a schema that is none', { ...rule, metadata: 1 }, '/a/metadata'],
])('a rule that %s is refused', (_, value, field) => {
  const actions = { a: JSON.parse(JSON.stringify(value)) as JsonValue }
  expect(() => parseActions(actions)).toThrow(
    expect.objectContaining({ code: 'catalogue_invalid', details: { field } }),
  )
})

test.each<[string, JsonValue, string]>([
  ['a keyword that is not taken', { properties: { a: { if: true } } }, '/properties/a/if'],
  ['members by pattern', { patternProperties: { '^a': true } }, '/patternProperties'],
  ['a schema from elsewhere', { $ref: 'https://example.com/schema' }, '/$ref'],
  ['a reference to itself', { $ref: '#' }, '/$ref'],
  ['a reference into nothing', { $ref: '#/$defs/a' }, '/$ref'],
  [
    'a circle',
    { $ref: '#/$defs/a', $defs: { a: { items: { $ref: '#/$defs/b' } }, b: { anyOf: [{ $ref: '#/$defs/a' }] } } },
    '/$defs/b/anyOf/0/$ref',
  ],
  ['a circle that nothing refers to', { $defs: { a: { not: { $ref: '#/$defs/a' } } } }, '/$defs/a/not/$ref'],
  ['definitions inside', { properties: { a: { $defs: {} } } }, '/properties/a/$defs'],
  ['an unknown type', { type: 'date' }, '/type'],
  ['no choice', { enum: [] }, '/enum'],
  ['too many choices', { enum: Array.from({ length: 1001 }, (_, i) => i) }, '/enum'],
  ['a negative length', { minLength: -1 }, '/minLength'],
  ['a step of nothing', { multipleOf: 0 }, '/multipleOf'],
  ['a member of the kit', { properties: { reason: { type: 'string' } } }, '/properties/reason'],
])('a schema with %s is refused', (_, metadata, field) => {
  const actions = { a: { ...rule, metadata } } as unknown as JsonValue
  expect(() => parseActions(actions)).toThrow(
    expect.objectContaining({ code: 'catalogue_invalid', details: { field: `/a/metadata${field}` } }),
  )
})

test('a short schema that stands for a large one is refused', () => {
  // Each definition refers to the next one twice: 2^20 schemas in 20 lines.
  const names = Array.from({ length: 20 }, (_, i) => `d${i}`)
  const $defs = Object.fromEntries(
    names.map((name, i) => [
      name,
      i === 19 ? true : { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
    ]),
  )
  const bomb = { a: { ...rule, metadata: { $ref: '#/$defs/d0', $defs } } } as unknown as JsonValue
  expect(() => parseActions(bomb)).toThrow(/more than 512 schemas/)
  const wide = { a: { ...rule, metadata: { anyOf: Array.from({ length: 513 }, () => true) } } } as unknown as JsonValue
  expect(() => parseActions(wide)).toThrow(/more than 512 schemas/)
})

test('a catalogue has bounds', () => {
  const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`a${i}`, bare]))
  expect(() => parseActions(many as never)).toThrow(/more than 1000/)
  const large = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`a${i}`, { ...bare, about: 'x'.repeat(2000) }]),
  )
  expect(() => parseActions(large as never)).toThrow(/131072 are allowed/)
})

test('a check says where and why, and leaves alone what it does not check', () => {
  const check = compileMetadataSchema({
    ...{ type: 'object', required: ['pattern'], additionalProperties: false },
    properties: {
      pattern: { type: 'string', maxLength: 2, pattern: '^(a+)+$', format: 'email' },
      'a/b~': { type: 'array', prefixItems: [{ type: 'null' }], items: { $ref: '#/$defs/n' }, uniqueItems: true },
      one: { oneOf: [{ type: 'number' }, { type: 'integer' }, { const: { a: [1, { b: null }] } }] },
    },
    $defs: { n: { type: ['integer', 'boolean'], multipleOf: 0.1 } },
  })
  const faults = ([value, path, why]: [object, string, RegExp]) => {
    expect(check({ pattern: '', ...value })).toEqual({ path, why: expect.stringMatching(why) })
  }
  expect(check({ pattern: '😀!', 'a/b~': [null, 1, 1, true], one: { a: [1, { b: null }] } })).toBeNull()
  const cases: [object, string, RegExp][] = [
    [{ pattern: 'a!b' }, '/pattern', /at most 2 characters/],
    [{ pattern: undefined }, '/pattern', /must be string/],
    [{ more: 1 }, '/more', /not allowed/],
    [{ 'a/b~': [1] }, '/a~1b~0/0', /must be null/],
    [{ 'a/b~': [null, 1, 'x'] }, '/a~1b~0/2', /must be integer or boolean/],
    [{ one: 1 }, '/one', /more than one form/],
    [{ one: { a: [1, {}] } }, '/one', /none of the forms/],
  ]
  for (const each of cases) faults(each)
  expect(check({})).toEqual({ path: '/pattern', why: 'is missing' })
  expect(check([])).toMatchObject({ path: '' })
})

test('where something was removed anything is valid, and nowhere else', () => {
  const check = compileMetadataSchema({
    properties: {
      a: { anyOf: [{ properties: { b: { type: 'number' } } }, { type: 'null' }] },
      c: { not: { type: 'string' } },
    },
  })
  expect(check({ a: { b: 'x' } })).not.toBeNull()
  expect(check({ a: { b: 'x' } }, ['/a/b'])).toBeNull()
  expect(check({ a: { b: 'x' } }, ['/a'])).toBeNull()
  expect(check({ a: { b: 'x' } }, ['/a/b/c', '/b', '/a/bb'])).not.toBeNull()
  expect(check({ a: { b: 'x' }, c: 'x' }, ['/a/b'])).toMatchObject({ path: '/c' })
})

test('neither a schema nor a value can keep a check busy', () => {
  const items = { allOf: Array.from({ length: 500 }, () => ({ type: 'integer' })) }
  const check = compileMetadataSchema({ properties: { x: { items } } })
  const began = process.cpuUsage()
  expect(check({ x: Array(90_000).fill(1) })).toMatchObject({
    path: '',
    why: expect.stringContaining('takes too long'),
  })
  const text = 'ä'.repeat(200_000)
  const long = compileMetadataSchema({ allOf: Array.from({ length: 500 }, () => ({ maxLength: 1_000_000 })) })
  expect(long(text)).toMatchObject({ why: expect.stringContaining('takes too long') })
  const { user } = process.cpuUsage(began)
  expect(user / 1e6).toBeLessThan(5)
})

/** Schemas and values of few names and few values, so that each often meets the other. */
const scalar = fc.constantFrom<JsonValue>(null, true, 0, 1, 2, 0.5, '', 'a', 'ab', '😀')
const value = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }) as fc.Arbitrary<JsonValue>,
  ),
})).value
const count = fc.integer({ min: 0, max: 2 })
const schemaOf = fc.letrec<{ schema: JsonValue }>((tie) => {
  const schemas = fc.array(tie('schema'), { minLength: 1, maxLength: 3 })
  return {
    schema: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.boolean(),
      fc.record(
        {
          type: fc.constantFrom('null', 'boolean', 'object', 'array', 'number', 'string', 'integer', [
            'string',
            'null',
          ]),
          ...{ enum: fc.array(value, { minLength: 1, maxLength: 3 }), const: value },
          ...{ minLength: count, maxLength: count, minItems: count, maxItems: count },
          ...{ minProperties: count, maxProperties: count, minimum: count, maximum: count },
          ...{ exclusiveMinimum: count, exclusiveMaximum: count, multipleOf: fc.constantFrom(1, 2, 0.5) },
          required: fc.uniqueArray(fc.constantFrom('a', 'b'), { maxLength: 2 }),
          properties: fc.dictionary(fc.constantFrom('a', 'b'), tie('schema'), { maxKeys: 2 }),
          ...{ additionalProperties: tie('schema'), propertyNames: tie('schema'), items: tie('schema') },
          ...{ prefixItems: schemas, anyOf: schemas, oneOf: schemas, allOf: schemas, not: tie('schema') },
          $ref: fc.constant('#/$defs/d'),
        },
        { requiredKeys: [], maxKeys: 3 } as never,
      ) as fc.Arbitrary<JsonValue>,
    ),
  }
}).schema

test('it decides as a library of JSON Schema does', async () => {
  // Of another package of this repository.
  const path = createRequire(new URL('../../../anchor-service/package.json', import.meta.url)).resolve('typebox/schema')
  const { Check } = (await import(path)) as { Check(schema: object, value: unknown): boolean }
  let [valid, invalid] = [0, 0]
  fc.assert(
    fc.property(schemaOf, scalar, value, (schema, d, given) => {
      const whole = { allOf: [schema], $defs: { d: { enum: [d] } } }
      const expected = Check(whole as object, given)
      if (expected) valid++
      else invalid++
      expect(compileMetadataSchema(whole)(given) === null, JSON.stringify([whole, given])).toBe(expected)
    }),
    { numRuns: process.env.CI ? 3000 : 1000 },
  )
  expect(Math.min(valid, invalid)).toBeGreaterThan(100)
})

test.each<[string, object, string | null]>([
  ['what fits', {}, null],
  ['no target', { targets: [] }, '/targets'],
  [
    'a wrong target',
    {
      targets: [
        { type: 'invoice', id: '1' },
        { type: 'x', id: '1' },
      ],
    },
    '/targets/1/type',
  ],
  ['no reason', { metadata: {} }, '/metadata/reason'],
  ['no metadata', { metadata: undefined }, '/metadata/reason'],
  ['a null in the place of a field', { context: null }, '/context'],
])('an event with %s', (_, twist, path) => {
  const fields = {
    targets: [{ type: 'invoice', id: '1' }],
    metadata: { reason: 'x' },
    context: { ip: '::1' },
    ...twist,
  }
  expect(faultOf(fields, { ...rule, requires: ['reason', 'context'] })?.path ?? null).toBe(path)
  expect(ruleOf({ a: rule }, 'toString')).toBeNull()
})
