// Who is told what, what may be cached and shown where, and how sessions end.
import { once } from 'node:events'
import { connect } from 'node:net'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../../anchor-service/src/database/pool.ts'
import { keepSessions } from '../../../anchor-service/src/http/session.ts'
import type { Ledger } from '../../../anchor-service/src/ledger/ledger.ts'
import { builtPage } from '../../support/page.ts'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { ADMIN, call, READER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const signer = newSigner()

beforeAll(async () => {
  ;[service] = await Promise.all([testService(), builtPage()])
  await register(service.url, 'billing', [{ jwk: signer.jwk }])
  const producer = new Producer('billing', signer)
  for (let i = 0; i < 3; i++) {
    const batch = await producer.batch([sampleEvent(i)])
    expect((await post(service.url, batch.body)).status).toBe(201)
    batch.advance()
  }
})
afterAll(() => service.stop())

/** A request as it goes over the wire, and its answer; fetch would set and unpack encodings by itself. */
async function raw(url: string, path: string, headers: Record<string, string> = {}, method = 'GET') {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const lines = Object.entries({ host: new URL(url).host, connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  const parts: Buffer[] = []
  socket.on('data', (part) => parts.push(part))
  await once(socket, 'close')
  const all = Buffer.concat(parts)
  const cut = all.indexOf('\r\n\r\n')
  const [status, ...fields] = all.subarray(0, cut).toString('latin1').split('\r\n')
  return {
    status: Number(status!.split(' ')[1]),
    headers: Object.fromEntries(fields.map((field) => field.toLowerCase().split(/: /, 2) as [string, string])),
    body: all.subarray(cut + 4),
  }
}

describe('pages', () => {
  test.each(['/verify/', '/verify/index.html', '/console/', '/console/index.html', '/api/', '/p/unknown'])(
    '%s may not be framed, cached, or run what is not ours',
    async (path) => {
      const { headers, text } = await call(service.url, path, null)
      expect(text).toMatch(/^<!doctype html>/i)
      expect(headers.get('content-security-policy')).toMatch(
        /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/,
      )
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.get('referrer-policy')).toBe('no-referrer')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    },
  )

  test('the front door is a page to browsers and JSON to all others', async () => {
    const browser = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } }
    const page = await call(service.url, '/', null, browser)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('vary')).toContain('accept')
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    for (const file of page.text.matchAll(/(?:src|href)="(\/[^"]*)"/g)) {
      const { status } = await call(service.url, file[1]!, READER)
      expect([file[1], status]).toEqual([file[1], 200])
    }
    for (const accept of ['*/*', 'application/json', '']) {
      const { status, headers, json } = await call(service.url, '/', null, { headers: { accept } })
      expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
      expect(json).toMatchObject({ service: 'killick', origin: service.origin, vkey: service.vkey, status: 'ready' })
      for (const path of Object.values<string>(json.paths)) {
        const answer = await call(service.url, path, READER)
        expect([path, answer.status]).toEqual([path, 200])
      }
    }
  })

  test.each([
    '/verify/page.js',
    '/verify/page.css',
    '/console/console.js',
    '/front/front.js',
    '/api/viewer.js',
    '/api/viewer.css',
    '/openapi.json',
  ])('%s is sent compressed to who asks for it, and is the same in every encoding', async (path) => {
    const plain = await raw(service.url, path)
    expect(plain.headers['content-encoding']).toBeUndefined()
    expect(plain.headers.vary).toContain('accept-encoding')
    const gzip = await raw(service.url, path, { 'accept-encoding': 'br;q=0, gzip' })
    const brotli = await raw(service.url, path, { 'accept-encoding': 'gzip, deflate, br, zstd' })
    expect([gzip, brotli].map(({ headers }) => headers['content-encoding'])).toEqual(['gzip', 'br'])
    expect(gunzipSync(gzip.body)).toEqual(plain.body)
    expect(brotliDecompressSync(brotli.body)).toEqual(plain.body)
    expect(brotli.body.length).toBeLessThan(plain.body.length / 2)
  })

  test.each(['/verify/page.js', '/verify/protocol.txt', '/console/console.css'])(
    '%s is kept for a while, and not sent again to who has it',
    async (path) => {
      const tags = new Set<string>()
      for (const encoding of ['identity', 'gzip', 'br']) {
        const asked = { 'accept-encoding': encoding }
        const whole = await raw(service.url, path, asked)
        expect(whole.status).toBe(200)
        expect(whole.headers).toMatchObject({
          'cache-control': 'public, max-age=300',
          'x-content-type-options': 'nosniff',
          'content-length': String(whole.body.length),
        })
        tags.add(whole.headers.etag!)
        // `raw` tells headers in small letters.
        const tag = whole.headers.etag!.replace(/^w/, 'W')
        const again = await raw(service.url, path, { ...asked, 'if-none-match': tag })
        expect([again.status, again.body.length]).toEqual([304, 0])
        expect(again.headers['cache-control']).toBe('public, max-age=300')
        const other = await raw(service.url, path, { ...asked, 'if-none-match': 'W/"other"' })
        expect(other.body).toEqual(whole.body)
        const head = await raw(service.url, path, asked, 'HEAD')
        expect([head.status, head.body.length]).toEqual([200, 0])
        expect(head.headers).toMatchObject({
          etag: whole.headers.etag,
          'content-length': whole.headers['content-length'],
        })
        // Nobody can use a part of it.
        const part = await raw(service.url, path, { ...asked, range: 'bytes=0-9' })
        expect([part.status, part.body.length]).toEqual([200, whole.body.length])
      }
      expect(tags.size).toBe(3)
    },
  )

  test.each([
    ...['../package.json', '..%2fpackage.json', '%2e%2e/package.json', '%2e%2e%2fpackage.json', '..%5cpackage.json'],
    ...['./page.js', '/page.js', '%2fpage.js', 'x/../page.js', 'page.js/', 'page.js/.', 'page.js%00', 'page.js%00.css'],
    ...['page.js.br', 'page.js.gz', 'index.html.br', '.new-x', '.page.js', '%2epage.js', 'page.JS', 'PAGE.js', 'page'],
    ...['console/console.js', 'console', 'console/', '%2e/console/console.js', 'none.js', '%', '%zz', 'a%2fb.js'],
    ...['..;/package.json', '....//package.json', '/etc/passwd', 'file:///etc/passwd', 'C:%5cwindows', 'page.js%20'],
  ])('%s leads to no file', async (path) => {
    for (const part of ['verify', 'console', 'front', 'api'])
      for (const headers of [{}, { 'accept-encoding': 'br' }] as Record<string, string>[])
        for (const method of ['GET', 'HEAD']) {
          const { status, headers: told } = await raw(service.url, `/${part}/${path}`, headers, method)
          expect([400, 404], `${method} /${part}/${path}: ${status}`).toContain(status)
          expect(told['content-type']).toMatch(/^application\/problem\+json/)
          expect(told['cache-control']).toBe('no-store')
        }
  })
})

describe('caches', () => {
  test('may keep no private answer, whether a token or a session opened it', async () => {
    const { json } = await call(service.url, '/openapi.json', null)
    const own = Object.entries<Record<string, { security?: unknown }>>(json.paths).flatMap(([path, methods]) =>
      methods.get?.security === undefined ? [] : [path.replaceAll(/\{\w+\}/g, 'billing')],
    )
    expect(own.length).toBeGreaterThan(9)
    const cookie = await signIn(READER)
    for (const path of [...own, '/console/session'].filter((each) => each !== '/v1/events/live')) {
      for (const headers of [{ authorization: `Bearer ${READER}` }, { cookie }]) {
        const answer = await fetch(`${service.url}${path}`, { headers: headers as Record<string, string> })
        await answer.arrayBuffer()
        expect([path, answer.headers.get('cache-control')]).toEqual([path, 'no-store'])
        expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      }
    }
  })

  test.each(['/tile/0/000', '/tile/0/777', '/tile/entries/000', '/nowhere', '/v1/consistency?from=1&to=999'])(
    'not that there is nothing yet at %s',
    async (path) => {
      const { status, headers } = await call(service.url, path, null)
      expect([status, headers.get('cache-control')]).toEqual([404, 'no-store'])
    },
  )
})

describe('other origins', () => {
  test.each([
    ...['/checkpoint', '/tile/0/000.p/2', '/tile/entries/000.p/2', '/tile/0/000', '/v1/consistency?from=1&to=2'],
    ...['/v1/log', '/verify/trust.json'],
  ])('may read %s', async (path) => {
    const { headers } = await call(service.url, path, null, { headers: { origin: 'https://monitor.example' } })
    expect(headers.get('access-control-allow-origin')).toBe('*')
  })

  test.each(['/v1/events', '/console/session', '/p/x/proof', '/readyz', '/metrics', '/healthz', '/openapi.json'])(
    'may not read %s',
    async (path) => {
      for (const method of ['GET', 'OPTIONS']) {
        const { headers } = await raw(service.url, path, { origin: 'https://evil.example' }, method)
        expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
      }
    },
  )

  test('may read nothing of a log whose tiles are private', async () => {
    const hidden = await testService({ KILLICK_TILES: 'private' })
    for (const path of ['/checkpoint', '/tile/0/000.p/1', '/tile/entries/000.p/1'])
      for (const token of [null, READER])
        expect((await call(hidden.url, path, token)).headers.get('access-control-allow-origin')).toBeNull()
    await hidden.stop()
  })
})

test('a bundle of entries is compressed on request, and holds the same', async () => {
  const path = '/tile/entries/000.p/4'
  const plain = await raw(service.url, path)
  for (let i = 0; i < 2; i++) {
    const packed = await raw(service.url, path, { 'accept-encoding': 'gzip' })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(packed.body.length).toBeLessThan(0.8 * plain.body.length)
    expect(gunzipSync(packed.body)).toEqual(plain.body)
  }
  const hashes = await raw(service.url, '/tile/0/000.p/4', { 'accept-encoding': 'gzip' })
  expect(hashes.headers['content-encoding']).toBeUndefined()
})

async function signIn(token: string, at = service): Promise<string> {
  const answer = await call(at.url, '/console/session', null, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  })
  expect(answer.status).toBe(200)
  return answer.headers.get('set-cookie')!.split(';')[0]!
}

describe('the cookie of a session', () => {
  const login = (at: TestService) =>
    call(at.url, '/console/session', null, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: READER }),
    })
  const attributes = (setCookie: string | null) => new Set(setCookie!.split('; ').slice(1))
  const GUARDS = ['Path=/', 'HttpOnly', 'SameSite=Strict']

  test('is hidden from scripts and other sites, and is sent over TLS only where there is TLS', async () => {
    const { headers } = await login(service)
    expect(attributes(headers.get('set-cookie'))).toEqual(new Set([...GUARDS, 'Max-Age=28800']))
    const behindTls = await testService({ KILLICK_PUBLIC_URL: 'https://audit.example.com' })
    expect(attributes((await login(behindTls)).headers.get('set-cookie'))).toEqual(
      new Set([...GUARDS, 'Max-Age=28800', 'Secure']),
    )
    await behindTls.stop()
    const gone = await call(service.url, '/console/session', null, { method: 'DELETE' })
    expect(gone.headers.get('set-cookie')).toMatch(/^killick_session=; /)
    expect(attributes(gone.headers.get('set-cookie'))).toEqual(new Set([...GUARDS, 'Max-Age=0']))
  })

  test('is found among other cookies, and anything malformed counts as none', async () => {
    const own = await signIn(READER)
    const status = async (cookie: string) => (await raw(service.url, '/v1/events?limit=1', { cookie })).status
    for (const cookie of [own, `a=b; ${own}`, `${own}; a=b`, `a="x;y"; ${own}`, `%E0%A4%A=%; ${own}`, `;;; =; ${own}`])
      expect(await status(cookie), cookie).toBe(200)
    const [name, value] = own.split('=') as [string, string]
    for (const cookie of [
      ...['', ';', '=', name, `${name}=`, `x${own}`, `a=${own}`, `${name}x=${value}`, `${name.toUpperCase()}=${value}`],
      ...[`${name}=%`, `${name}=%E0%A4%A`, `${name}=x; ${own}`, `${name}="`, `__proto__=${value}`, `${own}x`],
    ])
      expect(await status(cookie), cookie).toBe(401)
  })
})

describe('signing out', () => {
  const status = async (cookie: string, at = service) =>
    (await call(at.url, '/v1/events?limit=1', null, { headers: { cookie } })).status
  const signOut = (cookie: string, headers: Record<string, string> = { 'x-killick-console': '1' }) =>
    call(service.url, '/console/session', null, { method: 'DELETE', headers: { cookie, ...headers } })

  test('ends this session only, on the server, in every process and over a restart', async () => {
    const second = await testService({}, service)
    const [stays, ends] = [await signIn(READER), await signIn(ADMIN)]
    for (const at of [service, second]) expect([await status(stays, at), await status(ends, at)]).toEqual([200, 200])
    expect((await signOut(ends)).status).toBe(200)
    expect(await status(ends)).toBe(401)
    await expect.poll(() => status(ends, second)).toBe(401)
    const third = await testService({}, service)
    expect([await status(ends, third), await status(stays, third)]).toEqual([401, 200])
    expect((await call(service.url, '/console/session', null, { headers: { cookie: ends } })).json.role).toBeNull()
    await third.close()
    await second.close()
  })

  test('is recorded as an event, and only the holder of the session can do it', async () => {
    const logouts = async () =>
      (await call(service.url, '/v1/events?source=killick&action=console.logout')).json.events.length
    const before = await logouts()
    const cookie = await signIn(READER)
    await signOut(cookie, {})
    await signOut(cookie.slice(0, -4), { 'x-killick-console': '1' })
    await signOut('killick_session=x')
    expect([await logouts(), await status(cookie)]).toEqual([before, 200])
    await signOut(cookie)
    await signOut(cookie)
    expect(await logouts()).toBe(before + 1)
  })

  test('cannot be known while the database is silent, and a request does not wait for that', async () => {
    const [name, value] = (await signIn(READER)).split('=') as [string, string]
    const pool = openPool(service.databaseUrl, true, 1)
    const tokens = { admin: ADMIN, reader: READER, eraser: null, erasers: [] }
    const sessions = keepSessions(tokens, { db: pool } as unknown as Ledger, 50)
    const request = { method: 'GET', headers: {}, cookies: { [name]: value } } as unknown as FastifyRequest
    const holder = new pg.Client({ connectionString: service.databaseUrl })
    await holder.connect()
    await holder.query('begin; lock table killick.batches in access exclusive mode')
    await expect(sessions.of(request)).rejects.toMatchObject({ code: 'unavailable' })
    await holder.end()
    await expect.poll(() => sessions.of(request).catch(() => null)).toMatchObject({ role: 'reader' })
    await pool.end()
  })

  test('ends the live tails of the session too', async () => {
    const cookie = await signIn(READER)
    const tail = await fetch(`${service.url}/v1/events/live`, { headers: { cookie } })
    const reader = tail.body!.getReader()
    await reader.read()
    await signOut(cookie)
    // What is recorded of the sign-out may come before the end.
    let told = 0
    while (!(await reader.read()).done) told++
    expect(told).toBeLessThan(2)
  })
})

describe('live tails', () => {
  test('are counted by address, at once, and those beyond the limit are refused', async () => {
    const gone = new AbortController()
    const open = () =>
      fetch(`${service.url}/v1/events/live`, {
        headers: { authorization: `Bearer ${READER}` },
        signal: gone.signal,
      })
    const all = await Promise.all(Array.from({ length: 40 }, open))
    const codes = all.map(({ status }) => status)
    expect(codes.filter((code) => code === 200)).toHaveLength(16)
    expect(codes.filter((code) => code === 503)).toHaveLength(24)
    gone.abort()
    // Tails that were closed make room.
    await expect
      .poll(async () => {
        const again = new AbortController()
        const headers = { authorization: `Bearer ${READER}` }
        const tries = Array.from({ length: 16 }, () =>
          fetch(`${service.url}/v1/events/live`, { headers, signal: again.signal }),
        )
        const statuses = (await Promise.all(tries)).map(({ status }) => status)
        again.abort()
        return statuses.every((status) => status === 200)
      })
      .toBe(true)
  })
})

describe('without a token', () => {
  test('readiness is only yes or no, and metrics are refused; a token opens both', async () => {
    const { status, json } = await call(service.url, '/readyz', null)
    expect([status, json]).toEqual([200, { status: 'ready' }])
    expect((await call(service.url, '/metrics', null)).json).toMatchObject({ status: 401, code: 'unauthorized' })
    expect((await call(service.url, '/readyz', 'not-a-token-of-it')).status).toBe(401)
    const cookie = await signIn(READER)
    for (const headers of [{ authorization: `Bearer ${READER}` }, { cookie }] as Record<string, string>[])
      expect((await call(service.url, '/readyz', null, { headers })).json).toMatchObject({
        logSize: expect.any(Number),
      })
    expect((await call(service.url, '/metrics')).text).toContain('killick_log_size')
  })

  test('links name the address that was reached, whatever the Host header says', async () => {
    const { events } = (await call(service.url, '/v1/events?source=billing&limit=1')).json
    const make = async (host: string) => {
      const body = JSON.stringify({ eventId: events[0].id, fields: ['action'] })
      const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
      socket.write(
        `POST /v1/shares HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${READER}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      )
      let text = ''
      for await (const part of socket) text += part
      return JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).url as string
    }
    const { port } = new URL(service.url)
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1.evil.example',
      'localhost@evil.example',
      '',
    ]) {
      const url = await make(host)
      expect(url).toMatch(new RegExp(`^${service.url}/p/`))
      const preview = await raw(service.url, new URL(url).pathname, { host })
      expect(preview.body.toString()).not.toContain('evil')
    }
    expect(await make(`localhost:${port}`)).toMatch(new RegExp(`^http://localhost:${port}/p/`))
  })
})

describe('wrong tokens', () => {
  test('are counted by address, for console and bearer together; a token that was accepted before still works', async () => {
    const guarded = await testService({ KILLICK_TRUST_PROXY: '127.0.0.1' })
    const ask = async (address: string, token: string) =>
      (await call(guarded.url, '/v1/events?limit=1', token, { headers: { 'x-forwarded-for': address } })).status
    const login = async (address: string, token: string) =>
      (
        await call(guarded.url, '/console/session', null, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
          body: JSON.stringify({ token }),
        })
      ).status
    expect(await ask('192.0.2.1', READER)).toBe(200)
    const guesses = []
    for (let i = 0; i < 30; i++) guesses.push(await ask('192.0.2.1', `guess-number-${i}-of-many`))
    expect(guesses).toEqual([...Array(20).fill(401), ...Array(10).fill(429)])
    // A right guess gets the same answer as a wrong one.
    expect(await ask('192.0.2.1', ADMIN)).toBe(429)
    expect(await login('192.0.2.1', ADMIN)).toBe(429)
    expect(await ask('192.0.2.1', READER)).toBe(200)
    expect(await ask('192.0.2.2', ADMIN)).toBe(200)
    // All addresses of an IPv6 network count as one guesser.
    const network = []
    for (let i = 0; i < 22; i++) network.push(await (i % 2 ? ask : login)(`2001:db8::1:${i}`, `guess-number-${i}`))
    expect(network).toEqual([...Array(20).fill(401), 429, 429])
    await guarded.stop()
  })
})

describe('in a minute, an address may', () => {
  let limited: TestService
  beforeAll(async () => {
    limited = await testService({ KILLICK_TRUST_PROXY: '127.0.0.1' })
  })
  afterAll(() => limited.stop())

  const from = (address: string, path: string, init: RequestInit = {}) =>
    call(limited.url, path, READER, {
      ...init,
      headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    })
  const newest = async () => (await call(limited.url, '/v1/events?source=killick&limit=1')).json.events[0].id
  const recorded = async (action: string) => {
    const { json } = await call(limited.url, `/v1/events?source=killick&action=${action}&limit=200`)
    return json.events.length
  }

  test.each([
    ['export', 30, 200, 'events.export', async (address: string) => from(address, '/v1/events/export?format=csv')],
    [
      ...(['make a link', 120, 201, 'share.create'] as const),
      async (address: string, eventId: string) => {
        const body = JSON.stringify({ eventId, fields: ['action'] })
        return from(address, '/v1/shares', { method: 'POST', body })
      },
    ],
  ] as const)('%s %i times; what is refused is not recorded', async (_, limit, good, action, ask) => {
    const id = await newest()
    const answers = []
    for (let i = 0; i < limit + 5; i += 5)
      answers.push(...(await Promise.all([1, 2, 3, 4, 5].map(() => ask('192.0.2.1', id)))))
    expect(answers.map(({ status }) => status)).toEqual([...Array(limit).fill(good), ...Array(5).fill(429)])
    expect(answers.at(-1)!.json.code).toBe('rate_limited')
    expect(Number(answers.at(-1)!.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await recorded(action)).toBe(limit)
    expect((await ask('192.0.2.2', id)).status).toBe(good)
    expect((await from('192.0.2.1', '/v1/events?limit=1')).status).toBe(200)
  })
})
