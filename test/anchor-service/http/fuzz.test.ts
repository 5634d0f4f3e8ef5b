// No input ends in a 500. Every parameter that the OpenAPI document names, and every body, gets hostile values; afterwards
// everything that was accepted can be read.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
beforeAll(async () => {
  service = await testService({ KILLICK_RATE_LIMIT: '0' })
})
afterAll(() => service.stop())

const NASTY = [
  ...[
    '\0',
    'a\0b',
    '',
    ' ',
    '\n',
    '\ud800',
    '\u202e',
    '’',
    "'",
    '"',
    '\\',
    '%',
    '%00',
    '$1',
    '{}',
    '[]',
    'null',
    'NaN',
  ],
  ...['-1', '0', '1e9', '0x1', '1.5', '9007199254740993', '9223372036854775808', '1.2147483648', '1.1', '-0', '١'],
  ...['-000001-01-01T00:00:00Z', '-271821-04-20', '+275760-09-13T00:00:00Z', '0000-01-01', '0001-01-01T00:00:00Z'],
  ...[
    '9999-12-31T23:59:60Z',
    '2026-02-30T00:00:00Z',
    'a/b',
    'a/\0',
    '../..',
    'killick',
    'killick/system',
    'x'.repeat(65),
  ],
]
/** The answer; for a live tail, which has no end, whether it began. */
async function statusOf(path: string, method: string): Promise<{ status: number; text: string }> {
  if (!path.startsWith('/v1/events/live')) return call(service.url, path, undefined, { method })
  const gone = new AbortController()
  const headers = { authorization: `Bearer ${READER}` }
  const response = await fetch(service.url + path, { method, headers, signal: gone.signal })
  const text = response.ok ? '' : await response.text()
  gone.abort()
  return { status: response.status, text }
}

type Parameter = { name: string; in: string; required?: boolean; schema?: { anyOf?: unknown[]; type?: string } }
type Operation = { parameters?: Parameter[] }

test('every parameter of every route accepts or refuses hostile values', async () => {
  const { json } = await call(service.url, '/openapi.json', null)
  const seen: string[] = []
  const failed: string[] = []
  const good: Record<string, string> = {
    seq: '0',
    from: '0',
    to: '1',
    format: 'csv',
    source: 'killick',
    stream: 'system',
  }
  for (const [path, methods] of Object.entries<Record<string, Operation>>(json.paths)) {
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      if (!['get', 'delete'].includes(method)) continue
      for (const target of parameters) {
        for (const value of NASTY) {
          let address = path
          const query = new URLSearchParams()
          for (const parameter of parameters) {
            const is = parameter.name === target.name
            const text = is ? value : (good[parameter.name] ?? 'x')
            if (parameter.in === 'path')
              address = address.replace(`{${parameter.name}}`, encodeURIComponent(text.toWellFormed()))
            else if (is || parameter.required) query.set(parameter.name, text)
          }
          const { status, text } = await statusOf(`${address}?${query}`, method)
          const what = `${method} ${address} ${target.name}=${JSON.stringify(value)}`
          if (status >= 500) failed.push(`${what}: ${status} ${text.slice(0, 100)}`)
        }
        seen.push(`${path} ${target.name}`)
      }
    }
  }
  expect(failed).toEqual([])
  expect(seen.length).toBeGreaterThan(20)
})

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
const RANDOM = process.env.CI ? 500 : 100

const DATES = [
  ...['-000044-03-15T00:00:00.000Z', '-271821-04-20T00:00:00Z', '+275760-09-13T00:00:00Z', '+010000-01-01T00:00:00Z'],
  ...['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59-01:00', '9999-12-31T23:59:60Z', '10000-01-01T00:00:00Z'],
  ...['0000-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1969-12-31T23:59:59Z', '2026-02-30'],
  ...['2027-01-01T00:00:00.123456789Z', '2027-01-01T00:00:00+99:99', '2027', 'infinity', '-infinity', 'epoch', 'now'],
]
const NUMBERS = [-1, -0, 0.5, 2 ** 31, 2 ** 32, 3_155_760_000, 3_155_760_001, 2 ** 53, -(2 ** 63), 1e21, 1e308, '1', '']
const TEXTS = ['\0', 'a\0b', '', '__proto__', 'constructor', '\ud800', '\u202e', 'x'.repeat(65), 'x'.repeat(70_000)]
const OTHERS: unknown[] = [null, true, [], {}, [null], [[]], { toString: 1 }]
const ANY: unknown[] = [...DATES, ...NUMBERS, ...TEXTS, ...OTHERS]

type Body = { path: string; token: string | null; body: string }

test('every body of every route accepts or refuses hostile values', async () => {
  const signer = newSigner()
  expect((await register(service.url, 'fuzzed', [{ jwk: signer.jwk }])).status).toBe(201)
  const { events } = (await call(service.url, '/v1/events?source=killick&action=source.register&limit=1')).json
  const routes = {
    '/v1/sources': {
      token: ADMIN,
      good: {
        source: 'fuzzed',
        keys: [{ jwk: signer.jwk, notBefore: null, notAfter: null }],
        maxAge: null,
        maxAhead: 9,
        heartbeat: 60,
      },
    },
    '/v1/shares': { token: READER, good: { eventId: events[0].id, fields: ['action'], expires: null } },
    '/v1/bundles': { token: READER, good: { actor: 'u-1', to: '2026-01-01T00:00:00Z', again: false } },
    '/console/session': { token: null, good: { token: READER } },
  }
  type Path = keyof typeof routes
  const paths = Object.keys(routes) as Path[]
  const bodyOf = (path: Path, at: string[], value: unknown): Body => ({
    path,
    token: routes[path].token,
    body: JSON.stringify(replaced(routes[path].good, at, value)),
  })
  const places = paths.flatMap((path) => placesOf(routes[path].good).map((at) => ({ path, at })))

  const fixed = places.flatMap(({ path, at }) => ANY.map((value) => bodyOf(path, at, value)))
  const raw = ['', '\0', '{', 'null', '[]', '"x"', '{"a":1,"a":2}', '{"__proto__":{}}', '['.repeat(50_000), '\ufeff{}']
  const nothing = paths.flatMap((path) =>
    [...raw, JSON.stringify(routes[path].good)].map((body) => ({ path, token: routes[path].token, body })),
  )
  const value = fc.oneof(
    ...[fc.constantFrom<unknown>(...ANY), fc.string({ unit: 'binary' }), fc.double(), fc.integer(), fc.jsonValue()],
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  )
  // Two places at once: what is refused for the one must not hide the other.
  const random = fc.tuple(fc.constantFrom(...places), fc.nat(), value, value).map(([{ path, at }, other, one, two]) => {
    const rest = places.filter((place) => place.path === path)
    const first = replaced(routes[path].good, rest[other % rest.length]!.at, one)
    return { path, token: routes[path].token, body: JSON.stringify(replaced(first, at, two)) }
  })
  const bodies = [...fixed, ...nothing, ...fc.sample(random, { seed: SEED, numRuns: RANDOM })]

  const failed: string[] = []
  const statuses = new Set<string>()
  for (const { path, token, body } of bodies) {
    const headers = { 'content-type': 'application/json' }
    const { status, text } = await call(service.url, path, token, { method: 'POST', headers, body })
    if (status >= 500) failed.push(`SEED=${SEED} ${path} ${body.slice(0, 300)}: ${status} ${text.slice(0, 100)}`)
    statuses.add(`${path} ${Math.floor(status / 100)}`)
  }
  expect(failed).toEqual([])
  expect([...statuses].sort()).toEqual(paths.flatMap((path) => [`${path} 2`, `${path} 4`]).sort())

  for (const path of ['/v1/sources?limit=200', '/v1/shares?limit=200', '/v1/events?source=killick&limit=200']) {
    const { status, text } = await call(service.url, path)
    expect([path, status]).toEqual([path, 200])
    // Events of exports tell what was asked for as it was asked; what the service itself keeps has no such year.
    if (!path.startsWith('/v1/events')) expect(/"[+-]\d{6}-/.exec(text)?.[0]).toBeUndefined()
  }
  // What was taken adds up: the source can be brought back, and records.
  const calm = { maxAge: null, maxAhead: null, eventSignatures: 'required', decoys: false }
  const key = { jwk: signer.jwk, notBefore: null, notAfter: null }
  expect((await register(service.url, 'fuzzed', [key], calm)).status).toBe(201)
  const batch = await new Producer('fuzzed', signer).batch([sampleEvent()])
  expect((await post(service.url, batch.body)).status).toBe(201)
}, 120_000)

/** The places in a value where something else may be put: everywhere but at the top. */
function placesOf(value: unknown, at: string[] = []): string[][] {
  const below = value !== null && typeof value === 'object' ? Object.entries(value) : []
  return [...(at.length > 0 ? [at] : []), ...below.flatMap(([name, part]) => placesOf(part, [...at, name]))]
}

function replaced(value: unknown, at: readonly string[], by: unknown): unknown {
  const [name, ...rest] = at
  if (name === undefined) return by
  // What stood there may have been replaced before.
  if (value === null || typeof value !== 'object') return value
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
  copy[name] = replaced(copy[name], rest, by)
  return copy
}
