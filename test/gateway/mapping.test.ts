import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkCollectorConfig, type GatewayStartError, makeEmitterKey } from '@killick/gateway'
import { isObject, type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseForeign } from '../../gateway/src/receivers/json.ts'
import { readEventList } from '../../gateway/src/receivers/kubernetes.ts'
import { checkMapping, mapInput } from '../../gateway/src/receivers/mapping.ts'
import { tryMapping } from '../../gateway/src/try-mapping.ts'
import { NOWHERE, post, type TestCollector, testCollector } from './support.ts'

const EXAMPLE = new URL('../../examples/collector/collector.json', import.meta.url)
const example = parseJson(readFileSync(EXAMPLE, 'utf8')) as JsonObject
const SECRET = 'a secret that GitHub shares'
let edge: TestCollector
const { key, entry } = makeEmitterKey()

beforeAll(async () => {
  const secret = join(process.env.TMPDIR ?? '/tmp', `killick-github-${process.pid}`)
  writeFileSync(secret, SECRET)
  const mappings = example.mappings as Record<string, JsonObject>
  const github = { ...mappings.github, signed: { emitter: 'github', secret } }
  edge = await testCollector(NOWHERE, {
    emitters: [
      { name: 'shippers', keys: [entry], sources: ['shippers', '*'] },
      ...(example.emitters as JsonObject[]).slice(1),
    ],
    mappings: { ...mappings, github },
  })
})
afterAll(() => edge.stop())

/** What an example makes of an input, and that the collector records it, once however often it comes. */
async function mapped(name: string, body: unknown, type = 'application/json', headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const send = () => edge.send(text, { path: `/v1/map/${name}`, key, type, headers })
  const first = await send()
  expect(first.json).toMatchObject({ state: 'durable' })
  const before = edge.collector.log.status.recorded
  expect((await send()).json).toEqual(first.json)
  expect(edge.collector.log.status.recorded).toBe(before)
  const { mappings } = checkCollectorConfig(example)
  const inputs = type.endsWith('ndjson')
    ? text
        .trim()
        .split('\n')
        .map((line) => parseForeign(line))
    : [parseForeign(text)]
  const received = inputs.flatMap((input) => mapInput(mappings[name]!, input, headers))
  expect(first.json.events).toHaveLength(received.length)
  return received
}

test('Fluent Bit, as its http output posts JSON', async () => {
  const record = {
    date: '2026-11-27T10:00:00.120000Z',
    request_id: 'r-1',
    event: 'invoice.approve',
    user: 'ada',
    object: '42',
  }
  const [first, second] = await mapped('fluent-bit', [
    record,
    { ...record, request_id: 'r-2', status: 'denied', object_type: 'invoice' },
  ])
  expect(first).toMatchObject({
    id: 'r-1',
    at: '/0',
    fields: { action: 'invoice.approve', outcome: 'success', metadata: { log: record } },
  })
  expect(second!.fields).toMatchObject({ outcome: 'denied', targets: [{ type: 'invoice', id: '42' }] })
})

test('Vector, as its http sink posts NDJSON', async () => {
  const line = (n: number) => ({
    ...{ file: '/var/log/app.json', host: 'web-1', source_type: 'file', timestamp: '2026-11-27T10:00:00.123456789Z' },
    message: { id: `v-${n}`, action: 'file.read', user: 'ada', path: '/etc/passwd' },
  })
  const [, second] = await mapped(
    'vector',
    `${JSON.stringify(line(1))}\n${JSON.stringify(line(2))}\n`,
    'application/x-ndjson',
  )
  expect(second).toMatchObject({ id: 'v-2', source: 'web-1', fields: { actor: { type: 'user', id: 'ada' } } })
})

test('Debezium Server, as its http sink posts a change', async () => {
  const payload = {
    before: { id: 1, status: 'open' },
    after: { id: 1, status: 'approved' },
    source: {
      version: '3.3',
      connector: 'postgresql',
      name: 'shop',
      ...{ ts_ms: 1764237600000, ts_us: 1764237600000123, ts_ns: '1764237600000123456' },
      db: 'shop',
      schema: 'public',
      table: 'orders',
      lsn: 24023128,
    },
    ...{ op: 'u', ts_ms: 1764237600100, ts_us: 1764237600100200, ts_ns: '1764237600100200300', transaction: null },
  }
  // As it comes, its numbers are more than JavaScript can hold.
  const posted = (value: object) => JSON.stringify(value).replace(/"(\d{16,})"/g, '$1')
  const [change] = await mapped('debezium', posted({ schema: {}, payload }))
  expect(change).toMatchObject({
    id: 'wal-24023128-0-1764237600100200300-orders-u',
    fields: { action: 'row.update', targets: [{ type: 'table', id: 'public.orders' }] },
  })
  expect(change!.fields.metadata).toMatchObject({ source: { ts_us: 1764237600000123, ts_ns: '1764237600000123456' } })
  expect(change!.fields.changes).toEqual([{ path: '', before: payload.before, after: payload.after }])
  // Rows of a snapshot, and of a COPY, stand at one place of the log; those of MySQL have a number there, in a file.
  const at = (more: object, source: object) => ({
    payload: { ...payload, ...more, source: { ...payload.source, ...source } },
  })
  const rows = [
    at({ op: 'r', before: null, ts_ns: '1' }, {}),
    at({ op: 'r', before: null, ts_ns: '2', after: { id: 2, status: 'open' } }, {}),
    at({}, { lsn: null, file: 'binlog.000001', pos: 154, row: 0 }),
    at({}, { lsn: null, file: 'binlog.000001', pos: 154, row: 1 }),
    at({}, { lsn: null, file: 'binlog.000002', pos: 154, row: 0 }),
  ]
  const named = new Set<string | null>()
  for (const row of rows) named.add((await mapped('debezium', posted(row)))[0]!.id)
  expect(named.size).toBe(rows.length)
  const [gone] = await mapped('debezium', { payload: { ...payload, op: 'd', after: null } })
  expect(gone!.fields.changes).toEqual([{ path: '', before: payload.before }])
  const unknown = await edge.send({ payload: { ...payload, op: 'x' } }, { path: '/v1/map/debezium', key })
  expect(unknown).toMatchObject({ status: 422, json: { code: 'mapping_empty', at: '' } })
})

test('numbers of others that would be rounded become their texts, and nothing else does', () => {
  const text = '{"a":[9007199254740993, -9007199254740993,1e400,1.5e30],"b":"9007199254740993, \\"1","c":1.25,"d":12}'
  expect(parseForeign(text)).toEqual({
    ...{ a: ['9007199254740993', '-9007199254740993', '1e400', '1.5e30'], b: '9007199254740993, "1', c: 1.25, d: 12 },
  })
  for (const wrong of [
    '09007199254740993',
    '9007199254740993.',
    '+9007199254740993',
    '-09007199254740993',
    '9007199254740993x',
  ])
    expect(() => parseForeign(`[9007199254740993,${wrong}]`)).toThrow()
  expect(() => parseForeign('{"a":9007199254740993,"a":1}')).toThrow('a')
  const event =
    '{"auditID":"a","stage":"ResponseComplete","verb":"create","user":{"username":"u"},"requestObject":{"n":9007199254740993}}'
  const [kubernetes] = readEventList(`{"apiVersion":"audit.k8s.io/v1","kind":"EventList","items":[${event}]}`)
  expect(JSON.stringify(kubernetes!.fields)).toContain('"n":"9007199254740993"')
  const long = `{"a":"${'\\"x'.repeat(1 << 20)}","b":9007199254740993}`
  expect((parseForeign(long) as JsonObject).b).toBe('9007199254740993')
})

test('GitHub webhooks, by their signature', async () => {
  const payload = { action: 'deleted', sender: { login: 'octocat' }, repository: { full_name: 'killick/demo' } }
  const body = JSON.stringify(payload)
  const sign = (secret: string) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
  const headers = {
    'content-type': 'application/json',
    'x-github-event': 'branch_protection_rule',
    'x-github-delivery': '72d3162e',
  }
  const url = `${edge.url}/v1/map/github`
  expect(await post(url, body, { ...headers, 'x-hub-signature-256': sign(SECRET) })).toMatchObject({ status: 200 })
  for (const bad of [sign('another secret'), 'sha256=', 'sha256=é'.normalize('NFC').replace('é', 'e')])
    expect(await post(url, body, { ...headers, 'x-hub-signature-256': bad })).toMatchObject({ status: 401 })
  expect(await post(url, body, headers)).toMatchObject({ status: 401, json: { code: 'emitter_unknown' } })
  // Where a mapping names no signer, a signature is nobody's.
  expect(
    await post(`${edge.url}/v1/map/vector`, body, { ...headers, 'x-hub-signature-256': sign(SECRET) }),
  ).toMatchObject({ status: 401 })
})

test('what a mapping does not find is named, with its place', async () => {
  const send = (body: unknown) => edge.send(body, { path: '/v1/map/fluent-bit', key })
  const record = { date: '2026-11-27T10:00:00Z', event: 'a', user: 'b', object: 'c' }
  const before = edge.collector.log.status.recorded
  const refused = async (body: unknown) => (await send(body)).json
  expect(await refused([record, { ...record, user: undefined }])).toMatchObject({ at: '/1', needs: '/user' })
  expect(await refused([record, { ...record, user: {} }])).toMatchObject({
    code: 'field_invalid',
    field: '/actor/id',
    at: '/1',
  })
  expect(await refused([])).toMatchObject({ code: 'mapping_empty', status: 422 })
  expect(edge.collector.log.status.recorded).toBe(before)
})

test('a name that names nothing is refused: it would make one event of all that have it', () => {
  const mapping = { items: '', id: '{/id?}', source: null, signed: null, event: { action: '{/action}' } }
  const idOf = (id?: JsonValue) => mapInput(mapping, { action: 'a', ...(id !== undefined && { id }) }, {})[0]!.id
  expect([idOf('x'), idOf(7), idOf(null), idOf()]).toEqual(['x', '7', null, null])
  for (const id of ['', 'x'.repeat(1025)])
    expect(() => idOf(id)).toThrow(expect.objectContaining({ code: 'collect_input_invalid', details: { at: '/id' } }))
})

test('a rule that does not parse is a fault of the configuration', () => {
  const base = { items: '', id: null, source: null, signed: null }
  expect(checkMapping({ ...base, event: { action: "x {/a} {{b}} {header:x-y|/b|'c'?}" } })).toEqual([])
  expect(checkMapping({ ...base, event: { action: '{a}', actor: { id: '{/a' } } })).toHaveLength(2)
  const mappings = { Bad: { event: { action: '{a}' } }, other: { evnt: {} } }
  try {
    checkCollectorConfig({ ...example, mappings, otlp: { mapping: 'none' } })
    expect.unreachable()
  } catch (error) {
    const faults = (error as GatewayStartError).faults.join('\n')
    for (const place of ['/mappings/Bad', '/mappings/other/evnt', '/mappings/other/event', '/otlp/mapping'])
      expect(faults).toContain(place)
  }
})

test('a header is the UTF-8 that its sender means: as Node reads it, byte by byte, or as it is given by hand', () => {
  const mapping = { items: '', id: null, source: null, signed: null, event: { action: '{header:x-user}' } }
  const action = (user: string) => mapInput(mapping, {}, { 'x-user': user })[0]!.fields.action
  expect(['Zoë', '李'].map((name) => action(Buffer.from(name).toString('latin1')))).toEqual(['Zoë', '李'])
  expect(['Zoë', '李', 'Ã«李'].map(action)).toEqual(['Zoë', '李', 'Ã«李'])
})

test('a dry run shows the events, or what is wrong', () => {
  const file = join(edge.folder, 'input.json')
  writeFileSync(
    file,
    JSON.stringify({ action: 'opened', sender: { login: 'ada' }, repository: { full_name: 'killick/demo' } }),
  )
  const config = checkCollectorConfig(example)
  const headers = ['--header', 'X-GitHub-Event: issues', '--header', 'X-GitHub-Delivery: d-1']
  const shown = parseJson(tryMapping(config, 'github', file, headers).events)
  expect(isObject(shown) && shown.action).toBe('github.issues.opened')
  expect(() => tryMapping(config, 'github', file, [])).toThrow('header:x-github-event')
  expect(() => tryMapping(config, 'none', file, [])).toThrow('no mapping none')
  expect(() => tryMapping(config, 'github', file, ['--otlp', 'xml'])).toThrow('--otlp xml is not')
})
