import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkCollectorConfig } from '@killick/gateway'
import { type JsonObject, parseEvent, parseJson } from '@killick/sdk/core'
import { eventOfLogRecord } from '@killick/sdk/otel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tryMapping } from '../../gateway/src/try-mapping.ts'
import { NOWHERE, type TestCollector, testCollector } from './support.ts'

const EXAMPLE = new URL('../../examples/collector/collector.json', import.meta.url)

let edge: TestCollector

beforeAll(async () => {
  edge = await testCollector(NOWHERE)
})
afterAll(() => edge.stop())

/** The fields of the event with this id, as they stand in the spool, and `collected` apart. */
function inSpool(id: unknown) {
  const spool = join(edge.folder, 'spool')
  for (const file of readdirSync(spool).filter((name) => name.endsWith('.log')))
    for (const line of readFileSync(join(spool, file), 'latin1').split('\n')) {
      if (!line.startsWith('E ')) continue
      const event = parseEvent(line.split(' ')[3]!)
      const { collected, ...fields } = event.fields
      if (event.id === id) return { fields, collected: collected as Record<string, unknown> }
    }
  throw new Error(`${id} is not in the spool`)
}
const recorded = () => edge.collector.log.status.recorded

describe('CloudEvents', () => {
  const cloudEvent = {
    ...{ specversion: '1.0', id: 'A234-1234-1234', source: 'hr-cloud', type: 'com.github.pull_request.opened' },
    ...{ subject: '123', time: '2018-04-05T17:31:00Z', comexampleextension1: 'value', comexampleothervalue: 5 },
    ...{ datacontenttype: 'application/json', data: { appinfoA: 'abc', appinfoB: 123, appinfoC: true } },
  }
  const expected = {
    action: 'com.github.pull_request.opened',
    actor: { type: 'cloudevents-source', id: 'hr-cloud' },
    targets: [{ type: 'subject', id: '123' }],
    occurredAt: '2018-04-05T17:31:00Z',
    metadata: {
      cloudevent: {
        ...{ id: 'A234-1234-1234', source: 'hr-cloud', subject: '123', datacontenttype: 'application/json' },
        ...{ comexampleextension1: 'value', comexampleothervalue: 5 },
      },
      data: cloudEvent.data,
    },
  }

  test('structured', async () => {
    const { status, json } = await edge.send(cloudEvent, { type: 'application/cloudevents+json; charset=utf-8' })
    expect(status).toBe(200)
    const { fields, collected } = inSpool(json.id)
    expect(fields).toEqual(expected)
    expect(collected).toMatchObject({ via: 'cloudevents', source: 'hr-cloud', id: 'A234-1234-1234' })
  })

  test('batched, each with its place', async () => {
    const type = 'application/cloudevents-batch+json'
    const batch = [1, 2].map((n) => ({ ...cloudEvent, id: `batch-${n}`, authtype: 'user', authid: 'ada' }))
    const { status, json } = await edge.send(batch, { type })
    expect(status).toBe(200)
    const [, second] = json.events as { id: string }[]
    expect(inSpool(second!.id).fields.actor).toEqual({ type: 'user', id: 'ada' })
    const before = recorded()
    const bad = await edge.send([batch[0], { ...batch[1], id: 'x', specversion: '0.3' }], { type })
    expect(bad.json).toMatchObject({ code: 'field_invalid', at: '/1', field: '/specversion' })
    expect(recorded()).toBe(before)
  })

  test('binary: attributes are headers, data is the body, whatever it is', async () => {
    const headers = {
      ...{ 'ce-specversion': '1.0', 'ce-id': 'bin-1', 'ce-source': 'hr-cloud', 'ce-type': 'salary.paid' },
      ...{ 'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80', 'ce-authtype': 'user', 'ce-authid': 'ada' },
    }
    const json = await edge.send({ paid: true }, { headers })
    expect(inSpool(json.json.id).fields).toMatchObject({
      ...{ action: 'salary.paid', targets: [{ type: 'subject', id: 'Euro € 😀' }] },
      metadata: { data: { paid: true } },
    })
    const bytes = await edge.send(Buffer.from([0, 255]), {
      type: 'image/png',
      headers: { ...headers, 'ce-id': 'bin-2' },
    })
    expect(inSpool(bytes.json.id).fields.metadata).toMatchObject({ data_base64: 'AP8=' })
    // UTF-8 without percents, whose bytes JavaScript reads one by one.
    const plain = { ...headers, 'ce-id': 'bin-3', 'ce-authid': Buffer.from('Zoë').toString('latin1') }
    const text = await edge.send('hello', { type: 'text/plain', headers: plain })
    expect(inSpool(text.json.id).fields).toMatchObject({ actor: { id: 'Zoë' }, metadata: { data: 'hello' } })
    const changed = await edge.send('hullo', { type: 'text/plain', headers: { ...headers, 'ce-id': 'bin-3' } })
    expect(changed).toMatchObject({ status: 409, json: { code: 'sender_id_reused' } })
  })
})

describe('Kubernetes', () => {
  const item = {
    ...{
      level: 'Metadata',
      auditID: '8fa8a8b8-6a1d-4d5e-9a51-0d6d7e0d8ab1',
      stage: 'ResponseComplete',
      verb: 'delete',
    },
    requestURI: '/api/v1/namespaces/default/secrets/db',
    user: { username: 'system:serviceaccount:default:deployer', uid: 'u-1', groups: ['system:serviceaccounts'] },
    ...{ sourceIPs: ['10.0.0.7', '10.0.0.1'], userAgent: 'kubectl/v1.31.0' },
    objectRef: { resource: 'secrets', namespace: 'default', name: 'db', apiVersion: 'v1' },
    responseStatus: { metadata: {}, status: 'Failure', reason: 'Forbidden', code: 403 },
    ...{ requestReceivedTimestamp: '2026-11-27T10:00:00.000001Z', stageTimestamp: '2026-11-27T10:00:00.004711Z' },
    annotations: { 'authorization.k8s.io/decision': 'forbid' },
  }
  const list = (...items: object[]) => ({ kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {}, items })
  const path = '/v1/kubernetes?timeout=30s'

  test('an EventList, posted again as the API server does', async () => {
    const received = { ...item, stage: 'RequestReceived', responseStatus: undefined }
    const body = list(received, item, { ...item, auditID: 'other', objectRef: undefined, requestURI: '/healthz' })
    const first = await edge.send(body, { path })
    expect(first.status).toBe(200)
    const events = (first.json.events as { id: string }[]).map(({ id }) => inSpool(id))
    expect(events[1]).toMatchObject({
      fields: {
        action: 'k8s.secrets.delete',
        actor: { type: 'serviceaccount', id: 'system:serviceaccount:default:deployer', uid: 'u-1' },
        targets: [{ type: 'secrets', id: 'default/db', apiVersion: 'v1' }],
        outcome: 'denied',
        occurredAt: '2026-11-27T10:00:00.004711Z',
        context: { ip: '10.0.0.7', forwardedFor: ['10.0.0.7', '10.0.0.1'], userAgent: 'kubectl/v1.31.0' },
        metadata: { kubernetes: { level: 'Metadata', annotations: item.annotations, responseStatus: { code: 403 } } },
      },
      collected: { via: 'kubernetes', id: `${item.auditID}/ResponseComplete` },
    })
    expect(events[0]!.fields).not.toHaveProperty('outcome')
    expect(events[2]!.fields.targets).toEqual([{ type: 'path', id: '/healthz' }])
    const before = recorded()
    expect((await edge.send(body, { path })).json.events).toEqual(first.json.events)
    expect(recorded()).toBe(before)
  })

  test('what is at fault is named by its place, and nothing is recorded', async () => {
    const before = recorded()
    const refused = async (body: object) => (await edge.send(body, { path })).json
    const nobody = list({ ...item, auditID: 'a' }, { ...item, auditID: 'b', user: {} })
    expect(await refused(nobody)).toMatchObject({ code: 'collect_input_invalid', at: '/items/1/user/username' })
    expect(await refused({ ...list(item), apiVersion: 'audit.k8s.io/v1beta1' })).toMatchObject({ at: '/apiVersion' })
    expect(recorded()).toBe(before)
  })
})

describe('OTLP', () => {
  // The example of the draft's data model, as OTLP prints it.
  const attributes = {
    ...{ 'audit.actor.id': 'u8472', 'audit.actor.type': 'user', 'audit.action': 'LOGIN', 'audit.outcome': 'success' },
    ...{
      'audit.target.id': '/api/auth/session',
      'audit.target.type': 'http.endpoint',
      'audit.source.id': '203.0.113.42',
    },
    ...{ 'audit.source.type': 'ipv4', 'audit.schema.version': '1.0.0', 'session.id': 'sess-abc123' },
  }
  const trace = { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174' }
  const keyValues = (of: object) => Object.entries(of).map(([key, stringValue]) => ({ key, value: { stringValue } }))
  const record = (id: string, more: object = {}) => ({
    ...{
      timeUnixNano: '1714041600000000001',
      eventName: 'user.login.success',
      body: { stringValue: 'hi' },
      flags: 1,
      ...trace,
    },
    attributes: keyValues({ 'audit.record.id': id, ...attributes, ...more }),
  })
  const service = { attributes: keyValues({ 'service.name': 'payroll' }) }
  const request = (...logRecords: object[]) => ({ resourceLogs: [{ resource: service, scopeLogs: [{ logRecords }] }] })
  const expected = {
    ...{ action: 'user.login.success', actor: { type: 'user', id: 'u8472' }, outcome: 'success' },
    targets: [{ type: 'http.endpoint', id: '/api/auth/session' }],
    occurredAt: '2024-04-25T10:40:00.000000001Z',
    context: { ip: '203.0.113.42', traceparent: `00-${trace.traceId}-${trace.spanId}-01` },
    metadata: {
      ...{ verb: 'LOGIN', body: 'hi', resource: { 'service.name': 'payroll' } },
      attributes: { 'audit.schema.version': '1.0.0', 'session.id': 'sess-abc123' },
    },
  }

  /** Protocol Buffers by hand: what a sender of another make puts on the wire. */
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)])
  const bytes = (field: number, value: string | Uint8Array | number[]) => {
    const data = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)
    return [...varint((field << 3) | 2), ...varint(data.length), ...data]
  }
  const keyValue = (key: string, value: number[]) => [...bytes(1, key), ...bytes(2, value)]
  const nanoseconds = Buffer.alloc(8)
  nanoseconds.writeBigUInt64LE(1714041600000000001n)
  function encode(id: string, more: number[] = []): Uint8Array {
    const all = Object.entries({ 'audit.record.id': id, ...attributes })
    const log = [
      ...[(1 << 3) | 1, ...nanoseconds, ...bytes(5, bytes(1, 'hi'))],
      ...all.flatMap(([key, value]) => bytes(6, keyValue(key, bytes(1, value)))),
      ...[
        (8 << 3) | 5,
        1,
        0,
        0,
        0,
        ...bytes(9, Buffer.from(trace.traceId, 'hex')),
        ...bytes(10, Buffer.from(trace.spanId, 'hex')),
      ],
      ...[...bytes(12, 'user.login.success'), ...more],
    ]
    const resource = bytes(1, keyValue('service.name', bytes(1, 'payroll')))
    return Uint8Array.from(bytes(1, [...bytes(1, resource), ...bytes(2, bytes(2, log))]))
  }
  const protobuf = { path: '/v1/audit', type: 'application/x-protobuf' }

  test('the same record as JSON and as protobuf is the same event', async () => {
    const asJson = await edge.send(request(record('r-1')), { path: '/v1/audit' })
    expect(asJson.json).toEqual({
      ...{ record_id: 'r-1', status: 'accepted_pending_verify', verify_status: 'deferred' },
      ...{ sink_timestamp: expect.stringMatching(/^\d{19}$/), event_id: expect.any(String) },
    })
    const { fields, collected } = inSpool(asJson.json.event_id)
    expect(fields).toEqual(expected)
    // And what the SDK's own bridge makes of it in the sender's process.
    const own = eventOfLogRecord({
      ...{ attributes, hrTime: [1714041600, 1], spanContext: { ...trace, traceFlags: 1 }, body: 'hi' },
      ...{ eventName: 'user.login.success', instrumentationScope: { name: '' }, droppedAttributesCount: 0 },
      resource: { attributes: { 'service.name': 'payroll' } },
    })
    expect(own).toEqual(expected)
    expect(collected).toMatchObject({ via: 'otlp', id: 'r-1', source: 'payroll' })
    const asProtobuf = await edge.send(encode('r-1'), protobuf)
    expect(asProtobuf).toMatchObject({ status: 200, json: asJson.json })
    // Times as numbers, which JSON would round.
    const text = JSON.stringify(request(record('r-1'))).replace('"1714041600000000001"', '1714041600000000001')
    expect((await edge.send(text, { path: '/v1/audit' })).json).toEqual(asJson.json)
  })

  test('on /v1/audit all or nothing, and 409 for a record that was changed', async () => {
    const before = recorded()
    const { json } = await edge.send(request(record('r-2'), record('r-3')), { path: '/v1/audit' })
    expect(Object.keys(json.record_status_map as object)).toEqual(['r-2', 'r-3'])
    const changed = await edge.send(request(record('r-4'), record('r-2', { 'audit.outcome': 'failure' })), {
      path: '/v1/audit',
    })
    expect(changed).toMatchObject({ status: 409, json: { at: '/resourceLogs/0/scopeLogs/0/logRecords/1' } })
    const plain = { body: { stringValue: 'GET /' } }
    expect(await edge.send(request(record('r-4'), plain), { path: '/v1/audit' })).toMatchObject({ status: 400 })
    // No event can have it: it is not left out without a word.
    const odd = await edge.send(request(record('r-4', { ['__proto__']: 'x' })), { path: '/v1/audit' })
    expect(odd).toMatchObject({ status: 400, json: { at: '/resourceLogs/0/scopeLogs/0/logRecords/0' } })
    expect(recorded()).toBe(before + 2)
  })

  test.each<[string, unknown, string]>([
    ['a body that is a text', 'hi', '/body'],
    ['a value of another type', { stringValue: 7 }, '/body'],
    [
      'a name twice',
      { kvlistValue: { values: keyValues({ a: '1' }).concat(keyValues({ a: '2' })) } },
      '/body/values/1',
    ],
    ['a value without a name', { kvlistValue: { values: [{ value: { stringValue: 'x' } }] } }, '/body/values/0'],
  ])('%s is refused with its place, and not left out', async (_, body, at) => {
    const { status, json } = await edge.send(request(record('r-7', {}), { ...record('r-8'), body }), {
      path: '/v1/audit',
    })
    expect([status, json.code, json.at]).toEqual([
      ...[400, 'collect_input_invalid', `/resourceLogs/0/scopeLogs/0/logRecords/1${at}`],
    ])
  })

  test('on /v1/logs other records are rejected in a successful answer, and counted', async () => {
    const before = recorded()
    const plain = { body: { stringValue: 'GET /' } }
    const { status, json } = await edge.send(request(plain, record('r-5'), plain), { path: '/v1/logs' })
    expect({ status, json }).toMatchObject({ status: 200, json: { partialSuccess: { rejectedLogRecords: '2' } } })
    expect(recorded()).toBe(before + 1)
    const done = await edge.send(encode('r-6'), { ...protobuf, path: '/v1/logs' })
    expect(done).toMatchObject({ status: 200, text: '' })
    expect(done.headers.get('content-type')).toBe('application/x-protobuf')
    expect(await (await fetch(`${edge.url}/metrics`)).text()).toMatch(/other_records_total\{emitter="payroll"\} 2/)
  })

  test('on /v1/logs a mapping makes events of other records; what it does not cover is rejected, with the reason', async () => {
    const example = parseJson(readFileSync(EXAMPLE, 'utf8')) as { mappings: JsonObject; otlp: JsonObject } & JsonObject
    const mapped = await testCollector(NOWHERE, {
      mappings: { 'app-logs': example.mappings['app-logs']! },
      otlp: example.otlp,
      limits: { bodyEvents: 6 },
    })
    const login = { 'log.record.uid': 'l-1', 'user.id': 'ada', 'client.address': '203.0.113.7' }
    const logs: [eventName: string, attributes: Record<string, string>][] = [
      ['user.login', login],
      ['cache.miss', { key: 'k' }],
      ['user.login', { ...login, 'log.record.uid': 'l-2', outcome: 'odd' }],
      ['user.logout', { 'log.record.uid': 'l-3', 'user.id': 'zoë', outcome: 'denied' }],
      ['a'.repeat(300), { 'user.id': 'ada' }],
      ['cache.miss', { key: 'k' }],
    ]
    const asJson = request(
      ...logs.map(([eventName, attributes]) => ({
        ...{ observedTimeUnixNano: '1714041600000000001', severityNumber: 9, severityText: 'INFO', flags: 1, ...trace },
        ...{ eventName, attributes: keyValues(attributes), body: { kvlistValue: { values: keyValues({ a: 'b' }) } } },
      })),
    )
    const log = ([eventName, attributes]: (typeof logs)[number]) => [
      ...[(2 << 3) | 0, 9, ...bytes(3, 'INFO'), ...bytes(5, bytes(6, bytes(1, keyValue('a', bytes(1, 'b')))))],
      ...Object.entries(attributes).flatMap(([key, value]) => bytes(6, keyValue(key, bytes(1, value)))),
      ...[(8 << 3) | 5, 1, 0, 0, 0, ...bytes(9, Buffer.from(trace.traceId, 'hex'))],
      ...[...bytes(10, Buffer.from(trace.spanId, 'hex')), (11 << 3) | 1, ...nanoseconds, ...bytes(12, eventName)],
    ]
    const resource = bytes(1, keyValue('service.name', bytes(1, 'payroll')))
    const asProtobuf = (of: typeof logs) =>
      Uint8Array.from(
        bytes(1, [
          ...bytes(1, resource),
          ...bytes(
            2,
            of.flatMap((each) => bytes(2, log(each))),
          ),
        ]),
      )
    const reason =
      '4 log records were not recorded, since the mapping makes no event of them (2 collect_input_invalid, 1 mapping_empty, ' +
      '1 field_invalid). The first, /resourceLogs/0/scopeLogs/0/logRecords/1: The mapping needs {/attributes/user.id}, and ' +
      'the input has none.'
    try {
      const path = '/v1/logs'
      const first = await mapped.send(asJson, { path })
      expect(first).toMatchObject({
        status: 200,
        json: { partialSuccess: { rejectedLogRecords: '4', errorMessage: reason } },
      })
      expect(mapped.collector.log.status.recorded).toBe(2)
      // The same, and so recorded before.
      const second = await mapped.send(asProtobuf(logs), { path, type: protobuf.type })
      expect(second.status).toBe(200)
      expect(second.text).toContain(reason)
      expect(second.text).toContain('\b\u0004') // Field 1: four
      expect(mapped.collector.log.status.recorded).toBe(2)
      const page = await (await fetch(`${mapped.url}/metrics`)).text()
      for (const [code, count] of Object.entries({ collect_input_invalid: 4, mapping_empty: 2, field_invalid: 2 }))
        expect(page).toContain(`killick_collector_unmapped_records_total{emitter="payroll",code="${code}"} ${count}\n`)
      const many = await mapped.send(asProtobuf([...logs, logs[0]!]), { path, type: protobuf.type })
      expect(many).toMatchObject({ status: 413, json: { code: 'collect_body_too_large', maxEvents: 6 } })

      const files = { json: join(mapped.folder, 'logs.json'), protobuf: join(mapped.folder, 'logs.bin') }
      writeFileSync(files.json, JSON.stringify(asJson))
      writeFileSync(files.protobuf, asProtobuf(logs))
      const trial = (kind: keyof typeof files) =>
        tryMapping(checkCollectorConfig(example), 'app-logs', files[kind], ['--otlp', kind])
      expect(trial('protobuf')).toEqual(trial('json'))
      expect(trial('json').left).toBe(reason)
      expect(JSON.parse(trial('json').events.split('\n}\n')[1]!.concat('}'))).toEqual({
        ...{ id: 'l-3', source: 'payroll', action: 'user.logout', outcome: 'denied' },
        ...{ actor: { type: 'user', id: 'zoë' }, targets: [{ type: 'service', id: 'payroll' }] },
        occurredAt: '2024-04-25T10:40:00.000000001Z',
        context: { traceparent: expected.context.traceparent },
        metadata: {
          log: {
            ...{ eventName: 'user.logout', severity: 'INFO', severityNumber: 9, body: { a: 'b' }, ...trace },
            ...{ observedTime: '2024-04-25T10:40:00.000000001Z', traceparent: expected.context.traceparent },
            ...{ attributes: logs[3]![1], resource: { 'service.name': 'payroll' } },
          },
        },
      })
    } finally {
      await mapped.stop()
    }
  })

  test('what is broken is refused', async () => {
    const before = recorded()
    // A value in a value in a value …
    let deep: number[] = bytes(1, 'x')
    for (let i = 0; i < 300; i++) deep = bytes(5, bytes(1, deep))
    const broken = [
      ...[encode('r-7').subarray(0, 100), encode('r-7', [0xff]), encode('r-7', bytes(5, deep))],
      encode('r-7', bytes(12, [0xff, 0xfe])),
    ]
    for (const body of broken) expect(await edge.send(body, protobuf)).toMatchObject({ status: 400 })
    expect(recorded()).toBe(before)
  })
})
