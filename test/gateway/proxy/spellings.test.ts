import { checkHttpConfig } from '@killick/gateway'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { begin, configure, find, raw, serve } from './support.ts'

let upstream: Awaited<ReturnType<typeof serve>>
beforeAll(async () => {
  upstream = await serve()
})
afterAll(() => upstream.close())

/** All of them may be the route `POST /admin/users/:id` to one server or another. */
const SPELLINGS = [
  ...['/admin/users/7', '/ADMIN/Users/7', '/admin/users/7/', '/%61dmin/users/7', '/admin/users/%37'],
  ...['//admin/users/7', '/admin//users/7', '/./admin/users/7', '/x/../admin/users/7', '/x/%2e%2e/admin/users/7'],
  ...[
    '/x/..%2fadmin/users/7',
    '/admin%2Fusers%2F7',
    '/admin%252fusers%252f7',
    '/admin;x=1/users/7',
    '/admin/users/7;v=2',
  ],
  ...['/x/..;/admin/users/7', '/admin\\users\\7', '/admin%5cusers%5c7', '/admin/users%20/7', '/admin/users/7#a'],
  ...[
    '/admin/users/7%3fa=b',
    '/admin/users/7%23a',
    '/%u0061dmin/users/7',
    '/%EF%BD%81dmin/users/7',
    '/admin%00/users/7',
  ],
  ...['/x/%252e%252e/admin/users/7', '/admin/users/7%0a', '/admin/./users/7', '/../admin/users/7'],
  // As Apache with AllowEncodedSlashes reads it, and Envoy with merge_slashes.
  ...['/..%2fadmin/users/..%2f7/../7', '/admin///../users/7'],
  // As new URL(req.url, base) reads them.
  ...['//x/admin/users/7', '/\\x:1/admin/users/7', `///x/admin/users/7;${'a'.repeat(1_100)}`],
]
const ROUTES = [
  { route: 'POST /admin/users/:id', action: 'admin.user.update', target: { type: 'user', id: ':id' } },
  { route: '* /*', record: false },
]
const ask = (url: string, path: string, headers = '') =>
  raw(url, `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n${headers}\r\n`)

test('no spelling of a recorded path slips past its route, and each goes on as it came', async () => {
  const it = await begin(upstream.url, { routes: ROUTES })
  const before = upstream.seen.length
  const passed: string[] = []
  for (const path of SPELLINGS) if ((await ask(it.url, path)).startsWith('HTTP/1.1 200')) passed.push(path)
  expect(upstream.seen.slice(before)).toEqual(passed.map((path) => `POST ${path}`))
  const intents = find(await it.events(), 'admin.user.update')
  expect(intents.map(({ metadata }) => metadata.path)).toEqual(passed)
  const plain = intents.filter(({ http }) => http.odd === undefined)
  expect(plain.map(({ metadata }) => metadata.path)).toEqual(SPELLINGS.slice(0, 5))
  expect(intents.map(({ targets }) => targets[0].id).filter((id) => !id.startsWith('7'))).toEqual([])
  // What node's parser takes is all of it.
  expect(passed).toEqual(SPELLINGS)
})

test('a path is tried as servers do that know case, slashes at the end, or a semicolon as the beginning of the query', async () => {
  const it = await begin(upstream.url, {
    routes: [
      { route: 'POST /admin/users/:id', action: 'admin.user.update', target: { type: 'user', id: ':id' } },
      { route: 'POST /a/files/*', action: 'file.write' },
      { route: 'POST /health', record: false },
      { route: 'POST /:tenant', action: 'tenant.write' },
    ],
    unmatched: 'pass',
    limits: { headerBytes: 131_072 },
  })
  const recorded = ['/admin/users/', '/a/files/', '/admin/users/7;/x', '/admin/users/7;a=b/../../c']
  for (const path of [...recorded, '/HEALTH', '/health', '/admin/users'])
    expect(await ask(it.url, path)).toContain('HTTP/1.1 200')
  // Larger than the server here takes, and not all do.
  const long = `/admin/users/${'0'.repeat(16_385)}7`
  expect(await ask(it.url, long)).toContain('HTTP/1.1 431')
  const start = performance.now()
  await ask(it.url, `/${'%20'.repeat(30_000)}x`)
  expect(performance.now() - start).toBeLessThan(2_000)
  const intents = (await it.events()).filter(({ http }) => http.kind === 'intent')
  expect(intents.map(({ action, metadata }) => `${action} ${metadata.path}`.slice(0, 45))).toEqual([
    'admin.user.update /admin/users/',
    'file.write /a/files/',
    'admin.user.update /admin/users/7;/x',
    'admin.user.update /admin/users/7;a=b/../../c',
    'tenant.write /HEALTH',
    'admin.user.update /admin/users/00000000000000',
    `tenant.write /${'%20'.repeat(40)}`.slice(0, 45),
  ])
})

test('an odd path is recorded even where its plain reading is not, and refused where that is set', async () => {
  const it = await begin(upstream.url, { routes: [{ route: 'GET /files/*', record: false }] })
  for (const path of ['/files/a', '/files/a%2f..%2fb']) await fetch(`${it.url}${path}`)
  const [intent, ...more] = find(await it.events(), 'http.request')
  expect(more).toEqual([])
  expect(intent).toMatchObject({
    metadata: { path: '/files/a%2f..%2fb' },
    http: { odd: ['encoded-slash', 'dot-segments'] },
  })
  const strict = await begin(upstream.url, { routes: ROUTES, oddPaths: 'refuse' })
  const before = upstream.seen.length
  expect(await ask(strict.url, '/admin/%2e/users/7')).toContain('"http_path_odd"')
  expect(upstream.seen.length).toBe(before)
  const [denied] = await strict.events()
  expect(denied).toMatchObject({ outcome: 'denied', http: { kind: 'denial', code: 'http_path_odd' } })
})

test('a method that a header puts in the place of another finds its route', async () => {
  const routes = [
    { route: 'DELETE /a/:id', action: 'a.delete' },
    { route: 'POST /a/:id', record: false },
  ]
  const it = await begin(upstream.url, { routes })
  await ask(it.url, '/a/1', 'X-HTTP-Method-Override: delete\r\n')
  // Which of several a server goes by nobody knows.
  await ask(it.url, '/a/1', 'X-HTTP-Method-Override: PUT\r\nX-HTTP-Method: DELETE\r\n')
  await ask(it.url, '/a/1', 'X-HTTP-Method-Override: PUT\r\nX-HTTP-Method-Override: DELETE\r\n')
  await ask(it.url, '/a/1', 'X_Http_Method_Override: DELETE\r\n')
  await ask(it.url, '/a/1', 'X.Http!Method~Override: DELETE\r\n')
  const before = upstream.seen.length
  await ask(it.url, '/a/1', `X-HTTP-Method: ${Array.from({ length: 9 }, (_, i) => `M${i}`).join()}\r\n`)
  expect(upstream.seen.length).toBe(before)
  await ask(it.url, '/a/2')
  // What is left out is POST; of PATCH there is no route, and such requests are recorded.
  await ask(it.url, '/a/3', 'X-HTTP-Method-Override: PATCH\r\n')
  const events = await it.events()
  expect(events.filter(({ http }) => http.isOpen).map(({ action }) => action)).toEqual([
    ...Array(5).fill('a.delete'),
    'http.request',
  ])
  expect(events).toHaveLength(12)
  const [intent] = events
  expect(intent.http).toMatchObject({ method: 'POST', methodOverride: 'DELETE', route: 'DELETE /a/:id' })
})

test('every fault of a configuration is named at once', async () => {
  const { config, folder } = await configure('http://127.0.0.1:1/path', {
    routes: [
      { route: 'users' },
      { route: 'GET /a/:id', target: { type: 'a', id: ':other' } },
      { route: 'GET /a/:x' },
      { route: 'GET /b', more: 1 },
    ],
    who: { required: true, certificates: true },
    trustedProxies: ['10.0.0.0/33', 'proxy'],
    listen: {},
  })
  const { unmatched: _, ...rest } = config
  const faults = (() => {
    try {
      checkHttpConfig(rest, folder)
      return []
    } catch (error) {
      return (error as { faults: string[] }).faults
    }
  })()
  expect(faults).toEqual([
    '/upstream must be an origin such as http://127.0.0.1:3000, or unix: and the path of a socket',
    '/routes/1/target/id names :other, which the route does not have',
    '/routes/3/more is not a setting',
    '/unmatched is missing: record or pass',
    '/listen must have a port or a socket',
    '/who/certificates needs /listen/tls with clientCa',
    '/trustedProxies: 10.0.0.0/33 must be an address, a range such as 10.0.0.0/8, or unix',
    '/trustedProxies: proxy must be an address, a range such as 10.0.0.0/8, or unix',
    '/routes/0/route must be a method and a template, such as POST /users/:id',
    expect.stringMatching(/^\/routes\/2\/route cannot be: /),
  ])
})
