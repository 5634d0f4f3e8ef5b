import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { sparing } from '../../../gateway/src/sparing.ts'
import { begin, find, raw, serve } from './support.ts'

let upstream: Awaited<ReturnType<typeof serve>>
beforeAll(async () => {
  upstream = await serve()
})
afterAll(() => upstream.close())

const REFUSED: [what: string, request: string, code: string][] = [
  [
    'both lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'http_request_invalid',
  ],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'http_request_invalid',
  ],
  [
    'an unknown coding',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'http_request_invalid',
  ],
  [
    'gzip before chunked',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'http_request_invalid',
  ],
  [
    'chunks of HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'http_request_invalid',
  ],
  ['a space before the colon', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd', 'http_request_invalid'],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b: c\r\n\r\n', 'http_request_invalid'],
  ['a bare line feed', 'GET / HTTP/1.1\nHost: a\n\n', 'http_request_invalid'],
  [
    'a length that is no number',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd',
    'http_request_invalid',
  ],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 'http_request_invalid'],
  ['a path in the host', 'GET /x HTTP/1.1\r\nHost: a:80/admin?\r\nConnection: close\r\n\r\n', 'http_request_invalid'],
  ['a name before the host', 'GET /x HTTP/1.1\r\nHost: a@b\r\nConnection: close\r\n\r\n', 'http_request_invalid'],
  ['another host in the target', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 'http_request_invalid'],
  [
    'a connection that removes who asks',
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: close, authorization\r\n\r\n',
    'http_request_invalid',
  ],
  ['many headers', `GET / HTTP/1.1\r\nHost: a\r\n${'X: a\r\n'.repeat(300)}\r\n`, 'http_headers_too_large'],
  ['large headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 'http_headers_too_large'],
  ['a version that it does not have', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 'http_request_invalid'],
  ['no version', 'GET /\r\n\r\n', 'http_request_invalid'],
  ['no HTTP', 'SSH-2.0-x\r\n\r\n', 'http_request_invalid'],
]

test('shapes that smuggle a request, and heads beyond their bounds, are refused and not seen', async () => {
  const it = await begin(upstream.url)
  const before = upstream.seen.length
  const answers = await Promise.all(
    REFUSED.map(async ([what, request]) => [what, /"code":"(\w+)"/.exec(await raw(it.url, request))?.[1]]),
  )
  expect(answers.filter(([, code]) => code !== undefined)).toEqual(REFUSED.map(([what, , code]) => [what, code]))
  expect(upstream.seen.length).toBe(before)
})

test('a body of GET, and one of a chunked upload, stay one request on the way', async () => {
  const it = await begin(upstream.url)
  const before = upstream.seen.length
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const method of ['GET', 'DELETE', 'POST'])
    await raw(
      it.url,
      `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    )
  expect(upstream.seen.slice(before)).toEqual(['GET /', 'DELETE /', 'POST /'])
  expect(find(await it.events(), 'http.request.result').map(({ http }) => http.request.bytes)).toEqual(
    Array(3).fill(smuggled.length),
  )
})

test('a body of GET or DELETE is no request to a server that leaves it unread', async () => {
  const served: string[] = []
  // As Python's http.server: what stands behind a head is the next one, until the connection is to be closed.
  const server = createServer((socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk
      for (let end = text.indexOf('\r\n\r\n'); end >= 0 && !socket.writableEnded; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        served.push(head.split(' HTTP/')[0]!)
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        if (/^connection: close/im.test(head)) socket.end()
      }
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const it = await begin(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const method of ['GET', 'DELETE']) {
    const head = `${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${hidden.length}`
    expect(await raw(it.url, `${head}\r\n\r\n${hidden}`)).toMatch(/ 200 /)
  }
  expect(served).toEqual(['GET /', 'DELETE /'])
})

test('headers that never end are cut off in time, and so is a client that holds back its body', async () => {
  const it = await begin(upstream.url, { limits: { headersMs: 300, answerMs: 300 } })
  const before = upstream.seen.length
  expect(await raw(it.url, 'GET / HTTP/1.1\r\nHost: a\r\nX: ')).toContain('"http_timeout"')
  expect(upstream.seen.length).toBe(before)
  expect(await raw(it.url, 'POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')).toContain(
    '"http_timeout"',
  )
  const [outcome] = find(await it.events(), 'http.request.result')
  expect(outcome.http).toMatchObject({
    state: 'unknown',
    code: 'http_timeout',
    request: { bytes: 3, isComplete: false },
  })
  expect(outcome.outcome).toBeUndefined()
})

test('what is at fault behind a request is answered neither within its answer nor in its place', async () => {
  const server = await serve((req, res) => {
    if (req.url === '/part') res.writeHead(200, { 'content-length': 1_000 }).write('part')
  })
  onTestFinished(() => server.close())
  const it = await begin(server.url, { limits: { headersMs: 300 } })
  const behind = (path: string, what: string) => raw(it.url, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n${what}`)
  expect(await behind('/part', 'GET / HTTP/1.1\r\nHost: a\r\nX: ')).toMatch(/\r\n\r\npart$/)
  expect(await behind('/none', 'SSH-2.0-x\r\n\r\n')).toBe('')
})

test('a client that hangs up, and an upstream that does: said, and unknown is unknown', async () => {
  const server = await serve((req, res) => {
    if (req.url === '/slow') res.write('part')
    else if (req.url === '/broken') res.write('part', () => res.destroy())
    else if (req.url === '/dead') req.socket.destroy()
    else server.server.emit('asked')
  })
  const it = await begin(server.url)
  const { hostname, port } = new URL(it.url)
  const leave = async (path: string, when: (socket: ReturnType<typeof connect>) => Promise<unknown>) => {
    const socket = connect(Number(port), hostname)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await when(socket)
    socket.destroy()
  }
  const asked = once(server.server, 'asked')
  await leave('/silent', () => asked)
  await leave('/slow', (socket) => once(socket, 'data'))
  const broken = await fetch(`${it.url}/broken`)
  await expect(broken.text()).rejects.toThrow()
  const dead = await fetch(`${it.url}/dead`, { method: 'POST' })
  expect(await dead.json()).toMatchObject({ status: 502, code: 'http_upstream_broken' })
  const outcomes = find(await it.events(), 'http.request.result').map(({ http, outcome }) => [
    http.state,
    http.by,
    http.status,
    outcome,
  ])
  expect(outcomes.sort()).toEqual([
    ['cancelled', 'client', null, undefined],
    ['cut', 'client', 200, 'success'],
    ['cut', 'upstream', 200, undefined],
    ['unknown', 'upstream', null, undefined],
  ])
  server.close()
})

test('an upstream that changes protocols although nobody asked for it is broken', async () => {
  const server = await serve((req) => {
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: h2c', '', '']
    req.socket.write(lines.join('\r\n'))
  })
  const it = await begin(server.url, { limits: { graceMs: 0 } })
  for (const method of ['GET', 'POST']) {
    const changed = await fetch(it.url, { method, signal: AbortSignal.timeout(20_000) })
    expect(await changed.json()).toMatchObject({ status: 502, code: 'http_upstream_broken' })
  }
  // A wish for a websocket is none for another protocol.
  const socket = await begin(await scripted('HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nhello'))
  expect(await raw(socket.url, `GET / HTTP/1.1\r\nHost: a\r\n${WEBSOCKET}\r\n`)).toContain('"http_upstream_broken"')
  const ended = [...find(await it.events(), 'http.request.result'), ...find(await socket.events(), 'http.session.end')]
  expect(ended.map(({ http }) => [http.state, http.by, http.status])).toEqual(
    Array(3).fill(['unknown', 'upstream', null]),
  )
  server.close()
})

test('a connection of the pool that the upstream has closed costs no request that may be asked twice', async () => {
  const server = await serve((_req, res) => res.end('ok'))
  server.server.keepAliveTimeout = 1
  const it = await begin(server.url)
  for (let i = 0; i < 3; i++) {
    expect((await fetch(it.url)).status).toBe(200)
    server.server.closeIdleConnections()
  }
  server.close()
})

/** A server that answers each connection with these bytes as soon as it is asked. */
async function scripted(bytes: string) {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.write(bytes, 'latin1'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const WEBSOCKET = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'

test.each([
  ['a line with a control character', 'HTTP/1.1 403 a\x01b'],
  ['a status that is none', 'HTTP/1.1 099 x'],
])('an upstream that answers with %s is broken, with and without a wish for a websocket', async (_, line) => {
  const it = await begin(await scripted(`${line}\r\nContent-Length: 2\r\n\r\nno`))
  for (const wish of ['', WEBSOCKET])
    expect(await raw(it.url, `GET / HTTP/1.1\r\nHost: a\r\n${wish || 'Connection: close\r\n'}\r\n`)).toMatch(
      /^HTTP\/1\.1 502 Bad Gateway\r\n[\s\S]*"http_upstream_broken"/,
    )
  const events = await it.events()
  for (const action of ['http.request.result', 'http.session.end'])
    expect(find(events, action)).toMatchObject([{ http: { state: 'cut', by: 'upstream' } }])
  expect(find(events, 'http.session.end')[0].outcome).toBe(find(events, 'http.request.result')[0].outcome)
})

test('a body behind an answer that has none is left out, and the answer is whole', async () => {
  const it = await begin(await scripted('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'))
  const answer = await raw(it.url, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 204 No Content\r\n/)
  expect(answer).not.toMatch(/content-length|hello/i)
  expect(find(await it.events(), 'http.request.result')).toMatchObject([{ http: { state: 'answered', status: 204 } }])
})

test('an answer with very many headers goes back with all of them', async () => {
  const head = `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(1_500)}X-Last: 1\r\nContent-Length: 2\r\n\r\nok`
  const it = await begin(await scripted(head))
  const answer = await raw(it.url, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  expect(answer).toMatch(/\r\nx-last: 1\r\ncontent-length: 2\r\n/)
  expect(answer.match(/\r\na: b/g)).toHaveLength(1_500)
})

test('CONNECT is answered, and the connection ends', async () => {
  const it = await begin(upstream.url)
  expect(await raw(it.url, 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n')).toMatch(
    /^HTTP\/1\.1 501 [\s\S]*"code":"http_method_unsupported"/,
  )
  // Behind a request that has no answer yet, which Node takes for a fault of the program.
  await raw(it.url, 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n')
  expect((await fetch(it.url)).status).toBe(200)
  const asked = find(await it.events(), 'http.request').map(({ metadata }) => metadata.path)
  expect(asked).toEqual(['/slow', '/'])
})

test('a flood of one line hides no other, and how many were left out is said', () => {
  vi.useFakeTimers()
  try {
    const said: string[] = []
    const say = sparing((text) => said.push(text))
    for (let i = 0; i < 1000; i++) say(`a request failed: ${i}`)
    say('TLS: the certificate ends tomorrow')
    expect(said).toHaveLength(21)
    expect(said.at(-1)).toBe('TLS: the certificate ends tomorrow')
    vi.advanceTimersByTime(10_000)
    expect(said.slice(21)).toEqual(['980 more lines that begin with "a request failed:" were left out'])
    say('a request failed: again')
    expect(said.at(-1)).toBe('a request failed: again')
  } finally {
    vi.useRealTimers()
  }
})
