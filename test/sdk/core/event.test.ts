import { runInNewContext } from 'node:vm'
import {
  type EventInput,
  hideFields,
  type JsonObject,
  leafHash,
  makeEvent,
  parseEvent,
  type Signer,
  thumbprint,
  toBase64url,
  utf8,
  verifySignature,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { signerFor } from '../../../scripts/lib/vectors/keys.ts'
import { INPUTS, makeEvents, mintOf, SOURCE, STREAM } from '../../../scripts/lib/vectors/world.ts'
import { checkEventInput } from '../../../sdk/src/core/fields.ts'

const numRuns = process.env.CI ? 2000 : 100
const key = signerFor('source')
/** A signer that returns at once and signs nothing. */
const idle: Signer = { ...key, sign: () => new Uint8Array(64) }
const position = { source: SOURCE, stream: STREAM, seq: 0 }
const make = async (input: unknown, signer = idle) => makeEvent(input as EventInput, position, mintOf(0), signer)

const text = fc.string({ minLength: 1, maxLength: 20, unit: 'binary' })
const json = fc
  .jsonValue({ maxDepth: 3, stringUnit: 'binary' })
  .filter((value) => !/\d{16}|e\+/.test(JSON.stringify(value)))
const party = fc.record({ type: text, id: text, name: text }, { requiredKeys: ['type', 'id'] })
const inputs = fc.record(
  {
    action: text,
    actor: party,
    targets: fc.array(party, { maxLength: 3 }),
    outcome: fc.constantFrom('success', 'failure', 'denied'),
    context: fc.dictionary(text, json, { maxKeys: 3 }),
    changes: fc.array(fc.record({ path: text, before: json, after: json }, { requiredKeys: ['path'] }), {
      maxLength: 2,
    }),
    metadata: fc.dictionary(text, json, { maxKeys: 3 }),
    occurredAt: fc
      .date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true })
      .map((d) => d.toISOString()),
    tenant: json,
  },
  { requiredKeys: ['action', 'actor', 'targets'] },
)

test('whatever may be recorded reads back unchanged, and only what was signed reads back', async () => {
  let recorded = 0
  await fc.assert(
    fc.asyncProperty(inputs, async (input) => {
      const accepted = await make(input).catch((error) => {
        expect(error).toMatchObject({ code: 'field_invalid' })
        return null
      })
      if (!accepted) return
      recorded++
      const event = parseEvent(accepted.token)
      // -0 has no spelling of its own in JSON.
      expect(event.fields).toEqual(JSON.parse(JSON.stringify(input)))
      expect(event.leafHash).toEqual(leafHash(utf8(event.leaf)))
      expect(event).toMatchObject({ ...position, id: mintOf(0).id, time: mintOf(0).time })
    }),
    { numRuns },
  )
  expect(recorded).toBeGreaterThan(numRuns / 2)
})

describe('wrong input is refused before anything is made, and the field at fault is named', () => {
  const good: Record<string, unknown> = { action: 'a', actor: { type: 'user', id: '1' }, targets: [] }
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const deep = (levels: number): unknown => (levels === 0 ? 0 : [deep(levels - 1)])
  test.each<[string, unknown]>([
    ['', null],
    ['', 'text'],
    ['', []],
    ['/action', { ...good, action: undefined }],
    ['/action', { ...good, action: '' }],
    ['/actor', { ...good, actor: 'me' }],
    ['/actor/id', { ...good, actor: { type: 'user' } }],
    ['/actor/name', { ...good, actor: { type: 'user', id: '1', name: 1 } }],
    ['/targets', { ...good, targets: { type: 'a', id: '1' } }],
    ['/targets/1/type', { ...good, targets: [{ type: 'a', id: '1' }, { id: '2' }] }],
    ['/targets', { ...good, targets: Array(1001).fill({ type: 'a', id: '1' }) }],
    ['/outcome', { ...good, outcome: 'ok' }],
    ['/changes/0/path', { ...good, changes: [{ before: 1 }] }],
    ['/changes/0/old', { ...good, changes: [{ path: '/', old: 1 }] }],
    ['/occurredAt', { ...good, occurredAt: '2026-02-30T25:00:00Z' }],
    ['/occurredAt', { ...good, occurredAt: new Date(Number.NaN) }],
    ['/occurredAt', { ...good, occurredAt: new Date(Date.UTC(10_000, 0)) }],
    ['/occurredAt', { ...good, occurredAt: 1_760_000_000_000 }],
    ['/metadata/n', { ...good, metadata: { n: Number.NaN } }],
    ['/metadata/n', { ...good, metadata: { n: Number.POSITIVE_INFINITY } }],
    ['/metadata/n', { ...good, metadata: { n: 2 ** 53 } }],
    ['/metadata/n', { ...good, metadata: { n: 1n } }],
    ['/metadata/f', { ...good, metadata: { f: () => 1 } }],
    ['/metadata/d', { ...good, metadata: { d: new Date(Number.NaN) } }],
    ['/metadata/d', { ...good, metadata: { d: Object.assign(new Date(), { toJSON: () => ({ _sd: [] }) }) } }],
    ['/metadata/d', { ...good, metadata: { d: Object.setPrototypeOf({}, Date.prototype) } }],
    ['/metadata/m', { ...good, metadata: { m: new Map() } }],
    ['/metadata/l/1', { ...good, metadata: { l: [1, undefined] } }],
    ['/metadata/s', { ...good, metadata: { s: 'a\ud800' } }],
    ['/metadata', { ...good, metadata: { '\udfff': 1 } }],
    ['/metadata/a~1b~0c', { ...good, metadata: { 'a/b~c': Number.NaN } }],
    ['/metadata', { ...good, metadata: JSON.parse('{"__proto__":1}') }],
    ['/metadata', { ...good, metadata: { _sd: [] } }],
    ['/metadata/x', { ...good, metadata: { x: { '...': 'y' } } }],
    ['/iss', { ...good, iss: 'other' }],
    ['/_sd', { ...good, _sd: [] }],
    ['/a-b', { ...good, 'a-b': 1 }],
  ])('%s', async (field, input) => {
    const refused = expect.objectContaining({ code: 'field_invalid', details: { field } })
    expect(() => checkEventInput(input)).toThrow(refused)
    await expect(make(input)).rejects.toThrow(refused)
  })

  test('a Date is none of it: it is recorded as the text that JSON makes of it, wherever it stands', async () => {
    const date = new Date('2026-11-26T12:34:56.789Z')
    const foreign = runInNewContext('new Date(0)')
    const changes = [{ path: '/due', before: null, after: date }]
    const { token } = await make({ ...good, occurredAt: date, metadata: { due: [date, foreign] }, changes })
    const text = '2026-11-26T12:34:56.789Z'
    expect(parseEvent(token).fields).toMatchObject({
      ...{ occurredAt: text, metadata: { due: [text, '1970-01-01T00:00:00.000Z'] } },
      changes: [{ path: '/due', before: null, after: text }],
    })
    expect(parseEvent((await make({ ...good, occurredAt: foreign })).token).fields.occurredAt).toMatch(/^1970/)
  })

  test('objects of another realm are plain too, as jest has those of fetch and structuredClone', async () => {
    const { actor, metadata } = runInNewContext(
      '({ actor: { type: "user", id: "ada" }, metadata: { deep: [{ a: 1 }] } })',
    )
    const { fields } = parseEvent((await make({ ...good, actor, metadata })).token)
    expect(fields).toMatchObject({ actor: { type: 'user', id: 'ada' }, metadata: { deep: [{ a: 1 }] } })
    for (const odd of ['new Map([[1, 2]])', 'new (class { a = 1 })', '/a/', 'new Error("no")'])
      expect(() => checkEventInput({ ...good, metadata: { odd: runInNewContext(odd) } })).toThrow(/not a plain object/)
  })

  test('targets may be left out: there are none then', async () => {
    const { targets: _, ...rest } = good
    for (const input of [rest, { ...rest, targets: undefined }])
      expect(parseEvent((await make(input)).token).fields).toEqual({ ...rest, targets: [] })
  })

  test('cycles and depth', async () => {
    await expect(make({ ...good, metadata: cycle })).rejects.toMatchObject({ code: 'field_invalid' })
    await expect(make({ ...good, tenant: deep(31) })).rejects.toMatchObject({ code: 'field_invalid' })
    const { token } = await make({ ...good, tenant: deep(30) })
    expect(parseEvent(token).fields.tenant).toEqual(deep(30))
  })

  test('size', async () => {
    // By its text alone, and by what the text becomes: a third more.
    for (const [length, said] of [
      [262_145, /larger than 262,144 bytes/],
      [197_000, /The event has 26\d{4} bytes; at most 262144/],
    ] as const)
      await expect(make({ ...good, tenant: 'x'.repeat(length) })).rejects.toMatchObject({
        ...{ code: 'event_too_large', message: expect.stringMatching(said) },
      })
    await make({ ...good, tenant: 'x'.repeat(195_000) })
  })

  test('names that every object inherits are ordinary field names', async () => {
    const { token } = await make({ ...good, constructor: 1, toString: 'x', hasOwnProperty: null })
    expect(parseEvent(token).fields).toMatchObject({ constructor: 1, toString: 'x', hasOwnProperty: null })
  })
})

test('a change of any field, of the time or of the source breaks the event', async () => {
  const [, token] = await makeEvents(key)
  const event = parseEvent(token!)
  const signature = event.signature!
  expect(verifySignature(key.jwk, signature.input, signature.bytes)).toBe(true)
  const [head, body, tail] = event.leaf.split('.') as [string, string, string]
  const payload = JSON.parse(Buffer.from(body, 'base64url').toString()) as JsonObject
  const other: JsonObject = { iss: 'other', stm: 'other', seq: 2, prev: 'A'.repeat(43), jti: mintOf(5).id, iat: 1 }
  expect(Object.keys(other).concat('_sd', '_sd_alg').sort()).toEqual(Object.keys(payload).sort())

  for (const [name, value] of Object.entries(other)) {
    const changed = parseEvent(`${head}.${toBase64url(utf8(JSON.stringify({ ...payload, [name]: value })))}.${tail}~`)
    const { input, bytes } = changed.signature!
    expect(verifySignature(key.jwk, input, bytes), name).toBe(false)
    expect(changed.leafHash, name).not.toEqual(event.leafHash)
  }
  for (const { text: disclosure, name } of event.disclosures) {
    const [salt, , value] = JSON.parse(Buffer.from(disclosure, 'base64url').toString()) as [string, string, unknown]
    const changes = [
      [salt, name, [value]],
      [salt, `${name}X`, value],
      [`${salt.slice(0, -1)}${salt.endsWith('A') ? 'Q' : 'A'}`, name, value],
    ]
    for (const change of changes) {
      const forged = token!.replace(disclosure, toBase64url(utf8(JSON.stringify(change))))
      expect(() => parseEvent(forged), name).toThrow(expect.objectContaining({ code: 'disclosure_unmatched' }))
    }
  }
})

test('hiding fields leaves the leaf unchanged', async () => {
  const event = parseEvent((await makeEvents(key))[0]!)
  const shown = parseEvent(hideFields(event, ['action', 'outcome']))
  expect(shown.fields).toEqual({ action: INPUTS[0]!.action, outcome: 'success' })
  expect(shown.leafHash).toEqual(event.leafHash)
  expect(shown.fieldCount).toBe(event.fieldCount)
  expect(parseEvent(hideFields(event, [])).fields).toEqual({})
})

test('the digests do not reveal the order of the fields', async () => {
  const [token] = await makeEvents(key)
  const { _sd } = JSON.parse(Buffer.from(token!.split('.')[1]!, 'base64url').toString()) as { _sd: string[] }
  expect(_sd).toEqual([..._sd].sort())
  expect(parseEvent(token!).signature!.kid).toBe(thumbprint(key.jwk))
})
