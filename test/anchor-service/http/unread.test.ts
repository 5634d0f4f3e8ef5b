import { once } from 'node:events'
import { createServer, IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { boundUnread, type CutReason, share, weigh } from '../../../anchor-service/src/http/unread.ts'
import { READER, type TestService, testService } from '../support/service.ts'

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

/** A connection that has written `text`, and reads nothing until it is told to. */
async function dial(url: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
  sockets.push(socket)
  await once(socket, 'connect')
  socket.pause()
  socket.write(text)
  return socket
}

/** Everything that still comes, until the other side closes. */
async function readAll(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (part) => {
    text += part.toString('latin1')
  })
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
  return text
}

const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: killick\r\n${more}\r\n`
const answers = (text: string) => text.match(/HTTP\/1\.1 \d+ /g)?.length ?? 0

describe('of one connection', () => {
  let service: TestService
  beforeAll(async () => {
    service = await testService({ KILLICK_REQUEST_TIMEOUT_MS: '400' })
  })
  afterAll(() => service.stop())

  test('sixteen requests at a time are answered, in order', async () => {
    const socket = await dial(service.url, get('/v1/log').repeat(15) + get('/healthz', 'Connection: close\r\n'))
    const text = await readAll(socket)
    expect(answers(text)).toBe(16)
    expect(text).toMatch(/"status":"ok"\}$/)
  })

  test.each(['/v1/log', '/%zz', '/nowhere', '/tile/0/000', '/openapi.json'])('one more closes it: %s', async (path) => {
    const socket = await dial(service.url, get(path).repeat(1_000))
    expect(answers(await readAll(socket))).toBeLessThanOrEqual(16)
  })

  test('one after another, any number are answered', async () => {
    const socket = await dial(service.url, '')
    socket.resume()
    for (let i = 0; i < 40; i++) {
      socket.write(get('/healthz'))
      const [part] = await once(socket, 'data')
      expect(String(part)).toContain('200 OK')
    }
    expect(socket.destroyed).toBe(false)
  })

  test('a live tail that is read stays open, however long nothing happens', async () => {
    const socket = await dial(service.url, get('/v1/events/live', `Authorization: Bearer ${READER}\r\n`))
    socket.resume()
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    expect(socket.readyState).toBe('open')
  })
})

describe('what one connection asks for at once', () => {
  const servers: Server[] = []
  /** Requests that were parsed, and of those the paths that were handled. */
  let parsed = 0
  const handled: string[] = []
  class Counted extends IncomingMessage {
    constructor(socket: Socket) {
      super(socket)
      parsed++
    }
  }
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
    parsed = 0
    handled.length = 0
  })

  async function serve(handle: RequestListener): Promise<string> {
    const { guard } = boundUnread(1_000, () => {})
    const handler: RequestListener = (request, response) => {
      handled.push(request.url!)
      handle(request, response)
    }
    const server = createServer({ IncomingMessage: Counted }, guard(handler)).listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Answers with what was asked, when its body has arrived. */
  const echo: RequestListener = async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    response.end(`${request.method} ${request.url} ${body};`)
  }
  const post = (path: string, body: string, more = '') =>
    `${get(path, `Content-Length: ${body.length}\r\n${more}`)}${body}`.replace('GET', 'POST')
  const bodies = (text: string) => text.match(/(?<=\r\n\r\n)[A-Z]+ [^;]*(?=;)/g)
  const last = get('/last', 'Connection: close\r\n')

  test('is parsed no further once there is too much of it', async () => {
    const url = await serve(() => {})
    await readAll(await dial(url, get('/').repeat(1_000)))
    expect(handled).toEqual(['/'])
    // The next one is parsed and dropped.
    expect(parsed).toBe(18)
  })

  test('is handled when the answer before it has been sent, and answered in order', async () => {
    const responses: ServerResponse[] = []
    const url = await serve((request, response) => {
      if (request.url === '/last') response.end('GET /last ;')
      else responses.push(response)
    })
    const text = readAll(await dial(url, get('/1') + get('/2') + last))
    await expect.poll(() => parsed).toBe(3)
    expect(handled).toEqual(['/1'])
    responses.pop()!.end('GET /1 ;')
    await expect.poll(() => handled).toEqual(['/1', '/2'])
    responses.pop()!.end('GET /2 ;')
    expect(bodies(await text)).toEqual(['GET /1 ', 'GET /2 ', 'GET /last '])
  })

  test('has its bodies, large and small, whole and in chunks, those that are asked for first too', async () => {
    const large = 'a'.repeat(300_000)
    const chunked = `${get('/3', 'Transfer-Encoding: chunked\r\n').replace('GET', 'PUT')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`
    const eager = post('/4', 'eager', 'Expect: 100-continue\r\n')
    const url = await serve(echo)
    const text = await readAll(await dial(url, post('/1', 'small') + post('/2', large) + chunked + eager + last))
    expect(bodies(text)).toEqual(['POST /1 small', `POST /2 ${large}`, 'PUT /3 abcde', 'POST /4 eager', 'GET /last '])
    expect(text.match(/100 Continue/g)).toHaveLength(1)
  })

  test('may be a HEAD, an upgrade that is not made, a body that nobody reads', async () => {
    const url = await serve((request, response) => {
      response.setHeader('Content-Length', 12)
      response.end(`${request.method} ${request.url};`.padEnd(12).slice(0, 12))
    })
    const head = get('/1').replace('GET', 'HEAD')
    // Node parses nothing behind it.
    const upgrade = get('/3', 'Connection: Upgrade, close\r\nUpgrade: websocket\r\n')
    const text = await readAll(await dial(url, head + post('/2', 'a'.repeat(200_000)) + upgrade))
    expect(answers(text)).toBe(3)
    expect(bodies(text)).toEqual(['POST /2', 'GET /3'])
  })

  test.each([
    ['the answer that closes the connection', get('/1', 'Connection: close\r\n')],
    ['what is not HTTP', `${get('/1')}nonsense\r\n\r\n`],
  ])('is not handled behind %s', async (_, first) => {
    const url = await serve((_, response) => void setTimeout(() => response.end(), 20))
    const text = await readAll(await dial(url, first + get('/2')))
    expect(answers(text)).toBeGreaterThanOrEqual(1)
    expect(handled).toEqual(['/1'])
  })

  test('is not handled once its connection is gone', async () => {
    const responses: ServerResponse[] = []
    const url = await serve((_, response) => responses.push(response))
    const socket = await dial(url, get('/1').repeat(3))
    await expect.poll(() => parsed).toBe(3)
    socket.destroy()
    await once(responses[0]!, 'close')
    responses[0]!.end()
    await readAll(await dial(url, last).then((other) => other.end()))
    expect(handled).toEqual(['/1', '/last'])
  })

  test('of a body that breaks off, neither is what waits behind it', async () => {
    const errors: Error[] = []
    const url = await serve((request) => void request.on('error', (error) => errors.push(error)).resume())
    const socket = await dial(url, get('/1', 'Content-Length: 9\r\n').replace('GET', 'POST'))
    await expect.poll(() => handled).toEqual(['/1'])
    socket.destroy()
    await expect.poll(() => errors.length).toBe(1)
    expect(handled).toEqual(['/1'])
  })
})

describe('of answers that nobody reads', () => {
  const MEBIBYTE = 1024 * 1024
  // More than the kernel takes for a connection, so that the rest stays with the server.
  const SIZE = 12 * MEBIBYTE
  const limits = { requests: 16, address: 30 * MEBIBYTE, total: 55 * MEBIBYTE }
  const cuts: CutReason[] = []
  let [made, making] = [0, 0]
  async function* chunks() {
    making += 1
    try {
      for (; ; made += MEBIBYTE) yield Buffer.alloc(MEBIBYTE, 'a')
    } finally {
      making -= 1
    }
  }
  let app: FastifyInstance
  let url: string

  beforeAll(async () => {
    const unread = boundUnread(1_000, (reason) => cuts.push(reason), limits)
    app = Fastify({ serverFactory: (handle) => createServer(unread.guard(handle)), trustProxy: '127.0.0.1' })
    app.decorateRequest('role', null)
    unread.watch(app)
    const once = share(Buffer.alloc(SIZE, 'a'))
    app.get('/own', async () => Buffer.alloc(SIZE, 'a'))
    app.get('/shared', async () => once)
    app.get('/made', async () => weigh(Readable.from(chunks()), SIZE))
    url = await app.listen({ port: 0 })
  })
  afterAll(() => app.close())

  /** Asks as the client that a trusted proxy names. */
  const ask = (path: string, address: string) => dial(url, get(path, `X-Forwarded-For: ${address}\r\n`))
  const isOpen = (socket: Socket) => !socket.destroyed && socket.readyState === 'open'
  async function untilCut(n: number): Promise<void> {
    await expect.poll(() => cuts.length).toBe(n)
  }

  test('an address may leave so much; beyond, its oldest goes, and nobody else’s', async () => {
    cuts.length = 0
    const other = await ask('/own', '192.0.2.9')
    const own = [await ask('/own', '192.0.2.1'), await ask('/own', '192.0.2.1')]
    await new Promise((resolve) => setTimeout(resolve, 100))
    own.push(await ask('/own', '192.0.2.1'))
    await untilCut(1)
    expect(cuts).toEqual(['unread'])
    expect((await readAll(own[0]!)).length).toBeLessThan(SIZE)
    expect(isOpen(other)).toBe(true)
    // Who reads late, but in time, gets all of it.
    other.setEncoding('latin1')
    let size = 0
    other.on('data', (part) => {
      size += part.length
    })
    other.resume()
    await expect.poll(() => size).toBeGreaterThan(SIZE)
  })

  test('the addresses of one IPv6 network count as one', async () => {
    cuts.length = 0
    for (const i of [1, 2, 3]) await ask('/own', `2001:db8:1:2::${i}`)
    await untilCut(1)
  })

  test('all together may leave so much, from however many addresses', async () => {
    cuts.length = 0
    for (const i of [1, 2, 3, 4, 5]) await ask('/own', `198.51.100.${i}`)
    await expect.poll(() => cuts.length).toBeGreaterThanOrEqual(1)
    expect(cuts[0]).toBe('unread')
  })

  test('a body that is kept once for all is not counted for each', async () => {
    await expect.poll(() => new Promise((resolve) => app.server.getConnections((_, n) => resolve(n)))).toBe(0)
    cuts.length = 0
    for (const i of [1, 2, 3, 4, 5, 6]) await ask('/shared', `203.0.113.${i}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(cuts).toEqual([])
    // But who reads nothing of it is cut off in time.
    await untilCut(6)
    expect(new Set(cuts)).toEqual(new Set(['stalled']))
  })

  test('a body that is made while it is read waits for its reader, and counts with what it may hold', async () => {
    cuts.length = 0
    await ask('/made', '192.0.2.77')
    await ask('/made', '192.0.2.77')
    await expect.poll(() => making).toBe(2)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(made).toBeLessThan(2 * SIZE)
    await ask('/made', '192.0.2.77')
    await untilCut(1)
    expect(cuts).toEqual(['unread'])
    // Who reads nothing is cut off in time, and with it ends the making.
    await untilCut(3)
    expect(cuts.slice(1)).toEqual(['stalled', 'stalled'])
    await expect.poll(() => making).toBe(0)
    expect(made).toBeLessThan(3 * SIZE)
  })
})
