import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { BATCH_MEDIA_TYPE, MAX_BATCH_BYTES } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const signer = newSigner()

beforeAll(async () => {
  service = await testService({ KILLICK_REQUEST_TIMEOUT_MS: '300', KILLICK_RATE_LIMIT: '0' })
})
afterAll(() => service.stop())

const GUARDED = ['/v1/events', '/v1/sources', '/v1/anchors', '/v1/streams', '/v1/streams/a/b', '/v1/proofs/x']

describe('tokens', () => {
  test.each(GUARDED)('are needed for %s', async (path) => {
    for (const token of [null, 'wrong', `${READER}x`, READER.slice(1)]) {
      const { status, json, headers } = await call(service.url, path, token)
      expect({ status, code: json.code }).toEqual({ status: 401, code: 'unauthorized' })
      expect(headers.get('www-authenticate')).toBe('Bearer')
    }
    expect((await call(service.url, path, READER)).status).not.toBe(401)
    expect((await call(service.url, path, ADMIN)).status).not.toBe(401)
  })

  test('of readers cannot register a source', async () => {
    const body = JSON.stringify({ source: 'x', keys: [{ jwk: signer.jwk }] })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
    expect((await call(service.url, '/v1/sources', READER, init)).json).toMatchObject({
      status: 403,
      code: 'forbidden',
    })
    expect((await call(service.url, '/v1/sources', null, init)).json).toMatchObject({ status: 401 })
  })
})

describe('sources', () => {
  test('are registered by an event of the system stream, which can be proven', async () => {
    const { status, json } = await register(service.url, 'audited', [
      { jwk: signer.jwk, notAfter: '2999-01-01T00:00:00Z' },
    ])
    expect(status).toBe(201)
    expect(json).toMatchObject({
      source: 'audited',
      eventSignatures: 'required',
      keys: [{ kid: signer.kid, notBefore: null }],
    })
    const proof = await call(service.url, `/v1/proofs/${json.event.leafHash}`)
    expect(proof.status).toBe(200)
    const found = await call(service.url, '/v1/events?source=killick&target=audited')
    expect(found.json.events[0].fields).toMatchObject({
      action: 'source.register',
      metadata: { keys: [{ kid: signer.kid }] },
    })
  })

  test('keep keys that a change does not name, and take the newest validity of those it names', async () => {
    const second = newSigner('P-256')
    await register(service.url, 'kept', [{ jwk: signer.jwk }], { eventSignatures: 'optional' })
    await register(service.url, 'kept', [{ jwk: second.jwk }])
    await register(service.url, 'kept', [{ jwk: signer.jwk, notAfter: '2021-01-01T00:00:00.000Z' }])
    const { json } = await call(service.url, '/v1/sources')
    const kept = json.sources.find((source: { source: string }) => source.source === 'kept')
    expect(kept.eventSignatures).toBe('optional')
    expect(kept.keys).toHaveLength(2)
    expect(kept.keys).toContainEqual({
      kid: signer.kid,
      jwk: signer.jwk,
      notBefore: null,
      notAfter: '2021-01-01T00:00:00.000Z',
      logIndex: expect.any(Number),
    })
    expect(kept.keys).toContainEqual(expect.objectContaining({ kid: second.kid, notAfter: null }))
  })

  const bad: [string, string, string][] = [
    [
      'a setting of the ledger itself',
      'request_invalid',
      JSON.stringify({ source: 'killick', keys: [], decoys: true }),
    ],
    [
      'a bound in fractions',
      'request_invalid',
      JSON.stringify({ source: 'x', keys: [{ jwk: signer.jwk }], maxAge: 1.5 }),
    ],
    [
      'a key twice',
      'request_invalid',
      JSON.stringify({ source: 'x', keys: [{ jwk: signer.jwk }, { jwk: signer.jwk }] }),
    ],
    ['a bad name', 'request_invalid', JSON.stringify({ source: 'A b', keys: [{ jwk: signer.jwk }] })],
    ['no key', 'request_invalid', JSON.stringify({ source: 'x', keys: [] })],
    [
      'a private key',
      'key_invalid',
      JSON.stringify({ source: 'x', keys: [{ jwk: { ...signer.jwk, d: 'A'.repeat(43) } }] }),
    ],
    ['a symmetric key', 'key_invalid', JSON.stringify({ source: 'x', keys: [{ jwk: { kty: 'oct', k: 'AAAA' } }] })],
    ['unknown members', 'request_invalid', JSON.stringify({ source: 'x', keys: [{ jwk: signer.jwk }], admin: true })],
    ['duplicate members', 'json_duplicate_member', `{"source":"x","source":"y","keys":[]}`],
    ['a bad time', 'request_invalid', JSON.stringify({ source: 'x', keys: [{ jwk: signer.jwk, notAfter: 'soon' }] })],
    ['no JSON', 'json_invalid', '{'],
    ['nothing', 'json_invalid', ''],
  ]
  test.each(bad)('are refused with %s', async (_, code, body) => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
    const { json } = await call(service.url, '/v1/sources', ADMIN, init)
    expect(json.code).toBe(code)
  })

  test('a body larger than any registration is refused', async () => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: ' '.repeat(300_000) }
    expect((await call(service.url, '/v1/sources', ADMIN, init)).json).toMatchObject({
      status: 413,
      code: 'body_too_large',
    })
  })
})

describe('operation', () => {
  test('health, readiness, the log and its documents can be read', async () => {
    expect((await call(service.url, '/healthz', null)).json).toEqual({ status: 'ok' })
    expect((await call(service.url, '/readyz')).json).toMatchObject({
      status: 'ready',
      database: true,
      anchoring: null,
    })
    expect((await call(service.url, '/v1/log', null)).json).toEqual({
      origin: service.origin,
      vkey: service.vkey,
      targets: [],
      successions: [],
      pruning: null,
    })
    expect((await call(service.url, '/v1/anchors')).json).toEqual({ anchors: [], next: null })
  })

  test('metrics count accepted and refused batches', async () => {
    await register(service.url, 'metered', [{ jwk: signer.jwk }])
    const value = async (line: string) => {
      const { text } = await call(service.url, '/metrics')
      return Number(
        text
          .split('\n')
          .find((l) => l.startsWith(`${line} `))
          ?.split(' ')[1] ?? 0,
      )
    }
    const events = await value('killick_events_accepted_total')
    const gaps = await value('killick_refusals_total{code="stream_gap"}')
    const producer = new Producer('metered', signer)
    const batch = await producer.batch([sampleEvent(), sampleEvent()])
    await post(service.url, batch.body)
    batch.advance()
    await post(service.url, (await producer.batch([sampleEvent()], { seq: 9 })).body)
    expect(await value('killick_events_accepted_total')).toBe(events + 2)
    expect(await value('killick_refusals_total{code="stream_gap"}')).toBe(gaps + 1)
    const { json } = await call(service.url, '/readyz')
    expect(await value('killick_log_size')).toBe(json.logSize)
    expect(await value('killick_anchored_size')).toBe(0)
  })

  test('the OpenAPI document has every route', async () => {
    const { json } = await call(service.url, '/openapi.json', null)
    expect(json.openapi).toMatch(/^3\.1/)
    const paths = [
      '/v1/batches',
      '/v1/proofs/{eventId}',
      '/v1/streams/{source}/{stream}',
      '/v1/events',
      '/v1/sources',
      '/v1/anchors',
      '/v1/streams',
      '/v1/equivocations',
      '/v1/refusals',
    ]
    expect(Object.keys(json.paths)).toEqual(
      expect.arrayContaining([...paths, '/v1/log', '/checkpoint', '/healthz', '/readyz', '/metrics']),
    )
    expect(json.paths['/v1/batches'].post.requestBody.content).toHaveProperty([BATCH_MEDIA_TYPE])
    expect(json.paths['/v1/holds'].get.security).toEqual([{ reader: [] }, { eraser: [] }])
    expect(json.servers).toEqual([{ url: '/' }])
    type Operation = { operationId?: string; summary?: string; tags?: string[] }
    const operations = Object.values<Record<string, Operation>>(json.paths).flatMap((methods) => Object.values(methods))
    const ids = operations.map(({ operationId }) => operationId)
    expect(ids).not.toContain(undefined)
    expect(new Set(ids).size).toBe(ids.length)
    const tags = json.tags.map(({ name }: { name: string }) => name)
    for (const { tags: own, summary } of operations) {
      expect(tags).toEqual(expect.arrayContaining(own ?? ['none']))
      expect(summary).toMatch(/\w/)
    }
    for (const path of ['/v1/sources', '/v1/shares']) {
      const { example } = json.paths[path].post.requestBody.content['application/json']
      expect(Object.keys(example).length).toBeGreaterThan(1)
    }
  })

  test('what it says that a route answers with is what it answers with', async () => {
    const { json } = await call(service.url, '/openapi.json', null)
    const { events } = (await call(service.url, '/v1/events?limit=1')).json
    const known: Record<string, string> = {
      ...{ eventId: events[0].id, source: events[0].source, stream: events[0].stream, path: '0/000.p/1' },
    }
    const queries: Record<string, string> = {
      ...{ '/v1/consistency': '?from=1&to=1', '/v1/events/export': '?format=csv', '/v1/batches': '?from=0' },
    }
    type Get = {
      get?: { responses: Record<string, { content?: object }>; parameters?: { name: string; in: string }[] }
    }
    const seen = new Set<string>()
    for (const [path, { get }] of Object.entries<Get>(json.paths)) {
      if (get === undefined) continue
      // As generated clients do it: a parameter has a name that programs can have, and slashes of a value are encoded.
      const address = path.replaceAll(/\{([a-z]\w*)\}/gi, (_, name) => encodeURIComponent(known[name] ?? randomUUID()))
      expect(address, path).not.toContain('{')
      const query = queries[path] ?? ''
      const stop = new AbortController()
      const answer = await fetch(`${service.url}${address}${query}`, {
        headers: { authorization: `Bearer ${READER}`, accept: 'application/json' },
        signal: stop.signal,
      })
      const [type] = answer.headers.get('content-type')!.split(';')
      stop.abort()
      const { [String(answer.status)]: own, default: refusal } = get.responses
      expect(Object.keys((own ?? refusal)?.content ?? {}), `${address}: ${answer.status}`).toContain(type)
      seen.add(type!)
    }
    for (const type of ['text/plain', 'text/csv', 'text/event-stream', 'application/octet-stream', BATCH_MEDIA_TYPE])
      expect(seen).toContain(type)
    expect(seen).toContain('application/problem+json')
  })
})

describe('anything else is a problem document', () => {
  test.each([
    ['GET', '/nowhere'],
    ['DELETE', '/v1/events'],
    ['GET', '/%zz'],
    ['GET', `/v1/proofs/${'x'.repeat(500)}`],
  ])('%s %s', async (method, path) => {
    const { status, headers, json } = await call(service.url, path, READER, { method })
    expect(status).toBeGreaterThanOrEqual(400)
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(json.code).toMatch(/^(not_found|request_invalid)$/)
  })

  test('an address that another method has is not said to have nothing', async () => {
    const { json } = await call(service.url, '/v1/events', READER, { method: 'DELETE' })
    expect(json).toMatchObject({ code: 'not_found', detail: 'There is nothing at this address for DELETE.' })
  })

  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      let reply = ''
      const socket = connect(Number(new URL(service.url).port), '127.0.0.1', () => socket.write(text))
      socket.on('data', (part) => {
        reply += part
      })
      socket.on('close', () => resolve(reply)).on('error', reject)
    })
  const POST = `POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Type: ${BATCH_MEDIA_TYPE}\r\n`

  test.each([
    ['a body that never ends', `${POST}Content-Length: 1000\r\n\r\nabc`, 'request_timeout'],
    ['headers without end', `${POST}X: ${'x'.repeat(40_000)}\r\n\r\n`, 'headers_too_large'],
    ['no HTTP', 'hello\r\n\r\n', 'request_invalid'],
  ])('%s', { timeout: 60_000 }, async (_, text, code) => {
    const reply = await raw(text)
    expect(reply).toContain('application/problem+json')
    expect(JSON.parse(reply.split('\r\n\r\n')[1]!).code).toBe(code)
  })

  test('a body that is said to be too large, before any of it comes', async () => {
    expect(await raw(`${POST}Content-Length: ${MAX_BATCH_BYTES + 1}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /)
  })
})

test('too many requests are refused', async () => {
  const slow = await testService({ KILLICK_RATE_LIMIT: '3' })
  const codes = []
  for (let i = 0; i < 5; i++) codes.push((await call(slow.url, '/v1/log', null)).json.code)
  expect(codes).toEqual([undefined, undefined, undefined, 'rate_limited', 'rate_limited'])
  await slow.stop()
})

test('a connection whose request is answered while the service closes does not keep it', async () => {
  const closing = await testService()
  const socket = connect(Number(new URL(closing.url).port), '127.0.0.1')
  const json = 'Content-Type: application/json\r\nContent-Length: 2\r\n'
  socket.write(`POST /v1/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN}\r\n${json}\r\n{`)
  // Answered behind it, so what came before has arrived.
  await call(closing.url, '/v1/log')
  const began = performance.now()
  const stopped = closing.stop()
  await sleep(20)
  socket.write('}')
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 400 /)
  await stopped
  expect(performance.now() - began).toBeLessThan(5_000)
})

test('hundreds of recorders may share an address: requests that add a batch are not counted, all others are', async () => {
  const narrow = await testService({ KILLICK_RATE_LIMIT: '3' })
  await register(narrow.url, 'billing', [{ jwk: signer.jwk }])
  const bodies = await Promise.all(
    Array.from({ length: 400 }, async () => (await new Producer('billing', signer).batch([sampleEvent()])).body),
  )
  const agent = new Agent({ keepAlive: true })
  const hand = async (body: string) => {
    const headers = { 'content-type': BATCH_MEDIA_TYPE, 'content-length': body.length }
    const asked = request(`${narrow.url}/v1/batches`, { method: 'POST', agent, headers })
    asked.end(body)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    response.resume()
    return response
  }
  const answers = await Promise.all(bodies.map(hand))
  expect(answers.filter(({ statusCode }) => statusCode !== 201)).toEqual([])
  const codes = []
  for (const body of [bodies[0]!, bodies[0]!, 'nonsense\n', bodies[1]!]) codes.push((await hand(body)).statusCode)
  expect(codes).toEqual([200, 200, 400, 429])
  const refused = await hand((await new Producer('billing', signer).batch([sampleEvent()])).body)
  expect(refused.statusCode).toBe(429)
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  expect((await call(narrow.url, '/v1/log', null)).status).toBe(200)
  agent.destroy()
  await narrow.stop()
})

test('behind a trusted proxy each caller has its own limit; without one the header is ignored', async () => {
  const askAs = async (url: string, address: string) =>
    (await call(url, '/v1/log', null, { headers: { 'x-forwarded-for': address } })).status
  const callers = ['192.0.2.1', '192.0.2.2', '192.0.2.3']
  const behind = await testService({ KILLICK_RATE_LIMIT: '1', KILLICK_TRUST_PROXY: '127.0.0.0/8' })
  for (const caller of callers) expect(await askAs(behind.url, caller)).toBe(200)
  expect(await askAs(behind.url, callers[0]!)).toBe(429)
  await behind.stop()
  const open = await testService({ KILLICK_RATE_LIMIT: '1' })
  expect(await askAs(open.url, callers[0]!)).toBe(200)
  expect(await askAs(open.url, callers[1]!)).toBe(429)
  await open.stop()
})
