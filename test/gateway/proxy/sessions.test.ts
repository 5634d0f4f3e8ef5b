import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startNode } from '../../support/processes.ts'
import { begin, configure, eventsIn, find, raw, serve, sha256 } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
let server: ReturnType<typeof createServer>
let url: string
/** What the server was sent behind the handshake, as bytes. */
let taken: Buffer[] = []

/** A websocket server: sends back each text and close frame of up to 125 bytes, unmasked. */
beforeAll(async () => {
  server = createServer((req, res) => res.writeHead(req.url === '/ws/no' ? 200 : 404).end('no websocket here'))
  server.on('upgrade', (req, socket: Socket, head) => {
    if (req.url === '/ws/refused')
      return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: a\r\n\r\nno')
    if (req.url === '/ws/first') {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst')
      return void socket.once('data', (chunk) => socket.end(`:${chunk}`))
    }
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    )
    taken = []
    let rest: Buffer = Buffer.alloc(0)
    const take = (chunk: Buffer) => {
      taken.push(chunk)
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 6 && rest.length >= 6 + (rest[1]! & 127)) {
        const [length, mask] = [rest[1]! & 127, rest.subarray(2, 6)]
        const payload = rest.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]!)
        socket.write(Buffer.concat([Buffer.from([rest[0]!, length]), payload]))
        if ((rest[0]! & 15) === 8) socket.end()
        rest = rest.subarray(6 + length)
      }
    }
    socket.on('error', () => {})
    if (head.length > 0) take(head)
    socket.on('data', take)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

test('a websocket is a session: its start before the server sees it, its end with sizes and hashes of both directions', async () => {
  const it = await begin(url, { routes: [{ route: 'GET /ws/:room', action: 'room.join', bodies: 'hash' }] })
  const socket = new WebSocket(`${it.url.replace('http', 'ws')}/ws/blue?key=1`)
  await once(socket, 'open')
  const texts = ['one', 'two', 'three']
  const told: string[] = []
  const all = new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => {
      if (told.push(data) === texts.length) resolve()
    }
  })
  for (const text of texts) socket.send(text)
  await all
  expect(told).toEqual(texts)
  socket.close(1000)
  await once(socket, 'close')
  const [start, end, ...more] = await it.events()
  expect(more).toEqual([])
  expect(start).toMatchObject({
    ...{ action: 'http.session.start', metadata: { path: '/ws/blue', queryNames: ['key'] } },
    http: { kind: 'intent', transport: 'websocket', route: 'GET /ws/:room', action: 'room.join' },
  })
  expect(end).toMatchObject({
    ...{ action: 'http.session.end', outcome: 'success' },
    http: { intent: start.id, state: 'ended', status: 101, fromClient: { sha256: sha256(Buffer.concat(taken)) } },
  })
  // Two bytes of header each, with the closing frame's status.
  expect(end.http.fromUpstream.bytes).toBe(texts.join('').length + 3 * 2 + 4)
  expect(end.targets.at(-1)).toEqual({ type: 'session', id: start.context.session })
})

test('what comes in one piece with the heads of a handshake goes on, both ways', async () => {
  const it = await begin(url)
  const head = 'GET /ws/first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  expect(await raw(it.url, `${head}early`)).toMatch(/\r\n\r\nfirst:early$/)
  const [end] = find(await it.events(), 'http.session.end')
  expect(end.http).toMatchObject({ state: 'ended', fromClient: { bytes: 5 }, fromUpstream: { bytes: 11 } })
})

test('a client that is gone while its wish for a websocket waits for its turn ends nothing else', async () => {
  let socket: Socket | undefined
  const slow = await serve((req, res) => {
    if (req.url !== '/slow') return void res.end('here')
    res.once('close', () => socket!.emit('cancelled'))
    socket!.resetAndDestroy()
  })
  const it = await begin(slow.url)
  const faults: unknown[] = []
  const note = (error: unknown) => faults.push(error)
  process.prependListener('uncaughtException', note)
  onTestFinished(() => void process.off('uncaughtException', note))
  const { hostname, port, host } = new URL(it.url)
  socket = connect(Number(port), hostname)
  socket.write(
    `GET /slow HTTP/1.1\r\nHost: ${host}\r\n\r\nGET /ws/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  )
  await once(socket, 'cancelled')
  expect(await (await fetch(it.url)).text()).toBe('here')
  expect(faults).toEqual([])
  slow.close()
})

test('what is no websocket in the end: an answer goes back as it is, and a dead server is said', async () => {
  const it = await begin(url)
  const ask = async (to: string, path: string, more = '') => {
    const { hostname, port } = new URL(to)
    const socket = connect(Number(port), hostname)
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${more || 'websocket'}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    )
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (more !== '' && text.includes('here')) break
    }
    return text
  }
  expect(await ask(it.url, '/ws/refused')).toMatch(/^HTTP\/1\.1 403 [\s\S]*x-why: a\r\n[\s\S]*\r\n\r\nno$/i)
  // The wish for another protocol is not passed on: the request is one as any other.
  expect(await ask(it.url, '/ws/no', 'h2c')).toMatch(/^HTTP\/1\.1 200 [\s\S]*no websocket here/)
  const events = await it.events()
  const [[refused], [plain]] = [find(events, 'http.session.end'), find(events, 'http.request.result')]
  expect(refused).toMatchObject({ outcome: 'denied', http: { status: 403, fromUpstream: { bytes: 2 } } })
  expect(plain).toMatchObject({ http: { status: 200 } })
  const dead = await begin('http://127.0.0.1:9')
  expect(await ask(dead.url, '/ws/a')).toContain('"http_upstream_unreachable"')
  expect(find(await dead.events(), 'http.session.end')[0]).toMatchObject({
    outcome: 'failure',
    http: { state: 'refused' },
  })
})

test('server-sent events pass as they come; the end says how many bytes and who left', async () => {
  const sse = await serve((_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: one\n\n')
    sse.server.once('next', () => res.write('data: two\n\n'))
  })
  const it = await begin(sse.url, { routes: [{ route: 'GET /events', bodies: 'hash' }] })
  const stop = new AbortController()
  const answer = await fetch(`${it.url}/events`, { signal: stop.signal })
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  expect((await reader.read()).value).toBe('data: one\n\n')
  sse.server.emit('next')
  expect((await reader.read()).value).toBe('data: two\n\n')
  stop.abort()
  await reader.closed.catch(() => {})
  const [, end] = await it.events()
  expect(end).toMatchObject({
    outcome: 'success',
    http: {
      state: 'cut',
      by: 'client',
      response: { bytes: 22, sha256: sha256('data: one\n\ndata: two\n\n'), isComplete: false },
    },
  })
  sse.close()
})

test('killed between intent and outcome: the next start says that the outcome is unknown', async () => {
  const held = await serve((req) => void held.server.emit('seen', req.url))
  const { folder, config } = await configure(held.url, {
    routes: [{ route: 'DELETE /users/:id', action: 'user.delete' }],
  })
  const file = join(folder, 'http.json')
  writeFileSync(file, JSON.stringify(config))
  const start = async () => {
    const child = await startNode([MAIN, 'http', '--config', file])
    return { child, at: (await child.printed(/listens on (\S+)/))[1]! }
  }
  const first = await start()
  const seen = once(held.server, 'seen')
  const asked = fetch(`${first.at}/users/7`, { method: 'DELETE' }).catch(() => 'cut')
  await seen
  first.child.process.kill('SIGKILL')
  expect(await asked).toBe('cut')
  await first.child.exited
  const second = await start()
  second.child.process.kill('SIGTERM')
  await second.child.exited
  held.close()
  const [intent, unknown, ...more] = await eventsIn(folder)
  expect(more).toEqual([])
  expect(intent.action).toBe('user.delete')
  expect(unknown).toMatchObject({
    action: 'user.delete.result',
    http: { kind: 'outcome', state: 'unknown', intent: intent.id },
  })
  expect(unknown.outcome).toBeUndefined()
})
