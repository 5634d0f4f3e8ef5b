// Times and cursors in requests: one rule for each, everywhere. And what is said of a request that does not fit.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newSigner, Producer, post } from '../support/producer.ts'
import { ADMIN, call, ERASER, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
let eventId: string
const signer = newSigner()

beforeAll(async () => {
  service = await testService()
  for (const source of ['billing', 'crm', 'payroll']) await register(service.url, source, [{ jwk: signer.jwk }])
  for (const stream of ['a', 'b', 'c']) {
    const producer = new Producer('billing', signer, stream)
    const event = { action: 'invoice.approve', actor: { type: 'user', id: 'u' }, targets: [] }
    const batch = await producer.batch([event, event])
    expect((await post(service.url, batch.body)).status).toBe(201)
  }
  eventId = (await call(service.url, '/v1/events?source=billing&limit=1')).json.events[0].id
  for (let i = 0; i < 3; i++) expect((await share('2999-01-01T00:00:00Z')).status).toBe(201)
})
afterAll(() => service.stop())

const share = (expires: unknown) =>
  call(service.url, '/v1/shares', READER, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ eventId, fields: ['action'], expires }),
  })
const search = (name: string, time: string) => call(service.url, `/v1/events?${new URLSearchParams({ [name]: time })}`)

describe('times', () => {
  const BAD = [
    ...['soon', '', '2026', '2026-11-27', '2026-11-27T09:30Z', '2026-11-27T09:30:00', '2026-11-27 09:30:00Z'],
    ...['2026-02-30T00:00:00Z', '2026-12-31T23:59:60Z', '2026-11-27T09:30:00Z[Europe/Berlin]', 'Fri, 27 Nov 2026'],
    ...['0026-11-27T09:30:00Z', '+012026-11-27T09:30:00Z', '9999-12-31T23:59:59-05:00', '2026-11-27T09:30:00 01:00'],
  ]
  const refused = { status: 400, json: { code: 'request_invalid' } }

  test.each(BAD)('%j is refused everywhere with one code', async (time) => {
    for (const name of ['from', 'to']) {
      const answer = await search(name, time)
      expect(answer, name).toMatchObject(refused)
      expect(answer.json.detail).toContain(name)
    }
    const form = new URLSearchParams({ format: 'csv', from: time })
    expect(await call(service.url, `/v1/events/export?${form}`), 'export').toMatchObject(refused)
    expect(await call(service.url, `/v1/events/live?${new URLSearchParams({ to: time })}`), 'live').toMatchObject(
      refused,
    )
    expect(await share(time), 'a link').toMatchObject(refused)
    for (const name of ['notBefore', 'notAfter']) {
      const answer = await register(service.url, 'billing', [{ jwk: signer.jwk, [name]: time }])
      expect(answer, name).toMatchObject(refused)
      expect(answer.json.detail).toContain(name)
    }
  })

  test.each(['2999-01-01T00:00:00Z', '2999-01-01t01:30:00.000+01:30', '2998-12-31T23:00:00.0009-01:00'])(
    '%s is one time wherever it is said',
    async (time) => {
      expect((await search('from', time)).json.events).toEqual([])
      expect((await search('to', time)).json.events.length).toBeGreaterThan(0)
      expect((await share(time)).json.expires).toBe('2999-01-01T00:00:00.000Z')
      const { status, json } = await register(service.url, 'crm', [{ jwk: signer.jwk, notAfter: time }])
      expect(status).toBe(201)
      expect(json.keys[0].notAfter).toBe('2999-01-01T00:00:00.000Z')
    },
  )

  test('are date-times in the OpenAPI document', async () => {
    const { paths } = (await call(service.url, '/openapi.json', null)).json
    for (const path of ['/v1/events', '/v1/events/export', '/v1/events/live']) {
      const times = paths[path].get.parameters.filter(({ name }: { name: string }) => name === 'from' || name === 'to')
      expect(times.map(({ schema }: { schema: { format: string } }) => schema.format)).toEqual([
        'date-time',
        'date-time',
      ])
    }
    const body = (path: string) => JSON.stringify(paths[path].post.requestBody)
    expect(body('/v1/shares')).toMatch(/"expires":.*"format":"date-time"/)
    expect(body('/v1/sources')).toMatch(/"notAfter":.*"format":"date-time"/)
  })
})

describe('cursors', () => {
  const LISTS = [
    ['/v1/events', 'events'],
    ['/v1/shares', 'shares'],
    ['/v1/sources', 'sources'],
    ['/v1/streams', 'streams'],
  ] as const

  test.each(LISTS)('lead through %s page by page to its end', async (path, member) => {
    const all = (await call(service.url, `${path}?limit=500`)).json
    expect(all.next).toBeNull()
    const seen: unknown[] = []
    let next = ''
    do {
      const page = await call(service.url, `${path}?limit=1${next && `&cursor=${encodeURIComponent(next)}`}`)
      expect(page.status).toBe(200)
      seen.push(...page.json[member])
      next = page.json.next ?? ''
    } while (next !== '')
    expect(seen.length).toBeGreaterThan(2)
    expect(seen).toEqual(all[member])
  })

  // Cursors of other lists, and numbers that are spelt in another way than the service spells them.
  const NONE = ['', '.', '-', '/', '-1', '01', '1e3', '0x1', ' 1', '1 ', '1.', '.1', '1..2', '1.2.3', '01.2', '1.02']
  const MORE = [
    ...['1.-2', '1.2147483648', '9007199254740993', 'NaN', 'A b', 'a/', '/b', 'a/b/c', 'a b/c', '\u0661', "'"],
  ]
  const GOOD = { row: '1', event: '1.0', stream: 'billing/a', source: 'billing' }
  test.each([
    ['/v1/events', ['event']],
    ['/v1/shares', ['row']],
    ['/v1/equivocations', ['row']],
    ['/v1/anchors', ['row']],
    // Digits and dots are a name too.
    ['/v1/sources', ['source', 'row', 'event']],
    ['/v1/streams', ['stream']],
  ])('of %s are accepted there, and all others are refused with one code', async (path, own) => {
    const ask = (cursor: string) => call(service.url, `${path}?${new URLSearchParams({ cursor })}`)
    for (const [kind, cursor] of Object.entries(GOOD))
      expect((await ask(cursor)).status, `${path} ${cursor}`).toBe(own.includes(kind) ? 200 : 400)
    const isName = (cursor: string) => /^[a-z0-9][a-z0-9._-]*$/.test(cursor)
    for (const cursor of [...NONE, ...MORE]) {
      if (path === '/v1/sources' && isName(cursor)) continue
      expect(await ask(cursor), `${path} ${cursor}`).toMatchObject({
        status: 400,
        json: { code: 'request_invalid', detail: 'The cursor is not one that this service gave.' },
      })
    }
  })
})

describe('what does not fit', () => {
  const CASES: [method: string, path: string, body: unknown, detail: string][] = [
    ['GET', '/v1/events?outcome=ok', null, '`outcome` of the query must be one of `success`, `failure`, `denied`.'],
    ['GET', '/v1/events?limit=0', null, '`limit` of the query must be at least 1.'],
    ['GET', '/v1/events?limit=x', null, '`limit` of the query must be an integer.'],
    ['GET', '/v1/events?sourc=x', null, 'The query takes no `sourc`.'],
    ['GET', '/v1/events?a=1&b=1&c=1&d=1&e=1', null, 'The query takes no `a`, no `b`, no `c`, and 2 more.'],
    ['GET', `/v1/events?${'x'.repeat(99)}=1`, null, `The query takes no \`${'x'.repeat(64)}…\`.`],
    ['GET', '/v1/batches', null, 'The query lacks `from`.'],
    ['GET', '/v1/proposals/abc', null, '`id` of the path must be a UUID in lower case.'],
    ['POST', '/v1/shares', 'text', 'The body must be an object.'],
    ['POST', '/v1/holds', {}, 'The body lacks `case` and `reason` and `covers`.'],
    ['POST', '/v1/sources', { source: 'x', keys: [{}] }, '`keys/0` of the body lacks `jwk`.'],
    [
      ...['POST', '/v1/sources', { source: 'x', keys: [], heartbeat: 0 }],
      '`heartbeat` of the body must be at least 1 or null.',
    ],
    [
      ...['POST', '/v1/erasures', { fields: [''], reason: '' }],
      '`fields` of the body must be `all` or one whose `fields/0` is a text that is not empty; `reason` of the body must be a text that is not empty.',
    ],
    ['POST', '/v1/erasures', { fields: 'some', reason: 'x' }, '`fields` of the body must be `all` or a list.'],
  ] as [string, string, unknown, string][]

  test.each(CASES)('%s %s %j is told in words', async (method, path, body, detail) => {
    const token = path.startsWith('/v1/erasures') ? ERASER : method === 'POST' ? ADMIN : READER
    const sent = body === null ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const { status, json } = await call(service.url, path, token, { method, ...sent })
    expect([status, json.code, json.detail]).toEqual([400, 'request_invalid', detail])
  })
})
