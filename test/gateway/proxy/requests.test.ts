import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { begin, echo, find, raw, serve, sha256, type Told } from './support.ts'

let upstream: Awaited<ReturnType<typeof serve>>
beforeAll(async () => {
  upstream = await serve()
})
afterAll(() => upstream.close())

const USER = {
  ...{ route: 'POST /users/:id', action: 'user.update', target: { type: 'user', id: ':id' }, bodies: 'show' },
}

test('the intent before the server sees it, the outcome after, with route, target, sizes, bodies', async () => {
  const it = await begin(upstream.url, { routes: [USER], context: { tenant: 'acme' } })
  const inner = JSON.stringify({ queue: JSON.stringify({ password: 'hunter4' }) })
  const body = JSON.stringify({ name: 'Ada', password: 'hunter2', message: '{"a":1,"password":"hunter3"}', inner })
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  const headers = { 'content-type': 'application/json', traceparent }
  const answer = await fetch(`${it.url}/users/42?token=abc&page=2`, { method: 'POST', body, headers })
  const echoed = (await answer.json()) as Told
  expect(echoed).toMatchObject({ method: 'POST', url: '/users/42?token=abc&page=2', sha256: sha256(body) })
  const [intent, outcome, ...more] = await it.events()
  expect(more).toEqual([])
  expect(intent).toMatchObject({
    ...{ action: 'user.update', actor: { type: 'anonymous', id: 'anonymous' } },
    context: {
      ...{ tenant: 'acme', traceparent, protocol: 'HTTP/1.1', host: new URL(it.url).host },
      ...{ client: { address: '127.0.0.1' }, vouched: { by: 'nothing' } },
    },
    metadata: { path: '/users/42', queryNames: ['token', 'page'] },
    http: { kind: 'intent', method: 'POST', route: 'POST /users/:id', mode: 'strict' },
  })
  expect(intent.targets).toEqual([
    { type: 'user', id: '42' },
    { type: 'http-route', id: 'POST /users/:id' },
    { type: 'session', id: intent.context.session },
  ])
  expect(intent.outcome).toBeUndefined()
  expect(outcome).toMatchObject({
    ...{ action: 'user.update.result', outcome: 'success', context: { session: intent.context.session } },
    http: { kind: 'outcome', state: 'answered', status: 200, intent: intent.id, request: { bytes: body.length } },
    requestBody: {
      ...{ name: 'Ada', password: '[redacted:secret]', message: '{"a":1,"password":"[redacted:secret]"}' },
      inner: inner.replace('hunter4', '[redacted:secret]'),
    },
    responseBody: { method: 'POST' },
  })
  // A rule has removed something of it: its hash would confirm a guess.
  expect(outcome.http.request.sha256).toBeUndefined()
})

test('secrets are removed from values of queries, also where they are JSON or members of members', async () => {
  const it = await begin(upstream.url, { query: 'show' })
  await fetch(`${it.url}/find?filter=${encodeURIComponent('{"user":"ada","password":"hunter2"}')}&page=2&u[pin]=99`)
  const [intent] = await it.events()
  expect(intent.metadata.query).toEqual({
    ...{ filter: '{"user":"ada","password":"[redacted:secret]"}', page: '2', 'u[pin]': '[redacted:secret]' },
  })
})

test('a body of JSON is shown as the server reads it, or not at all', async () => {
  const it = await begin(upstream.url, { routes: [{ route: 'POST /notes', bodies: 'show' }] })
  const send = (type: string, body: string) =>
    fetch(`${it.url}/notes`, { method: 'POST', headers: { 'content-type': type }, body: Buffer.from(body, 'latin1') })
  await send('application/json; charset=UTF-8', '{"a":"\xc3\xa9"}')
  await send('application/json', '{"a":"\xe9"}')
  await send('application/json; charset=iso-8859-1', '{"a":"\xc3\xa9"}')
  const results = find(await it.events(), 'http.request.result')
  expect(results.map(({ requestBody }) => requestBody)).toEqual([{ a: 'é' }, undefined, undefined])
  expect(results[1].http.request).toMatchObject({ bytes: 9, sha256: sha256(Buffer.from('{"a":"\xe9"}', 'latin1')) })
})

test('what fits no route is recorded by method and normalised path, or passed on, as is set', async () => {
  const routes = [
    { route: 'GET /health', record: false },
    { route: 'GET /files/*', bodies: 'hash' },
  ]
  const it = await begin(upstream.url, { routes })
  for (const path of [
    '/health',
    '/HEALTH/',
    '/orders/1234/items/8f14e45f-ceea-467f-a0e6-b3c1d8f6a9d1',
    '/v2/me',
    '/files/a/b',
  ])
    await (await fetch(`${it.url}${path}`)).text()
  await fetch(`${it.url}/files/a`, { method: 'HEAD' })
  const events = await it.events()
  expect(find(events, 'http.request').map(({ targets }) => targets[0].id)).toEqual([
    ...['GET /orders/*/items/*', 'GET /v2/me', 'GET /files/*', 'GET /files/*'],
  ])
  expect(find(events, 'http.request.result').at(-2).http.response.sha256).toMatch(/^[0-9a-f]{64}$/)
  const passing = await begin(upstream.url, { unmatched: 'pass' })
  await (await fetch(`${passing.url}/anything`)).text()
  expect(await passing.events()).toEqual([])
})

test('requests that are sent without waiting for answers reach the server one after the other', async () => {
  const done: string[] = []
  const server = await serve(async (req, res) => {
    // The first would be the last, if they came side by side.
    if (req.method === 'POST') await new Promise((resolve) => setTimeout(resolve, 100))
    done.push(`${req.method} ${req.url}`)
    res.end(`${done.length}`)
  })
  const it = await begin(server.url)
  const head = `Host: ${new URL(it.url).host}\r\n`
  const answer = await raw(
    it.url,
    `POST /orders HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\nabDELETE /orders/1 HTTP/1.1\r\n${head}\r\nGET /orders HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
  )
  expect(done).toEqual(['POST /orders', 'DELETE /orders/1', 'GET /orders'])
  expect(answer.match(/(?<=\r\n)\d(?=\r\n|HTTP|$)/g)).toEqual(['1', '2', '3'])
  expect(find(await it.events(), 'http.request').map(({ http }) => http.method)).toEqual(['POST', 'DELETE', 'GET'])
  server.close()
})

test('who asks on without an end while a request takes long is cut off, and hinders nobody else', async () => {
  const server = await serve((req, res) => (req.url === '/slow' ? res.write('first') : res.end('ok')))
  const it = await begin(server.url, { limits: { openRequests: 260 } })
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  const ended = raw(it.url, get('/slow') + get('/behind').repeat(300))
  const others = () => expect.poll(async () => (await fetch(`${it.url}/other`)).status, { timeout: 5_000 }).toBe(200)
  await others()
  await ended
  // Nor do several, of whom each asks for less.
  const { port } = new URL(it.url)
  const several = [connect(Number(port)), connect(Number(port))]
  for (const socket of several)
    socket
      .on('error', () => {})
      .resume()
      .write(get('/slow') + get('/behind').repeat(200))
  await expect.poll(() => several.filter(({ closed }) => closed).length, { timeout: 5_000 }).toBe(1)
  await others()
  for (const socket of several) socket.destroy()
  expect(server.seen).not.toContain('GET /behind')
  // What had to wait was never looked at.
  expect(find(await it.events(), 'http.request').filter(({ metadata }) => metadata.path === '/behind')).toEqual([])
  server.close()
})

test('statuses become outcomes', async () => {
  const server = await serve((req, res) => res.writeHead(Number(req.url!.slice(1))).end())
  const it = await begin(server.url)
  for (const status of [204, 304, 401, 403, 404, 500]) {
    const { status: seen } = await fetch(`${it.url}/${status}`)
    expect(seen).toBe(status)
  }
  server.close()
  const refused = await fetch(`${it.url}/1`)
  expect(refused.status).toBe(502)
  expect(await refused.json()).toMatchObject({ code: 'http_upstream_unreachable', status: 502 })
  const outcomes = find(await it.events(), 'http.request.result')
  expect(outcomes.map(({ outcome, http }) => [http.status, outcome])).toEqual([
    ...[
      [204, 'success'],
      [304, 'success'],
      [401, 'denied'],
      [403, 'denied'],
      [404, 'failure'],
      [500, 'failure'],
    ],
    [null, 'failure'],
  ])
  expect(outcomes.at(-1).http).toMatchObject({ state: 'refused', code: 'http_upstream_unreachable' })
})

test('hop-by-hop headers end here; duplicates, trailers and what the proxy says of the way go on', async () => {
  const server = await serve((req, res) => {
    res.setHeader('connection', 'keep-alive, x-inner')
    res.setHeader('x-inner', 'theirs')
    return echo(req, res)
  })
  onTestFinished(() => server.close())
  const it = await begin(server.url)
  const { port } = new URL(it.url)
  const out = request({
    ...{ port, method: 'PUT', path: '/x' },
    headers: {
      ...{ connection: 'keep-alive, x-secret', 'x-secret': 'mine', te: 'trailers', trailer: 'x-sum' },
      ...{ 'x-forwarded-for': '6.6.6.6', forwarded: 'for=6.6.6.6', 'x-forwarded-proto': 'https', x_forwarded_for: '7' },
      ...{ 'transfer-encoding': 'chunked', 'x-two': ['a', 'b'], 'x-original-url': '/admin', x_rewrite_url: '/admin' },
      ...{ script_name: '/admin', 'x.original!url': '/admin', constructor: 'mine' },
    },
  })
  out.write('part')
  out.addTrailers({ 'x-sum': '9', host: 'evil', 'x-rewrite-url': '/admin', script_name: '/admin' })
  out.end()
  const [answer] = await once(out, 'response')
  const { headers, trailers, rawHeaders, bytes } = JSON.parse((await answer.toArray()).join('')) as Told
  expect(headers).toMatchObject({
    ...{ host: `localhost:${port}`, te: 'trailers', trailer: 'x-sum', 'x-two': 'a, b' },
    constructor: 'mine',
    ...{ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': `localhost:${port}` },
    forwarded: `for=127.0.0.1;host="localhost:${port}";proto=http`,
  })
  expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['x-secret']))
  expect(rawHeaders.join().toLowerCase()).not.toMatch(/x_forwarded|admin/)
  expect([trailers, bytes]).toEqual([{ 'x-sum': '9' }, 4])
  expect(answer.headers).toMatchObject({ 'content-type': 'application/json' })
  expect(answer.headers).not.toHaveProperty('x-inner')
})

test('what a trusted proxy says of the way goes on, with our word behind it', async () => {
  const it = await begin(upstream.url, { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] })
  const headers = {
    'x-forwarded-for': '203.0.113.7, 10.1.2.3',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'api.test',
    'x-original-url': '/before',
    script_name: '/before',
  }
  // It says none of these; its client may have, and some servers take them for what it says.
  const others = { x_forwarded_for: '6.6.6.6', 'x.forwarded-proto': 'http', x_original_url: '/admin' }
  const asked = await fetch(`${it.url}/`, { headers: { ...headers, ...others } })
  const seen = ((await asked.json()) as Told).headers
  expect(seen).toMatchObject({ ...headers, 'x-forwarded-for': '203.0.113.7, 10.1.2.3, 127.0.0.1' })
  expect(Object.keys(seen).filter((name) => name in others)).toEqual([])
  const [intent] = await it.events()
  expect(intent.context.client).toEqual({ address: '203.0.113.7', by: 'x-forwarded-for', proxy: '127.0.0.1' })
})

test('the upstream decides about 100-continue', async () => {
  const server = await serve((_req, res) => res.writeHead(417).end())
  server.server.on('checkContinue', (req, res) => {
    if (req.url === '/no') res.writeHead(403).end('no')
    else {
      res.writeContinue()
      req.on('data', () => {}).on('end', () => res.end('thanks'))
    }
  })
  const it = await begin(server.url)
  const ask = async (path: string) => {
    const { port } = new URL(it.url)
    const out = request({ port, path, method: 'POST', headers: { expect: '100-continue', 'content-length': 5 } })
    let isContinued = false
    out.once('continue', () => {
      isContinued = true
      out.end('hello')
    })
    out.flushHeaders()
    const [answer] = await once(out, 'response')
    await answer.toArray()
    return [answer.statusCode, isContinued]
  }
  expect(await ask('/yes')).toEqual([200, true])
  expect(await ask('/no')).toEqual([403, false])
  const outcomes = find(await it.events(), 'http.request.result')
  expect(outcomes.map(({ http }) => http.request.bytes)).toEqual([5, 0])
  server.close()
})

test('early hints of the upstream reach the client, and the answer after them', async () => {
  const server = await serve((_req, res) => {
    res.writeEarlyHints({ link: '</style.css>; rel=preload', 'x-kind': 'hint' })
    res.end('page')
  })
  const it = await begin(server.url)
  const out = request({ port: new URL(it.url).port }).end()
  const hints = once(out, 'information')
  const [answer] = await once(out, 'response')
  expect((await hints)[0]).toMatchObject({
    ...{ statusCode: 103, headers: { link: '</style.css>; rel=preload', 'x-kind': 'hint' } },
  })
  expect(`${await answer.toArray()}`).toBe('page')
  const old = await raw(it.url, `GET / HTTP/1.0\r\nHost: ${new URL(it.url).host}\r\n\r\n`)
  expect(old.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200'])
  server.close()
})

test('an upload and a download are streamed: neither side is read faster than the other', async () => {
  let [sent, taken] = [0, 0]
  const chunk = Buffer.alloc(1 << 16, 'x')
  const total = 24 << 20
  const server = await serve((req, res) => {
    if (req.method === 'GET') {
      const more = () => {
        while (sent < total) {
          sent += chunk.length
          if (!res.write(chunk)) return void res.once('drain', more)
        }
        res.end()
      }
      more()
    } else {
      // Reads nothing until it is told to.
      server.server.once('read', () => req.on('data', (part) => (taken += part.length)).on('end', () => res.end()))
    }
  })
  const it = await begin(server.url, { routes: [{ route: '* /*', bodies: 'hash' }] })
  const { port } = new URL(it.url)
  const out = request({ port, method: 'PUT', path: '/up' })
  let written = 0
  const isFull = () => {
    while (written < total) {
      written += chunk.length
      if (!out.write(chunk)) return true
    }
    return false
  }
  expect(isFull()).toBe(true)
  // Buffers of three sockets fill up, and then the writer has to wait.
  for (;;) {
    const before = written
    const drained = await Promise.race([
      once(out, 'drain').then(() => true),
      new Promise((r) => setTimeout(r, 100, false)),
    ])
    if (drained === false) break
    if (!isFull()) break
    expect(written).toBeGreaterThan(before)
  }
  expect(written).toBeLessThan(total)
  server.server.emit('read')
  while (written < total) {
    await once(out, 'drain')
    isFull()
  }
  out.end()
  const [answer] = await once(out, 'response')
  answer.resume()
  await once(answer, 'end')
  expect(taken).toBe(total)
  const slow = request({ port, path: '/down' }).end()
  const [download] = await once(slow, 'response')
  // Nothing is read here for a while.
  let before = -1
  while (before !== sent) {
    before = sent
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(sent).toBeLessThan(total)
  let received = 0
  for await (const part of download) received += part.length
  expect(received).toBe(total)
  server.close()
  const [up, down] = find(await it.events(), 'http.request.result')
  const hash = sha256(Buffer.alloc(total, 'x'))
  expect([up.http.request, down.http.response]).toEqual([
    { bytes: total, sha256: hash },
    { bytes: total, sha256: hash },
  ])
})

test('strict: what cannot be recorded is answered with 503, and the server never sees it; observe: it passes, counted and said', async () => {
  const routes = [{ route: 'GET /lax', mode: 'observe' }]
  // The spool is full at once: nothing leaves it.
  const it = await begin(upstream.url, {
    ...{ routes, limits: { spoolBytes: 1 << 20, spoolWaitMs: 1 }, admin: { port: 0 } },
    context: { filling: 'x'.repeat(20_000) },
  })
  const before = upstream.seen.length
  let passed = 0
  let refusal: Response
  do refusal = await fetch(`${it.url}/strict/${passed++}`, { method: 'POST', body: 'x'.repeat(9) })
  while (refusal.status === 200)
  expect([refusal.status, refusal.headers.get('retry-after')]).toEqual([503, '5'])
  expect(await refusal.json()).toMatchObject({ code: 'http_not_recorded', reason: 'spool_full' })
  expect(upstream.seen.length - before).toBe(passed - 1)
  expect((await fetch(`${it.url}/lax`)).status).toBe(200)
  expect(upstream.seen.at(-1)).toBe('GET /lax')
  const metrics = await (await fetch(`${it.proxy.admin}/metrics`)).text()
  expect(metrics).toMatch(/killick_http_refusals_total\{code="http_not_recorded"\} 1\n/)
  expect(it.said.join('\n')).toContain('not recorded (spool_full)')
  await expect
    .poll(async () => (await fetch(`${it.proxy.admin}/metrics`)).text())
    .toMatch(/killick_http_unrecorded_events_total [1-9]/)
})

test('a drain lets requests under way end, takes no more, and is seen on the admin address only', async () => {
  let finish: () => void = () => {}
  const server = await serve((_req, res) => {
    res.write('first')
    finish = () => res.end('last')
  })
  const it = await begin(server.url, { admin: { port: 0 } })
  expect(await (await fetch(`${it.proxy.admin}/readyz`)).json()).toMatchObject({ status: 'ready' })
  expect((await fetch(`${it.proxy.admin}/healthz`)).status).toBe(200)
  const answer = await fetch(`${it.url}/readyz`)
  const closed = it.close()
  const ready = await fetch(`${it.proxy.admin}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([503, expect.objectContaining({ status: 'draining' })])
  await expect(fetch(`${it.url}/next`)).rejects.toThrow()
  finish()
  expect(await answer.text()).toBe('firstlast')
  await closed
  server.close()
  expect(find(await it.events(), 'http.request.result')[0].http).toMatchObject({
    state: 'answered',
    response: { bytes: 9 },
  })
})
