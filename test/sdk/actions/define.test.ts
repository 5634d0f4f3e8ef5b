// A catalogue at run time: what it refuses and where it says so, with schemas of real libraries.
import { createRequire } from 'node:module'
import { toJsonSchema, toStandardJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { expect, onTestFinished, test } from 'vitest'
import {
  type ActionDefinitions,
  defineActions,
  jsonSchemaOfEvents,
  markdownOf,
} from '../../../sdk/src/actions/index.ts'
import { createAudit } from '../../../sdk/src/kit/index.ts'
import { openTestLog } from '../../../sdk/src/testing/index.ts'
import '../../../sdk/src/testing/vitest.ts'

// A library with Standard JSON Schema of its own; another package of this repository brings it along.
const { z } = createRequire(new URL('../../../node_modules/knip/package.json', import.meta.url))('zod')

const ada = { type: 'user', id: 'ada' }
const invoice = { type: 'invoice', id: '42' } as const

const actions = defineActions(
  {
    'invoice.refund': {
      about: 'Money goes back | to a customer.',
      target: 'invoice',
      requires: ['reason', 'changes'],
      metadata: v.object({ amount: v.number(), currency: v.optional(v.picklist(['EUR', 'USD']), 'EUR') }),
      severity: 'high',
      redact: [{ name: 'card', detect: ['card'] }],
    },
    'invoice.view': { target: ['invoice', 'draft'] },
    'session.start': { target: null, requires: ['outcome', 'region'] },
  },
  { version: '2026-01' },
)

const refund = {
  action: 'invoice.refund',
  actor: ada,
  target: invoice,
  reason: 'damaged',
  changes: [{ path: '/status' }],
  metadata: { amount: 12 },
} as const

async function open() {
  const log = await openTestLog({ fields: ['region'] })
  onTestFinished(() => log[Symbol.asyncDispose]())
  // Bad events do not compile, so they go in as anything.
  const record = actions.over(log).record as (event: object) => Promise<unknown>
  return { log, record }
}

test('what fits is recorded, with the version, and with what its schema makes of the metadata', async () => {
  const { log, record } = await open()
  await record({ ...refund, metadata: { amount: 12, more: 1 } })
  await record({ action: 'session.start', actor: ada, outcome: 'success', region: 'eu' })
  await record({ ...refund, reason: 'card 4242 4242 4242 4242' })
  expect(log.events().map(({ metadata, catalogue }) => [metadata, catalogue])).toEqual([
    [{ amount: 12, currency: 'EUR', reason: 'damaged' }, '2026-01'],
    [undefined, '2026-01'],
    [
      {
        ...{ amount: 12, currency: 'EUR', reason: 'card [redacted:card]' },
        redactions: [{ path: '/metadata/reason', rule: 'card' }],
      },
      '2026-01',
    ],
  ])
})

test.each<[string, object, string, string]>([
  ['an unknown action', { action: 'invoice.refnd' }, 'action_unknown', '/action'],
  ['a name that objects have anyway', { action: 'constructor' }, 'action_unknown', '/action'],
  ['no target', { target: undefined }, 'action_invalid', '/targets'],
  ['a target of another type', { targets: [{ type: 'x', id: '1' }] }, 'action_invalid', '/targets/1/type'],
  ['no reason', { reason: '' }, 'action_invalid', '/metadata/reason'],
  ['empty changes', { changes: [] }, 'action_invalid', '/changes'],
  ['no metadata', { metadata: undefined }, 'action_invalid', '/metadata/amount'],
  ['metadata of another form', { metadata: { amount: 1, currency: 'CHF' } }, 'action_invalid', '/metadata/currency'],
  ['a target where there is none', { action: 'session.start' }, 'action_invalid', '/targets'],
  [
    'a declared field that is missing',
    { action: 'session.start', target: undefined, outcome: 'denied' },
    'action_invalid',
    '/region',
  ],
])('%s is refused with the place, and nothing is recorded', async (_, change, code, field) => {
  const { log, record } = await open()
  await expect(record({ ...refund, ...change })).rejects.toMatchObject({
    name: 'KillickError',
    code,
    details: { field },
  })
  expect(log).toHaveRecordedNothingElse()
  expect(log.status.rejected).toBe(0)
})

test('a misspelt action is answered with the one that was meant', async () => {
  const { record } = await open()
  await expect(record({ ...refund, action: 'invoice.refnd' })).rejects.toMatchObject({
    details: { meant: 'invoice.refund' },
    message: expect.stringContaining('Did you mean invoice.refund?'),
  })
})

test('with the kit: the context counts, denials and failures too, and what can never fit does not run', async () => {
  const log = await openTestLog({ fields: ['region'] })
  onTestFinished(() => log[Symbol.asyncDispose]())
  const audit = createAudit(log, { catalogue: actions }).with({ actor: ada })
  await audit.record({ ...refund, actor: undefined })
  expect(log).toHaveRecorded({
    action: 'invoice.refund',
    actor: 'user/ada',
    catalogue: '2026-01',
    metadata: { reason: 'damaged' },
  })
  // A denial changes nothing; a function that throws has no result to tell of.
  await audit.denied({ action: 'invoice.refund', target: invoice, reason: 'not yours' })
  expect(log).toHaveRecorded({ outcome: 'denied', changes: undefined, metadata: { reason: 'not yours' } }, { times: 1 })
  const failing = audit.withAudit({ action: 'invoice.refund', target: invoice, reason: 'damaged' }, () => {
    throw new TypeError('no such invoice')
  })
  await expect(failing).rejects.toThrow('no such invoice')
  expect(log).toHaveRecorded({ outcome: 'failure', metadata: { error: { name: 'TypeError' } } }, { times: 1 })
  let ran = false
  const wrapped = audit.withAudit({ ...refund, target: { type: 'x', id: '1' } } as never, () => {
    ran = true
  })
  await expect(wrapped).rejects.toMatchObject({ code: 'action_invalid' })
  expect(ran).toBe(false)
  expect(log).toHaveRecordedNothingElse()
})

test.each<[string, ActionDefinitions, string]>([
  ['nothing', {}, ''],
  ['an unknown member', { a: { targets: ['x'] } as never }, '/a/targets'],
  ['an unknown severity', { a: { severity: 'huge' as never } }, '/a/severity'],
  ['a JSON Schema in the place of a schema', { a: { metadata: { type: 'object' } as never } }, '/a/metadata'],
  ['a JSON Schema for no schema', { a: { jsonSchema: {} } }, '/a/jsonSchema'],
  ['no type of target', { a: { target: [] } }, '/a/target'],
  ['a type twice', { a: { target: ['x', 'x'] } }, '/a/targets'],
  ['a field that there cannot be', { 'a/b': { requires: ['a b'] } }, '/a~1b/requires'],
  ['a name that no event may have', { _sd: {} }, '/_sd'],
  ['a long name', { ['a'.repeat(257)]: {} }, `/${'a'.repeat(257)}`],
])('a catalogue with %s is refused where it is defined', (_, definitions, field) => {
  expect(() => defineActions(definitions)).toThrow(
    expect.objectContaining({ code: 'catalogue_invalid', details: { field } }),
  )
})

test('a version must be a name; redaction rules are checked at once', () => {
  expect(() => defineActions({ a: {} }, { version: 'a b' })).toThrow(/version/)
  expect(() => defineActions({ a: { redact: [{ name: 'x' }] as never } })).toThrow(
    expect.objectContaining({ code: 'redaction_rule_invalid' }),
  )
})

test('a schema that answers later, or makes something else than an object, cannot be one of metadata', async () => {
  const log = await openTestLog()
  onTestFinished(() => log[Symbol.asyncDispose]())
  const late = defineActions({ a: { metadata: v.objectAsync({}) } }).over(log)
  await expect(late.record({ action: 'a', actor: ada })).rejects.toMatchObject({ code: 'catalogue_invalid' })
  const text = defineActions({
    a: {
      metadata: v.pipe(
        v.object({}),
        v.transform(() => 'text'),
      ),
    },
  }).over(log)
  await expect(text.record({ action: 'a', actor: ada })).rejects.toMatchObject({ code: 'action_invalid' })
  expect(log.events()).toEqual([])
})

test('JSON Schema: from the library, or given beside, or a sentence that says how', () => {
  const schema = v.object({ amount: v.number() })
  const said = { type: 'object', properties: { amount: { type: 'number' } }, required: ['amount'] }
  expect(() => defineActions({ a: { metadata: schema } }).rules()).toThrow(
    /valibot, which makes no JSON Schema.*jsonSchema/,
  )
  for (const definition of [
    { metadata: schema, jsonSchema: toJsonSchema(schema) },
    { metadata: toStandardJsonSchema(schema) },
    { metadata: z.looseObject({ amount: z.number() }) },
  ])
    expect(defineActions({ a: definition }).rules().a!.metadata).toMatchObject(said)
  expect(() => defineActions({ a: { metadata: z.object({ at: z.date() }) } }).rules()).toThrow(/cannot be written/)
  expect(() => defineActions({ a: { metadata: z.object({ reason: z.string() }) } }).rules()).toThrow(
    expect.objectContaining({ details: { field: '/a/metadata/properties/reason' } }),
  )
})

const documented = defineActions(
  {
    'invoice.refund': {
      about: 'Money goes back | to a customer.',
      target: 'invoice',
      requires: ['reason'],
      metadata: z.object({
        amount: z.number().describe('In cents.'),
        to: z.union([z.email(), z.null()]).optional(),
        lines: z.array(z.enum(['a', 'b'])),
      }),
      severity: 'high',
    },
    'session.start': { target: null },
  },
  { version: '1' },
)

test('documentation is a page that people read', () => {
  expect(markdownOf(documented.rules(), '1')).toBe(`# Actions

2 actions, version \`1\`.

| action | targets | severity |
|---|---|---|
| \`invoice.refund\` | \`invoice\` | high |
| \`session.start\` | none | – |

## \`invoice.refund\`

Money goes back \\| to a customer.

- Targets: at least one, each of the type \`invoice\`.
- Required: \`reason\`.
- Severity: high.

| metadata | is | required | |
|---|---|---|---|
| \`amount\` | number | yes | In cents. |
| \`to\` | string (email), or null | no |  |
| \`lines\` | array of "a", "b" | yes |  |

The ledger does not check \`format\`, \`pattern\`; the recorder does.

## \`session.start\`

- Targets: none.
`)
})

test('the JSON Schema takes the events that the catalogue takes', async () => {
  const path = createRequire(new URL('../../../anchor-service/package.json', import.meta.url)).resolve('typebox/schema')
  const { Check } = (await import(path)) as { Check(schema: object, value: unknown): boolean }
  const schema = jsonSchemaOfEvents(documented.rules(), '1')
  const event = {
    ...{ action: 'invoice.refund', actor: ada, targets: [invoice], catalogue: '1' },
    metadata: { amount: 1, lines: ['a'], reason: 'damaged' },
  }
  expect(Check(schema, event)).toBe(true)
  expect(Check(schema, { action: 'session.start', actor: ada, catalogue: '1' })).toBe(true)
  const denied = { ...event, outcome: 'denied', metadata: { reason: 'not yours' } }
  expect(Check(schema, denied)).toBe(true)
  expect(Check(schema, { ...denied, metadata: { reason: 'not yours', amount: 'x' } })).toBe(false)
  expect(Check(schema, { ...denied, metadata: {} })).toBe(false)
  for (const change of [
    { action: 'x' },
    { catalogue: '2' },
    { targets: [] },
    { targets: [{ type: 'x', id: '1' }] },
    { metadata: { amount: 1, lines: [] } },
    { metadata: { ...event.metadata, amount: 'x' } },
    { metadata: { ...event.metadata, more: 1 } },
    { actor: {} },
  ])
    expect(Check(schema, { ...event, ...change }), JSON.stringify(change)).toBe(false)
})
