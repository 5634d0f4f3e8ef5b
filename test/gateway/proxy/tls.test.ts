import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, constants, type IncomingHttpHeaders } from 'node:http2'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, connect as tlsConnect } from 'node:tls'
import { promisify } from 'node:util'
import { checkHttpConfig } from '@killick/gateway'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { listenAll } from '../../../gateway/src/proxy/listeners.ts'
import { certifier, serialIn, shownSerial, withLooks } from '../support.ts'
import { begin, configure, find, raw, serve, sha256, type Told } from './support.ts'

const curl = promisify(execFile)
let upstream: Awaited<ReturnType<typeof serve>>
let folder: string
let tls: Record<'cert' | 'key' | 'clientCa', string>
const pem = (name: string) => readFileSync(join(folder, name))

beforeAll(async () => {
  upstream = await serve()
  folder = mkdtempSync(join(tmpdir(), 'killick-http-tls-'))
  const certificates = certifier(folder)
  for (const name of ['proxy', 'client']) certificates.issue(name, 'DNS:localhost')
  certificates.issue('stranger', 'DNS:localhost', false)
  const file = (name: string) => join(folder, name)
  tls = { cert: file('proxy.crt'), key: file('proxy.key'), clientCa: file('ca.crt') }
})
afterAll(() => {
  upstream.close()
  rmSync(folder, { recursive: true, force: true })
})

/** One request of HTTP/2. */
async function ask(session: ReturnType<typeof connect>, headers: Record<string, string | string[]>, body?: Buffer) {
  const stream = session.request(headers, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }]
  let trailers: unknown = null
  stream.on('trailers', (given) => (trailers = Object.fromEntries(Object.entries(given))))
  const text = Buffer.concat(await stream.toArray()).toString()
  return { status: answer[':status'], headers: answer, text, trailers }
}

test('HTTP/2 over TLS: bodies, cookies in parts, trailers both ways, many at a time on one connection', async () => {
  const server = await serve(async (req, res) => {
    const bytes = Buffer.concat(await req.toArray())
    res.setHeader('trailer', 'x-sum')
    res.setHeader('set-cookie', ['a=1', 'b=2'])
    res.write(JSON.stringify({ headers: req.headers, url: req.url, sha256: sha256(bytes) }))
    res.addTrailers({ 'x-sum': '7' })
    res.end()
  })
  const it = await begin(server.url, { listen: { port: 0, tls } })
  const session = connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  const body = Buffer.alloc(200_000, 'y')
  const answer = await ask(session, { ':method': 'POST', ':path': '/up?x=1', cookie: ['a=1', 'b=2'] }, body)
  const seen = JSON.parse(answer.text) as Told
  expect(seen).toMatchObject({
    url: '/up?x=1',
    sha256: sha256(body),
    headers: { cookie: 'a=1; b=2', 'x-forwarded-proto': 'https' },
  })
  expect(seen.headers.host).toBe(`localhost:${new URL(it.url).port}`)
  expect([answer.status, answer.headers['set-cookie'], answer.trailers]).toEqual([
    200,
    ['a=1', 'b=2'],
    { 'x-sum': '7' },
  ])
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(session, { ':path': `/many/${i}` })))
  expect(many.map(({ status }) => status)).toEqual(Array(20).fill(200))
  const gone = session.request({ ':method': 'CONNECT', ':authority': 'a:1' })
  await once(gone, 'response').then(([headers]) => expect(headers[':status']).toBe(405))
  gone.close()
  session.close()
  const events = await it.events()
  expect(find(events, 'http.request')[0].context).toMatchObject({ protocol: 'HTTP/2.0' })
  expect(find(events, 'http.request.result')[0].http).toMatchObject({ status: 200, request: { bytes: 200_000 } })
  expect(events).toHaveLength(42)
  server.close()
})

test('HTTP/2: headers beyond their bound are refused before the client has acknowledged it, too', async () => {
  const it = await begin(upstream.url, { listen: { port: 0, tls } })
  const session = connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  const before = upstream.seen.length
  const { status, text } = await ask(session, { ':path': '/large', 'x-large': 'x'.repeat(20_000) })
  expect([status, JSON.parse(text).code, upstream.seen.length]).toEqual([431, 'http_headers_too_large', before])
  session.close()
})

test('curl speaks HTTP/1.1 and HTTP/2 on the same port', async () => {
  const it = await begin(upstream.url, { listen: { port: 0, tls } })
  const run = async (...more: string[]) => {
    const { port } = new URL(it.url)
    const way = ['--resolve', `localhost:${port}:127.0.0.1`, '--cacert', join(folder, 'ca.crt')]
    const { stdout } = await curl('curl', [
      '-sS',
      ...way,
      '-w',
      ' %{http_version} %{http_code}',
      ...more,
      `https://localhost:${port}/a`,
    ])
    return stdout
  }
  expect(await run('--http1.1')).toMatch(/ 1\.1 200$/)
  expect(await run('--http2', '-T', join(folder, 'ca.crt'), '-H', 'Expect: 100-continue')).toMatch(/ 2 200$/)
  const [first, second] = find(await it.events(), 'http.request')
  expect([first.context.protocol, second.context.protocol, second.http.method]).toEqual(['HTTP/1.1', 'HTTP/2.0', 'PUT'])
})

test('a client certificate that was signed by the right authority is who asks; another one is a claim', async () => {
  const it = await begin(upstream.url, { listen: { port: 0, tls }, who: { certificates: true } })
  const { port } = new URL(it.url)
  for (const name of ['client', 'stranger', null]) {
    const own = name === null ? {} : { cert: pem(`${name}.crt`), key: pem(`${name}.key`) }
    const out = request({ port, ca: pem('ca.crt'), servername: 'localhost', agent: false, ...own })
    const [answer] = await once(out.end(), 'response')
    answer.resume()
    await once(answer, 'end')
  }
  const session = connect(it.url, {
    ca: pem('ca.crt'),
    servername: 'localhost',
    cert: pem('client.crt'),
    key: pem('client.key'),
  })
  await ask(session, { ':path': '/' })
  session.close()
  // TLS 1.2 lets a client show another certificate amid a connection.
  const own = { cert: pem('client.crt'), key: pem('client.key') }
  const changing = tlsConnect({
    port: Number(port),
    ca: pem('ca.crt'),
    ...own,
    servername: 'localhost',
    maxVersion: 'TLSv1.2',
  })
  await once(changing, 'secureConnect')
  changing.setKeyCert(createSecureContext({ cert: pem('stranger.crt'), key: pem('stranger.key') }))
  const change = await new Promise((resolve) => {
    changing.once('error', resolve)
    changing.renegotiate({}, resolve)
  })
  changing.destroy()
  expect(change).toMatchObject({ code: 'ERR_SSL_NO_RENEGOTIATION' })
  const [known, stranger, nobody, second] = find(await it.events(), 'http.request')
  for (const each of [known, second]) {
    expect(each.actor).toEqual({ type: 'user', id: 'client' })
    expect(each.context.vouched).toMatchObject({ by: 'certificate', subject: 'client', issuer: 'ca' })
  }
  expect([stranger.actor.id, nobody.actor.id]).toEqual(['anonymous', 'anonymous'])
  expect(stranger.context.claimed.certificate).toMatchObject({ subject: 'stranger', why: expect.any(String) })
  expect(nobody.context.claimed).toBeUndefined()
})

test('certificates that were renewed count for those who connect then, its own and the authority of clients', async () => {
  const own = mkdtempSync(join(folder, 'renewed-'))
  const made = certifier(own)
  made.issue('proxy', 'DNS:localhost')
  const first = { ca: readFileSync(made.file('ca.crt')), serial: serialIn(made.file('proxy.crt')) }
  const listen = {
    port: 0,
    tls: { cert: made.file('proxy.crt'), key: made.file('proxy.key'), clientCa: made.file('ca.crt') },
  }
  await withLooks(async (look) => {
    const it = await begin(upstream.url, { listen, who: { certificates: true }, admin: { port: 0 } })
    const { port } = new URL(it.url)
    const timers = vi.getTimerCount()
    const second = await configure(upstream.url, { listen: { ...listen, port: Number(port) } })
    const starts = listenAll(checkHttpConfig(second.config, second.folder), {} as never, () => {})
    await expect(starts).rejects.toThrow('EADDRINUSE')
    expect(vi.getTimerCount()).toBe(timers)
    // Nobody takes the events, which is said too.
    const told = () => it.said.filter((line) => line.startsWith('TLS: '))
    const open = connect(it.url, { ca: first.ca, servername: 'localhost' })
    await ask(open, { ':path': '/' })
    // While somebody writes, the file of authorities is empty, or ends within a certificate: all that Node knows, or nobody, would be taken for them.
    for (const size of [0, 200]) {
      writeFileSync(made.file('ca.crt'), first.ca.subarray(0, size))
      look()
    }
    expect(told()).toEqual([
      expect.stringMatching(/stays as it is, .* listen\.tls\.clientCa: it holds no certificate$/),
      expect.stringMatching(/stays as it is, .* listen\.tls\.clientCa: a certificate in it cannot be read: /),
    ])
    it.said.length = 0
    const renewed = certifier(own)
    for (const name of ['proxy', 'client']) renewed.issue(name, 'DNS:localhost')
    look()
    expect(told()).toEqual([expect.stringMatching(/have changed; it is shown from now on/)])
    expect(await shownSerial(Number(port))).toBe(serialIn(made.file('proxy.crt')))
    const shown = { cert: readFileSync(made.file('client.crt')), key: readFileSync(made.file('client.key')) }
    const session = connect(it.url, { ca: readFileSync(made.file('ca.crt')), servername: 'localhost', ...shown })
    await ask(session, { ':path': '/' })
    session.close()
    // Who is there goes on with what they have.
    expect((await ask(open, { ':path': '/' })).status).toBe(200)
    open.close()
    const end = new Date(new X509Certificate(readFileSync(made.file('proxy.crt'))).validTo).getTime() / 1000
    const metrics = await (await fetch(`${it.proxy.admin}/metrics`)).text()
    expect(metrics).toContain(`killick_http_certificate_not_after_timestamp_seconds ${end}\n`)
    expect(find(await it.events(), 'http.request').map(({ actor }) => actor.id)).toEqual([
      'anonymous',
      'client',
      'anonymous',
    ])
  })
})

test('HTTP/2: requests that are reset while their intents are recorded are cancelled, and hold nothing', async () => {
  const server = await serve(() => {})
  onTestFinished(() => server.close())
  const it = await begin(server.url, { listen: { port: 0, tls }, mode: 'strict' })
  const session = connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  await once(session, 'connect')
  const ends = ['GET', 'POST'].map((method) => {
    const stream = session.request({ ':method': method, ':path': '/reset' }, { endStream: method === 'GET' })
    stream.on('error', () => {})
    stream.close(constants.NGHTTP2_CANCEL)
    return once(stream, 'close')
  })
  await Promise.all(ends)
  await new Promise<void>((resolve) => session.ping(() => resolve()))
  session.close()
  const outcomes = find(await it.events(), 'http.request.result')
  expect(outcomes.map(({ http }) => [http.state, http.by])).toEqual(Array(2).fill(['cancelled', 'client']))
  expect(server.seen).toEqual([])
})

test('HTTP/2: an answer whose reader leaves is cut, and so is an upload', async () => {
  const uploads: string[] = []
  const server = await serve((req, res) => {
    if (req.method === 'GET') {
      const more = () => {
        while (res.write(Buffer.alloc(64 << 10)));
      }
      res.on('drain', more)
      more()
      return
    }
    req.on('error', () => uploads.push('aborted'))
    req.on('end', () => uploads.push('complete'))
    req.resume()
  })
  onTestFinished(() => server.close())
  const it = await begin(server.url, { listen: { port: 0, tls }, mode: 'strict' })
  const session = connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  const reading = session.request({ ':method': 'GET', ':path': '/endless' })
  reading.on('error', () => {})
  await once(reading, 'data')
  reading.close(constants.NGHTTP2_CANCEL)
  const sending = session.request({ ':method': 'POST', ':path': '/upload' }, { endStream: false })
  sending.on('error', () => {})
  sending.write(Buffer.alloc(10_000, 'u'))
  await vi.waitUntil(() => server.seen.includes('POST /upload'), 20_000)
  // Without an end of the stream before the reset, which `close` would send.
  sending.destroy()
  await vi.waitUntil(() => uploads.length > 0, 20_000)
  session.close()
  expect(uploads).toEqual(['aborted'])
  const outcomes = find(await it.events(), 'http.request.result')
  expect(outcomes.map(({ http }) => [http.state, http.by])).toEqual([
    ['cut', 'client'],
    ['cancelled', 'client'],
  ])
  expect(outcomes[0].http.request).toEqual({ bytes: 0 })
  expect(outcomes[0].http.response.isComplete).toBe(false)
  expect(outcomes[1].http.request.isComplete).toBe(false)
})

test('HTTP/2: an upload that is answered before its end does not stay open', async () => {
  const server = await serve((_, res) => void res.writeHead(413).end('too large'))
  onTestFinished(() => server.close())
  const it = await begin(server.url, { listen: { port: 0, tls } })
  const session = connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  const sending = session.request({ ':method': 'POST', ':path': '/upload' }, { endStream: false })
  sending.write('a part')
  const [answer] = await once(sending, 'response')
  expect(answer[':status']).toBe(413)
  expect(Buffer.concat(await sending.toArray()).toString()).toBe('too large')
  await vi.waitUntil(() => sending.closed, 20_000)
  expect(sending.rstCode).toBe(constants.NGHTTP2_NO_ERROR)
  session.close()
  const [outcome] = find(await it.events(), 'http.request.result')
  expect(outcome.http).toMatchObject({ state: 'answered', status: 413, request: { bytes: 6, isComplete: false } })
})

test('a connection of HTTP/2 without a request is ended in time, one with a request goes on', async () => {
  let answer: () => void = () => {}
  const server = await serve((_, res) => {
    answer = () => res.end('late')
  })
  const it = await begin(server.url, { listen: { port: 0, tls }, limits: { headersMs: 200 } })
  const open = () => connect(it.url, { ca: pem('ca.crt'), servername: 'localhost' })
  const [idle, busy] = [open(), open()]
  const asked = ask(busy, { ':path': '/slow' })
  // Headers that do not end are no request yet.
  const half = tlsConnect({
    port: Number(new URL(it.url).port),
    ca: pem('ca.crt'),
    servername: 'localhost',
    ALPNProtocols: ['h2'],
  })
  half.on('error', () => {}).resume()
  half.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  half.write(Buffer.from('000000040000000000' + '000001010100000001' + '82', 'hex'))
  await vi.waitUntil(() => idle.closed && half.closed, 20_000)
  expect(busy.closed).toBe(false)
  answer()
  expect(await asked).toMatchObject({ status: 200, text: 'late' })
  busy.close()
  server.close()
})

test('the certificate of the server is held against its own name, whatever host the client asks for', async () => {
  const names: string[] = []
  const server = createServer({ key: pem('proxy.key'), cert: pem('proxy.crt') }, (req, res) =>
    res.end(req.headers.host),
  )
  server.on('secureConnection', (socket) => names.push(`${socket.servername}`))
  await once(server.listen(0, 'localhost'), 'listening')
  const { port } = server.address() as AddressInfo
  const ask = (url: string, host: string, more = '') =>
    raw(url, `GET / HTTP/1.1\r\nHost: ${host}\r\n${more || 'Connection: close\r\n'}\r\n`)
  const it = await begin({ url: `https://localhost:${port}`, ca: tls.clientCa })
  for (const host of ['api.test', 'www.api.test']) expect(await ask(it.url, host)).toContain(`\r\n\r\n${host}`)
  expect(await ask(it.url, 'api.test', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')).toContain(' 200 ')
  // One connection for both hosts: the bound on them is for all together.
  expect(names).toEqual(['localhost', 'localhost'])
  // Not even where the client names who the certificate is for.
  const other = await begin({ url: `https://127.0.0.1:${port}`, ca: tls.clientCa })
  expect(await ask(other.url, 'localhost')).toContain('"http_upstream_unreachable"')
  const named = await begin({ url: `https://127.0.0.1:${port}`, serverName: 'localhost', ca: tls.clientCa })
  expect(await ask(named.url, 'api.test')).toContain('\r\n\r\napi.test')
  server.close()
  server.closeAllConnections()
})
