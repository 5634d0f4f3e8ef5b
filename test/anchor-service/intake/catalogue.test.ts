// A source that is held to its catalogue: what does not fit is refused, whoever sends it, by what the log says and not by what the
// tables say.
import {
  type ActionRule,
  catalogueFields,
  type EventInput,
  type JsonObject,
  parseActions,
  parseCatalogueChange,
} from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hold } from '../../../anchor-service/src/intake/catalogue-check.ts'
import { compressBatch } from '../../../sdk/src/client/transport.ts'
import { killick } from '../../sdk/cli/support.ts'
import { queryAsOwner } from '../../support/postgres.ts'
import { vectors } from '../../support/vectors.ts'
import { newSigner, Producer, post } from '../support/producer.ts'
import { ADMIN, call, READER, register, type TestService, testService } from '../support/service.ts'

const signer = newSigner()
let service: TestService

beforeAll(async () => {
  service = await testService()
  for (const source of ['billing', 'free', 'hidden'])
    await register(service.url, source, [{ jwk: signer.jwk }], source === 'hidden' ? { decoys: true } : {})
})
afterAll(() => service.stop())

const rule = (more: Partial<ActionRule> = {}): ActionRule => ({
  ...{ about: null, targets: null, requires: [], metadata: null, severity: null },
  ...more,
})

const SCHEMA: JsonObject = {
  type: 'object',
  properties: {
    amount: { $ref: '#/$defs/amount' },
    card: { anyOf: [{ type: 'number' }, { type: 'null' }] },
    // Takes ages of a text such as 'aaaa…!', so nobody may run it.
    note: { type: 'string', maxLength: 100, pattern: '^(a+)+$' },
  },
  required: ['amount'],
  additionalProperties: false,
  $defs: { amount: { type: 'number', exclusiveMinimum: 0 } },
}
const actions = {
  'invoice.refund': rule({ targets: ['invoice'], requires: ['reason'], metadata: SCHEMA }),
  'session.start': rule({ targets: [] }),
}

async function push(body: object, token = ADMIN, to = service) {
  const headers = { 'content-type': 'application/json' }
  return call(to.url, '/v1/catalogues', token, { method: 'POST', headers, body: JSON.stringify(body) })
}

const refund = {
  ...{ action: 'invoice.refund', actor: { type: 'user', id: 'ada' }, targets: [{ type: 'invoice', id: '42' }] },
  ...{ metadata: { amount: 12, reason: 'damaged' }, catalogue: '1' },
} satisfies EventInput
const start = { action: 'session.start', actor: { type: 'user', id: 'ada' }, catalogue: '1' } satisfies EventInput

async function send(events: readonly EventInput[], producer = new Producer('billing', signer), to = service) {
  const { header, tokens, advance } = await producer.batch(events)
  const body = new Uint8Array(await compressBatch(header, tokens, 'zstd'))
  const answer = await post(to.url, body, { 'content-encoding': 'zstd' })
  if (answer.status < 300) advance()
  return answer
}

describe('registering', () => {
  test('a version is an event of the ledger, registered once, and read back', async () => {
    const first = await push({ source: 'free', version: '1', actions })
    expect(first).toMatchObject({ status: 201, json: { source: 'free', version: '1', enforced: [] } })
    const { logIndex, event } = first.json
    expect(await push({ source: 'free', version: '1', actions })).toMatchObject({
      ...{ status: 200, json: { logIndex: null, event: null } },
    })
    const second = await push({ source: 'free', version: '2', actions: { a: rule() } })
    expect(second).toMatchObject({ status: 201 })
    const read = await call(service.url, '/v1/catalogues?source=free&version=1')
    expect(read.json).toEqual({
      ...{ source: 'free', enforced: [], actions },
      versions: [
        { version: '1', logIndex },
        { version: '2', logIndex: second.json.logIndex },
      ],
    })
    const found = await call(service.url, `/v1/events?action=source.catalogue&target=free`)
    expect(found.json.events.map(({ id }: { id: string }) => id)).toContain(event.id)
  })

  test.each<[string, object, number, object]>([
    ['another content under the same name', { version: '1', actions: { a: rule() } }, 409, { code: 'catalogue_taken' }],
    ['a source that is not registered', { source: 'nobody', version: '1', actions }, 400, { code: 'request_invalid' }],
    ['a version without actions', { version: '3' }, 400, { code: 'request_invalid' }],
    ['nothing', {}, 400, { code: 'request_invalid' }],
    ['a version to enforce that there is not', { enforced: ['9'] }, 400, { code: 'request_invalid' }],
    [
      'a source with decoys to enforce',
      { source: 'hidden', version: '1', actions, enforced: ['1'] },
      400,
      { code: 'request_invalid' },
    ],
    [
      'a schema that may run for ever',
      { version: '3', actions: { a: rule({ metadata: { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } } }) } },
      400,
      { code: 'catalogue_invalid', field: '/actions/a/metadata/$defs/a/$ref' },
    ],
    [
      'a schema from elsewhere',
      { version: '3', actions: { a: rule({ metadata: { $ref: 'https://example.com/s.json' } }) } },
      400,
      { code: 'catalogue_invalid', field: '/actions/a/metadata/$ref' },
    ],
  ])('%s is refused', async (_, body, status, problem) => {
    expect(await push({ source: 'free', ...body })).toMatchObject({ status, json: problem })
  })

  test('readers may not register', async () => {
    expect(await push({ source: 'free', version: '7', actions }, READER)).toMatchObject({
      status: 403,
    })
    const read = await call(service.url, '/v1/catalogues?source=free&version=7')
    expect(read).toMatchObject({ status: 404, json: { code: 'not_found' } })
  })
})

describe('held to a catalogue', () => {
  beforeAll(async () => {
    expect(await push({ source: 'billing', version: '1', actions, enforced: ['1'] })).toMatchObject({ status: 201 })
  })

  test('what fits is accepted, and other sources are left alone', async () => {
    const producer = new Producer('billing', signer)
    expect(await send([refund, start], producer)).toMatchObject({ status: 201 })
    // Recorders write signs of life and the end of a stream, whatever the application does.
    const own = { actor: { type: 'source', id: 'billing' }, targets: [{ type: 'stream', id: producer.stream }] }
    const written = ['stream.heartbeat', 'stream.close'].map((action) => ({ ...own, action }))
    expect(await send(written, producer)).toMatchObject({ status: 201 })
    const other = { action: 'x', actor: refund.actor }
    expect(await send([other], new Producer('free', signer))).toMatchObject({ status: 201 })
  })

  test.each<[string, object, string, string]>([
    ['no version', { catalogue: undefined }, 'action_invalid', '/catalogue'],
    ['a version that is not enforced', { catalogue: '2' }, 'action_invalid', '/catalogue'],
    ['an unknown action', { action: 'invoice.refnd' }, 'action_unknown', '/action'],
    ['a name that objects have anyway', { action: 'constructor' }, 'action_unknown', '/action'],
    ['no target', { targets: [] }, 'action_invalid', '/targets'],
    ['a target of another type', { targets: [{ type: 'x', id: '1' }] }, 'action_invalid', '/targets/0/type'],
    ['no reason', { metadata: { amount: 1 } }, 'action_invalid', '/metadata/reason'],
    ['no metadata', { metadata: { reason: 'x' } }, 'action_invalid', '/metadata/amount'],
    ['an amount below zero', { metadata: { ...refund.metadata, amount: -1 } }, 'action_invalid', '/metadata/amount'],
    ['an unknown member', { metadata: { ...refund.metadata, more: 1 } }, 'action_invalid', '/metadata/more'],
    [
      'a sign of life of another stream',
      { action: 'stream.heartbeat', targets: [{ type: 'stream', id: 'x' }] },
      'action_unknown',
      '/action',
    ],
    [
      'the end of another stream',
      { action: 'stream.close', targets: [{ type: 'stream', id: 'x' }] },
      'action_unknown',
      '/action',
    ],
  ])('%s: the batch is refused with line and place', async (_, change, code, field) => {
    const answer = await send([start, { ...refund, ...change } as EventInput, start])
    expect(answer).toMatchObject({ status: 400, json: { code, field, line: 3, source: 'billing' } })
  })

  test('a pattern is not run, however the text is made', async () => {
    const note = `${'a'.repeat(60)}!`
    expect(await send([{ ...refund, metadata: { ...refund.metadata, note } }])).toMatchObject({ status: 201 })
  })

  test('what stands in the place of a removed value need not fit; everything else must', async () => {
    const redactions = [{ path: '/metadata/card', rule: 'card' }]
    const removed = { ...refund.metadata, card: '[redacted:card]', redactions }
    expect(await send([{ ...refund, metadata: removed }])).toMatchObject({ status: 201 })
    for (const metadata of [
      { ...removed, amount: '1' },
      { ...removed, amount: undefined },
      { ...removed, redactions: [] },
      { ...removed, redactions: [{ path: '/metadata/car', rule: 'card' }] },
    ])
      expect(await send([{ ...refund, metadata: JSON.parse(JSON.stringify(metadata)) }])).toMatchObject({ status: 400 })
  })

  test('a large batch, and one of several threads’ size, is held to it on every line', async () => {
    const many = Array.from({ length: 300 }, (_, i) => ({
      ...refund,
      context: { id: `${crypto.randomUUID()}${crypto.randomUUID()}` },
      ...(i === 250 && { catalogue: 'x' }),
    }))
    expect(await send(many)).toMatchObject({ status: 400, json: { code: 'action_invalid', line: 252 } })
    expect(await send(many.filter(({ catalogue }) => catalogue === '1'))).toMatchObject({ status: 201 })
  })

  test('a batch that was accepted before gets its receipt again', async () => {
    await push({ source: 'billing', enforced: [] })
    const { header, tokens } = await new Producer('billing', signer).batch([{ action: 'x', actor: refund.actor }])
    const body = `${[header, ...tokens].join('\n')}\n`
    const first = await post(service.url, body)
    expect(first).toMatchObject({ status: 201 })
    await push({ source: 'billing', enforced: ['1'] })
    expect(await post(service.url, body)).toMatchObject({ status: 200, json: { logIndex: first.json.logIndex } })
  })

  test('versions live side by side, until one is left', async () => {
    const next = { ...actions, 'invoice.void': rule() }
    await push({ source: 'billing', version: '2', actions: next, enforced: ['1', '2'] })
    const made = { ...refund, action: 'invoice.void', catalogue: '2' }
    expect(await send([refund, made])).toMatchObject({ status: 201 })
    expect(await send([{ ...made, catalogue: '1' }])).toMatchObject({ status: 400, json: { code: 'action_unknown' } })
    await push({ source: 'billing', enforced: ['2'] })
    expect(await send([refund])).toMatchObject({ status: 400, json: { field: '/catalogue' } })
    expect(await push({ source: 'billing', enforced: ['2'] })).toMatchObject({ status: 200, json: { logIndex: null } })
    await push({ source: 'billing', enforced: ['1', '2'] })
    expect(await send([refund])).toMatchObject({ status: 201 })
  })

  test('such a source gets no decoys', async () => {
    const answer = await register(service.url, 'billing', [], { decoys: true })
    expect(answer).toMatchObject({ status: 400, json: { code: 'request_invalid' } })
    expect(await register(service.url, 'free', [], { decoys: true })).toMatchObject({ status: 201 })
  })

  test('another process on the same ledger holds to it too, from its start and after a change elsewhere', async () => {
    const second = await testService({}, service)
    try {
      expect(await settled(() => send([{ ...refund, catalogue: 'x' }], undefined, second))).toMatchObject({
        status: 400,
      })
      expect(await settled(() => send([refund], undefined, second))).toMatchObject({ status: 201 })
      await push({ source: 'billing', version: '3', actions, enforced: ['3'] })
      // The other process has not heard of it: what it refuses, it looks up again; what it takes, the commit looks up.
      expect(await settled(() => send([{ ...refund, catalogue: '3' }], undefined, second))).toMatchObject({
        status: 201,
      })
      await push({ source: 'billing', enforced: ['1'] })
      expect(await settled(() => send([{ ...refund, catalogue: '3' }], undefined, second))).toMatchObject({
        ...{ status: 400, json: { field: '/catalogue' } },
      })
      // Held to none here, it is held to none there.
      await push({ source: 'billing', enforced: [] })
      const other = { action: 'x', actor: refund.actor }
      expect(await settled(() => send([other], undefined, second))).toMatchObject({ status: 201 })
      await push({ source: 'billing', enforced: ['1'] })
    } finally {
      await second.close()
    }
  })

  test('the owner of the database cannot take the catalogue away', async () => {
    const { json } = await call(service.url, '/v1/catalogues?source=billing')
    const at = json.versions.find(({ version }: { version: string }) => version === '1').logIndex
    const set = (what: string) =>
      queryAsOwner(
        service.databaseUrl,
        `set session_replication_role = replica; update killick.packs set ${what} where log_index = ${at}`,
      )
    await queryAsOwner(
      service.databaseUrl,
      `create table public.kept as select first_event, body from killick.packs where log_index = ${at}`,
    )
    try {
      await set(`body = (select body from killick.packs where log_index = ${at - 1})`)
      // One that has read it before knows it by its hash; a new one refuses to go on.
      expect(await send([{ ...refund, catalogue: 'x' }])).toMatchObject({ status: 400 })
      const fresh = await testService({}, service)
      try {
        expect(await settled(() => send([{ ...refund, catalogue: 'x' }], undefined, fresh))).toMatchObject({
          ...{ status: 503, json: { code: 'registry_altered' } },
        })
      } finally {
        await fresh.close()
      }
    } finally {
      await set('body = (select body from public.kept)')
      await queryAsOwner(service.databaseUrl, 'drop table public.kept')
    }
  })
})

test('an audit from outside finds nothing wrong with a ledger that has catalogues', async () => {
  const args = [
    'audit',
    '--url',
    service.url,
    '--token',
    READER,
    '--log-key',
    service.vkey,
    '--registered-keys',
    '--no-chain',
  ]
  const { code, out, err } = await killick([...args, '--json'])
  expect(JSON.parse(out), err).toMatchObject({ outcome: 'passed' })
  expect(code).toBe(0)
})

type Vectors = {
  changes: { description: string; valid: boolean; code?: string; field?: string; fields: JsonObject }[]
  held: { enforced: string[]; actions: JsonObject }
  events: { description: string; valid: boolean; code?: string; field?: string; fields: JsonObject }[]
}
const { changes, held, events } = vectors<Vectors>('catalogues')

test.each(changes)('vector of a change: $description', ({ valid, code, field, fields }) => {
  const parse = () => parseCatalogueChange({ source: 'killick', stream: 'system', fields })
  if (valid) expect(catalogueFields(parse()!)).toEqual(fields)
  else expect(parse).toThrow(expect.objectContaining({ code, details: { field } }))
})

test.each(events)('vector of an event: $description', async ({ valid, code, field, fields }) => {
  const actions = parseActions(held.actions)
  const versions = new Map(held.enforced.map((version) => [version, { actions, checks: new Map() }]))
  const { misfit } = hold({ source: 'billing-api', newest: '' }, versions)
  const disclosures = Object.entries(fields).map((entry) => base64url(JSON.stringify(['', ...entry])))
  const found = misfit(`leaf~${disclosures.join('~')}~`, 'one', 2)
  if (valid) expect(found).toBeNull()
  else expect(found).toMatchObject({ code, details: { line: 2, field } })
})

const base64url = (text: string) => Buffer.from(text).toString('base64url')

/** The answer of a service that has heard of what is enforced: a recorder sends again after 503. */
async function settled(ask: () => ReturnType<typeof send>) {
  for (;;) {
    const answer = await ask()
    if (answer.json.code !== 'catalogue_changed') return answer
    expect(answer.status).toBe(503)
  }
}
