// The recorder between clients and servers that are reached over HTTP: the official ones, and a server that a test tells what to do.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { checkMcpConfig, type McpHttpRecorder, recordHttp } from '@killick/gateway'
import type { JsonObject } from '@killick/sdk/core'
import { expect, onTestFinished, test, vi } from 'vitest'
import { freePort } from '../../../scripts/lib/free-port.ts'
import { installMcpTools } from './install.ts'
import { actions, find, type Told, told, type World, world } from './support.ts'

const REVISION = '2026-07-28'
const META = {
  'io.modelcontextprotocol/protocolVersion': REVISION,
  'io.modelcontextprotocol/clientInfo': { name: 'stateless', version: '3' },
}

/** A recorder in this process, in front of a server. */
async function record(it: World, upstream: string, settings: JsonObject = {}): Promise<McpHttpRecorder> {
  const http = { listen: '127.0.0.1:0', upstream, ...(settings.http as JsonObject) }
  const recorder = await recordHttp(checkMcpConfig({ ...it.settings, ...settings, http }, it.folder), () => {})
  onTestFinished(() => recorder.close())
  return recorder
}

type Seen = { method: string; headers: IncomingMessage['headers']; body: string }

/** A server whose answers are those of `answer`. */
async function serve(
  answer: (seen: Seen, res: ServerResponse) => void,
): Promise<{ url: string; seen: Seen[]; server: Server }> {
  const seen: Seen[] = []
  const server = createServer(async (req, res) => {
    const each = { method: req.method!, headers: req.headers, body: await text(req) }
    seen.push(each)
    answer(each, res)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close(() => {}).closeAllConnections())
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}/mcp`, seen, server }
}

const calling = (name: string, args: object = {}, id: number | string = 1) => ({
  ...{ jsonrpc: '2.0', id, method: 'tools/call' },
  params: { name, arguments: args, _meta: META },
})
const mirrored = (name: string) => ({ 'mcp-protocol-version': REVISION, 'mcp-method': 'tools/call', 'mcp-name': name })
const json = (res: ServerResponse, body: object, status = 200) =>
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const answered = (id: Told, words: string) => ({
  jsonrpc: '2.0',
  id,
  result: { content: [{ type: 'text', text: words }], resultType: 'complete' },
})

async function post(url: string, message: object | string, headers: Record<string, string> = {}, signal?: AbortSignal) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: typeof message === 'string' ? message : JSON.stringify(message),
    ...(signal && { signal }),
  })
  const body = await response.text()
  return {
    status: response.status,
    body,
    json: response.headers.get('content-type')?.includes('json') ? JSON.parse(body) : null,
  }
}

test('the official client and server-everything: the same through the recorder as without it', async ({ skip }) => {
  const tools = installMcpTools()
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const load = (path: string) => import(pathToFileURL(join(tools, 'sdk/dist/esm', path)).href)
  const sdk: Told = {
    ...(await load('client/index.js')),
    ...(await load('client/streamableHttp.js')),
    ...(await load('types.js')),
  }
  const port = await freePort()
  const server = spawn(process.execPath, [join(tools, 'server-everything/dist/index.js'), 'streamableHttp'], {
    env: { PATH: process.env.PATH!, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  onTestFinished(() => void server.kill())
  for await (const line of createInterface({ input: server.stderr })) if (line.includes(`port ${port}`)) break
  const drive = async (url: string) => {
    const asked: Told[] = []
    const progress: number[] = []
    const client = new sdk.Client(
      { name: 'official', version: '1.0.0' },
      { capabilities: { sampling: {}, elicitation: {} } },
    )
    client.setRequestHandler(sdk.CreateMessageRequestSchema, async ({ params }: Told) => {
      asked.push(params.messages)
      return { model: 'none', role: 'assistant', content: { type: 'text', text: 'Four.' } }
    })
    const transport = new sdk.StreamableHTTPClientTransport(new URL(url))
    await client.connect(transport)
    const call = (name: string, args: object = {}, more: object = {}) =>
      client.callTool({ name, arguments: args }, undefined, more)
    const saw = [
      await client.listTools(),
      await call('echo', { message: 'hello' }),
      await call('get-sum', { a: 'two' }),
      await call('get-tiny-image'),
      await call('trigger-sampling-request', { prompt: 'Two and two?', maxTokens: 9 }),
      await call(
        'trigger-long-running-operation',
        { duration: 0.05, steps: 5 },
        { onprogress: (each: Told) => void progress.push(each.progress) },
      ),
      progress.slice(0, 4),
      await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Chicago' } }),
      await client.readResource({ uri: 'nowhere://at/all' }).catch(({ code, message }: Told) => ({ code, message })),
    ]
    const about = [client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()]
    await transport.terminateSession()
    await client.close()
    return { saw, asked, about }
  }
  const it = await world()
  const upstream = `http://127.0.0.1:${port}/mcp`
  const recorder = await record(it, upstream)
  const [without, through] = await Promise.all([drive(upstream), drive(recorder.url)])
  expect(through).toEqual(without)
  expect(through.asked).toHaveLength(1)
  await recorder.close()
  const events = await it.events()
  expect(actions(events)).toEqual(
    expect.arrayContaining([
      ...['mcp.session.start', 'mcp.initialize', 'mcp.tools.list', 'mcp.sampling.createMessage.result'],
      ...['mcp.prompts.get.result', 'mcp.resources.read.result', 'mcp.session.end'],
    ]),
  )
  const calls = find(events, 'mcp.tools.call').map(({ mcp }) => mcp.requestId)
  expect(calls).toHaveLength(5)
  expect(
    find(events, 'mcp.tools.call.result')
      .map(({ mcp }) => mcp.requestId)
      .sort(),
  ).toEqual(calls.sort())
  expect(new Set(events.map(({ fields }) => (fields.context as Told).session)).size).toBe(1)
  expect(told(events.at(-1)!)).toMatchObject({ action: 'mcp.session.end', mcp: { by: 'client', unrecorded: 0 } })
})

test('the stateless revision: each answer with its own request, whatever their ids', async () => {
  const { url, seen } = await serve(({ body }, res) => {
    const { id, params } = JSON.parse(body)
    if (params.name === 'stream') {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(': keep alive\n\n')
      res.write(
        `event: message\r\ndata: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: {} })}\r\n\r\n`,
      )
      res.end(`data: ${JSON.stringify(answered(id, 'streamed'))}\n\n`)
    } else if (params.name === 'error')
      json(res, { jsonrpc: '2.0', id, error: { code: -32601, message: 'no such tool' } }, 404)
    else json(res, answered(id, params.arguments.say))
  })
  const it = await world({ policy: { deny: ['rm_*'] } })
  const recorder = await record(it, url)
  const say = (word: string) =>
    post(recorder.url, calling('say', { say: word }, 7), { ...mirrored('say'), constructor: 'mine' })
  // Two at once with one id.
  const [one, two] = await Promise.all([say('one'), say('two')])
  expect([one.json.result.content[0].text, two.json.result.content[0].text]).toEqual(['one', 'two'])
  const streamed = await post(recorder.url, calling('stream'), mirrored('stream'))
  expect(streamed.body).toMatch(/^: keep alive\n\nevent: message\r\ndata: .*\r\n\r\ndata: .*streamed.*\n\n$/)
  expect(await post(recorder.url, calling('error'), mirrored('error'))).toMatchObject({
    status: 404,
    json: { error: { code: -32601 } },
  })
  const denied = await post(recorder.url, calling('rm_all'), mirrored('rm_all'))
  expect(denied).toMatchObject({ status: 200, json: { result: { isError: true, resultType: 'complete' } } })
  // White space between tokens is no end of a line here.
  const pretty = JSON.stringify(calling('say', { say: 'pretty' }), null, 2).replaceAll('\n', '\r\n')
  expect((await post(recorder.url, pretty)).json.result.content[0].text).toBe('pretty')
  expect(seen.map(({ body }) => JSON.parse(body).params.name)).toEqual(['say', 'say', 'stream', 'error', 'say'])
  expect(seen.at(-1)!.body).toBe(pretty)
  expect(seen[0]!.headers).toMatchObject({ 'mcp-method': 'tools/call', 'mcp-name': 'say', host: new URL(url).host })
  expect(seen[0]!.headers).toHaveProperty('constructor', 'mine')
  await recorder.close()

  const events = await it.events()
  const intents = new Map(events.map((event) => [event.id, told(event)]))
  const results = find(events, 'mcp.tools.call.result')
  expect(results.map(({ outcome }) => outcome)).toEqual(['success', 'success', 'success', 'failure', 'success'])
  for (const { result, mcp } of results.slice(0, 2))
    expect(intents.get(mcp.intent)!.args.say).toBe(result.content[0].text)
  expect(find(events, 'mcp.tools.call').at(-2)).toMatchObject({ outcome: 'denied' })
  const starts = find(events, 'mcp.session.start')
  expect(starts).toHaveLength(1)
  expect(starts[0]).toMatchObject({ metadata: { url, transport: 'http', address: '127.0.0.1' } })
  expect(told(events.at(-1)!)).toMatchObject({
    action: 'mcp.session.end',
    actor: { id: 'stateless' },
    mcp: { by: 'signal' },
  })
})

test('headers that contradict the body, and requests of strangers, go no further', async () => {
  const { url, seen } = await serve(({ body }, res) => json(res, answered(JSON.parse(body).id, 'seen')))
  const it = await world()
  const recorder = await record(it, url)
  const name = 'größe'
  const encoded = `=?base64?${Buffer.from(name).toString('base64')}?=`
  for (const headers of [
    { ...mirrored('other') },
    { ...mirrored('tool'), 'mcp-method': 'tools/list' },
    { ...mirrored('tool'), 'mcp-protocol-version': '2025-11-25' },
    { ...mirrored('tool'), 'mcp-name': encoded },
    { ...mirrored('tool'), 'mcp-name': '=?base64?dG9vbA?=' },
    // What it says in UTF-8 is not what such a server reads.
    { ...mirrored('tool'), 'content-type': 'application/json; charset=utf-7' },
    { ...mirrored('tool'), 'content-type': 'application/json; charset=utf-8; Charset = "UTF-16"' },
    { ...mirrored('tool'), 'content-encoding': 'br' },
  ])
    expect(await post(recorder.url, calling('tool'), headers)).toMatchObject({
      status: 400,
      json: { id: 1, error: { code: -32020, data: { code: 'mcp_header_mismatch' } } },
    })
  expect(await post(recorder.url, '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}')).toMatchObject({
    status: 400,
    json: { error: { code: -32700 } },
  })
  expect(await post(recorder.url, calling('tool'), { origin: 'https://evil.example' })).toMatchObject({
    status: 403,
    json: { error: { data: { code: 'mcp_origin_refused' } } },
  })
  expect(await rebound(recorder.url)).toBe(403)
  const type = 'application/json'
  for (const headers of [
    { 'content-type': type, 'mcp-session-id': ['one', 'two'] },
    ['Content-Type', type, 'Authorization', 'Bearer one', 'Authorization', 'Bearer two', 'Host', '127.0.0.1'],
    ['Content-Type', type, 'Content-Type', `${type}; charset=utf-16`, 'Host', '127.0.0.1'],
  ]) {
    const asked = request(recorder.url, { method: 'POST', headers } as object)
    asked.end(JSON.stringify(calling('tool')))
    const [reply] = await once(asked, 'response')
    expect([reply.statusCode, await text(reply)]).toEqual([400, expect.stringContaining('more than once')])
  }
  // Whose session it would be here, and the server would not see it.
  for (const named of ['keep-alive, Mcp-Session-Id', 'authorization', 'content-type']) {
    const headers = { 'content-type': type, 'mcp-session-id': 'one', connection: named }
    const asked = request(recorder.url, { method: 'POST', headers })
    asked.end(JSON.stringify(calling('tool')))
    const [reply] = await once(asked, 'response')
    expect([reply.statusCode, await text(reply)]).toEqual([400, expect.stringContaining('The header connection names')])
  }
  const nowhere = request(recorder.url, { method: 'POST', path: '//' }).end('{}')
  expect((await once(nowhere, 'response'))[0].statusCode).toBe(404)
  expect(seen).toEqual([])
  expect(await post(recorder.url, calling(name), { ...mirrored(''), 'mcp-name': encoded })).toMatchObject({
    status: 200,
  })
  expect(await post(recorder.url, calling('tool'), { origin: 'http://localhost:3000' })).toMatchObject({ status: 200 })
  for (const type of ['application/json; charset="UTF-8"', 'application/json;charset=utf-8'])
    expect(await post(recorder.url, calling('tool'), { 'content-type': type })).toMatchObject({ status: 200 })
  await recorder.close()
  const invalid = find(await it.events(), 'mcp.message.invalid')
  expect(invalid.map(({ mcp }) => mcp.code ?? mcp.why)).toEqual([
    ...Array(8).fill('mcp_header_mismatch'),
    expect.stringMatching(/twice/),
  ])
})

/** What a page gets whose name was made to point to this machine. */
const rebound = (url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const asked = request(url, { method: 'POST', headers: { host: 'evil.example:80' } }, (reply) => {
      reply.resume()
      resolve(reply.statusCode!)
    })
    asked.on('error', reject).end('{}')
  })

test('the body of a request that carries no message is not passed on, and neither is its length', async () => {
  const server = createServer((req, res) => {
    seen.push(`${req.method} ${req.url} ${req.headers['content-length'] ?? 'none'}`)
    // As servers do that want no such request: it does not wait for the body.
    if (req.method !== 'POST') res.writeHead(405).end()
    else req.resume().once('end', () => json(res, answered(1, 'done')))
  })
  const seen: string[] = []
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close(() => {}).closeAllConnections())
  const it = await world()
  const { url } = await record(it, `http://127.0.0.1:${(server.address() as { port: number }).port}/mcp`)
  const body = JSON.stringify(calling('echo'))
  for (const method of ['GET', 'DELETE', 'OPTIONS']) {
    const asked = request(url, { method, headers: { 'content-length': 60 } })
    asked.end('x'.repeat(60))
    const [reply] = (await once(asked, 'response')) as [IncomingMessage]
    expect([reply.statusCode, await text(reply)]).toEqual([405, ''])
    // Over the same connection to the server: what it reads next must be this.
    expect((await post(url, body, mirrored('echo'))).json).toMatchObject({ id: 1, result: {} })
  }
  expect(seen).toEqual(
    ['GET', 'DELETE', 'OPTIONS'].flatMap((method) => [`${method} /mcp none`, `POST /mcp ${body.length}`]),
  )
})

test('in a stream of events, what only some readers take for a message is recorded too', async () => {
  const answer = (id: number) => `data: ${JSON.stringify(answered(id, 'done'))}`
  const streams = [
    // Every reader of the standard leaves out a byte order mark; that of Go takes what has no blank line behind it.
    `\ufeff${answer(1)}\n\n`,
    `: hello\n\n${answer(2)}\n`,
    `\ufeff${answer(3)}`,
  ]
  const { url: upstream } = await serve(({ body }, res) =>
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end(streams[JSON.parse(body).id - 1]),
  )
  const it = await world()
  const { url, close } = await record(it, upstream)
  for (const [i, stream] of streams.entries()) {
    const reply = await fetch(url, { method: 'POST', body: JSON.stringify(calling('echo', {}, i + 1)) })
    expect(Buffer.from(await reply.arrayBuffer()).toString()).toBe(stream)
  }
  await close()
  const results = find(await it.events(), 'mcp.tools.call.result')
  expect(results.map(({ mcp, outcome }) => [mcp.requestId, mcp.state, outcome])).toEqual([
    [1, 'answered', 'success'],
    [2, 'answered', 'success'],
    [3, 'answered', 'success'],
  ])
})

test('a client that leaves, a server that breaks off, and one that is not there', async () => {
  const { url, server } = await serve(({ body }, res) => {
    if (JSON.parse(body).params.name === 'break') res.destroy()
    else if (JSON.parse(body).params.name === 'silent') json(res, {}, 202)
  })
  const it = await world()
  const recorder = await record(it, url)
  const leave = new AbortController()
  const left = post(recorder.url, calling('wait'), {}, leave.signal).catch(() => 'left')
  await vi.waitUntil(
    async () => new Promise<number>((resolve) => server.getConnections((_, n) => resolve(n))).then((n) => n > 0),
    20_000,
  )
  leave.abort()
  expect(await left).toBe('left')
  expect(await post(recorder.url, calling('break'))).toMatchObject({ status: 502, json: { error: { code: -31004 } } })
  await new Promise((resolve) => server.close(resolve).closeAllConnections())
  expect(await post(recorder.url, calling('none'))).toMatchObject({ status: 502 })
  await recorder.close()
  const results = find(await it.events(), 'mcp.tools.call.result').map(({ targets, outcome, mcp }) => [
    targets[0].id,
    outcome,
    mcp.state,
  ])
  expect(results.sort()).toEqual([
    ['break', undefined, 'unknown'],
    ['none', 'failure', 'refused'],
    ['wait', undefined, 'cancelled'],
  ])
})

test('an answer that a client comes back for is the outcome of its request, also where the server broke off', async () => {
  const { url } = await serve(({ method, body, headers }, res) => {
    const { id, method: asked, params } = method === 'POST' ? JSON.parse(body) : { id: 2 }
    if (asked === 'initialize') return json(res.setHeader('mcp-session-id', 's1'), { jsonrpc: '2.0', id, result: {} })
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    if (headers['last-event-id'] === 'e1') return res.end(`id: e2\ndata: ${JSON.stringify(answered(id, 'late'))}\n\n`)
    res.write(params.name === 'resumed' ? 'id: e1\ndata:\n\n' : ': no id\n\n', () => res.destroy())
  })
  const it = await world()
  const recorder = await record(it, url)
  await post(recorder.url, { jsonrpc: '2.0', id: 0, method: 'initialize', params: {} })
  const session = { 'mcp-session-id': 's1' }
  await post(recorder.url, calling('lost', {}, 1), session).catch(() => {})
  await post(recorder.url, calling('resumed', {}, 2), session).catch(() => {})
  const resumed = await fetch(recorder.url, { headers: { ...session, 'last-event-id': 'e1' } })
  expect(await resumed.text()).toContain('late')
  await recorder.close()
  const events = await it.events()
  expect(
    find(events, 'mcp.tools.call.result').map(({ targets, outcome, mcp }) => [targets[0].id, outcome, mcp.state]),
  ).toEqual([
    ['lost', undefined, 'unknown'],
    ['resumed', 'success', 'answered'],
  ])
  expect(actions(events)).not.toContain('mcp.answer.unmatched')
})

test('a stranger with the id of a session, whom the server refuses, neither speaks in it nor ends it', async () => {
  const asks = { jsonrpc: '2.0', id: 's', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1 } }
  let finish: () => void = () => {}
  const { url } = await serve(({ body, headers }, res) => {
    const { id, method, params } = JSON.parse(body)
    const begun = headers.authorization === 'Bearer stranger' ? 's2' : 's1'
    if (method === 'initialize') return json(res.setHeader('mcp-session-id', begun), { jsonrpc: '2.0', id, result: {} })
    if (headers.authorization === 'Bearer stranger')
      return json(res, { jsonrpc: '2.0', id: null, error: {} }, id === 1 ? 401 : 404)
    if (params?.name !== 'slow') return id === 's' ? res.writeHead(202).end() : json(res, answered(id, 'quick'))
    res.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${JSON.stringify(asks)}\n\n`)
    finish = () => res.end(`data: ${JSON.stringify(answered(id, 'slow'))}\n\n`)
  })
  const it = await world()
  const recorder = await record(it, url)
  const by = (token: string, scheme = 'Bearer') => ({ authorization: `${scheme} ${token}`, 'mcp-session-id': 's1' })
  const call = (name: string, id: number) => ({ ...{ jsonrpc: '2.0', id, method: 'tools/call' }, params: { name } })
  const sampled = (words: string) => ({ jsonrpc: '2.0', id: 's', result: { content: { type: 'text', text: words } } })
  const params = { clientInfo: { name: 'alice' } }
  const headers = { authorization: 'Bearer alice', 'mcp-session-id': '' }
  await post(recorder.url, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, headers)
  const slow = await fetch(recorder.url, {
    method: 'POST',
    headers: by('alice'),
    body: JSON.stringify(call('slow', 1)),
  })
  const cancels = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }
  // The server begins another session, whatever id comes with that: it has not taken it.
  const begins = { jsonrpc: '2.0', id: 0, method: 'initialize', params: {} }
  expect((await post(recorder.url, begins, by('stranger'))).status).toBe(200)
  for (const message of [sampled('forged'), cancels, call('delete', 1)])
    expect((await post(recorder.url, message, by('stranger'))).status).toBeGreaterThan(400)
  await post(recorder.url, sampled('true'), by('alice'))
  finish()
  expect(await slow.text()).toContain('slow')
  // A token that the client was given since: at first it could be anybody's.
  for (const id of [2, 3]) await post(recorder.url, call('quick', id), by('renewed'))
  const again = { method: 'POST', headers: by('renewed again'), body: JSON.stringify(call('slow', 6)) }
  const renewed = await fetch(recorder.url, again)
  await post(recorder.url, sampled('renewed'), by('renewed again'))
  finish()
  await renewed.text()
  // Of what signs each request anew only the scheme stays.
  for (const id of [4, 5]) await post(recorder.url, call('signed', id), by(`Signature=${id}`, 'AWS4-HMAC-SHA256'))
  await recorder.close()

  const events = await it.events()
  expect(find(events, 'mcp.sampling.createMessage.result')).toMatchObject([
    { outcome: 'success', result: { content: { text: 'true' } } },
    { outcome: 'success', result: { content: { text: 'renewed' } } },
  ])
  const sessions = [...new Set(events.map(({ fields }) => (fields.context as Told).session))]
  expect(
    find(events, 'mcp.tools.call.result')
      .map(({ targets, actor, outcome, context }) => [
        ...[targets[0].id, actor.id, outcome, sessions.indexOf(context.session) === 0],
      ])
      .sort(),
    // The recorder may be told that an answer has ended after its client was.
  ).toEqual([
    ['delete', 'unidentified', 'failure', false],
    ['quick', 'alice', 'success', true],
    ['quick', 'unidentified', 'success', false],
    ['signed', 'alice', 'success', true],
    ['signed', 'unidentified', 'success', false],
    ['slow', 'alice', 'success', true],
    ['slow', 'unidentified', 'success', false],
  ])
  const ends = find(events, 'mcp.session.end')
  expect(ends.find(({ context }) => context.session === sessions[0]).mcp.by).toBe('signal')
  // Each refusal ended the stranger's.
  expect(ends.filter(({ mcp }) => mcp.by === 'server')).toHaveLength(3)
})

test('a server that changes protocols although nobody asked for it has broken off', async () => {
  const { url } = await serve((_, { socket }) => {
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: h2c', '', '']
    socket!.write(lines.join('\r\n'))
  })
  const it = await world()
  const recorder = await record(it, url)
  const late = AbortSignal.timeout(20_000)
  expect(await post(recorder.url, calling('change'), {}, late)).toMatchObject({
    ...{ status: 502, json: { error: { code: -31004 } } },
  })
  expect((await fetch(recorder.url, { signal: late })).status).toBe(502)
  await recorder.close()
  const [result] = find(await it.events(), 'mcp.tools.call.result')
  expect(result.mcp).toMatchObject({ state: 'unknown', why: 'connection_lost' })
})

test('a client that does not read its answer keeps the server from sending on', async () => {
  const it = await world()
  const [size, chunk] = [64 << 20, Buffer.alloc(1 << 16)]
  let sent = 0
  const { url } = await serve(async (_, res) => {
    res.writeHead(200, { 'content-type': 'text/plain' })
    for (; sent < size && !res.destroyed; sent += chunk.length)
      if (!res.write(chunk)) await Promise.race([once(res, 'drain'), once(res, 'close')])
    res.end()
  })
  const recorder = await record(it, url)
  const asked = request(recorder.url, { headers: { accept: 'text/event-stream' } }).end()
  asked.on('error', () => {})
  onTestFinished(() => void asked.destroy())
  await once(asked, 'response')
  let before = -1
  await vi.waitUntil(
    () => {
      const isStill = sent === before
      before = sent
      return isStill
    },
    { timeout: 20_000, interval: 300 },
  )
  expect(sent).toBeLessThan(size / 2)
})

test('strict: what cannot be recorded is not passed on', async () => {
  const { url, seen } = await serve(({ body }, res) => json(res, answered(JSON.parse(body).id, 'seen')))
  const it = await world({ limits: { spoolBytes: 1 << 20, spoolWaitMs: 1, discloseBytes: 96 << 10 } })
  const recorder = await record(it, url)
  expect(await post(recorder.url, calling('first'))).toMatchObject({ status: 200 })
  const fill = async () => (await post(recorder.url, calling('fill', { text: 'x'.repeat(90_000) }))).json
  await vi.waitUntil(async () => (await fill()).error?.data.code === 'mcp_not_recorded', 20_000)
  const before = seen.length
  expect(await fill()).toMatchObject({ id: 1, error: { code: -31001, data: { reason: 'spool_full' } } })
  expect(seen).toHaveLength(before)
  await recorder.close()
})

test('a session that is silent ends by itself, and what comes later is another', async () => {
  const { url } = await serve(({ body }, res) => json(res, answered(JSON.parse(body).id, 'seen')))
  const it = await world({ limits: { idleMs: 100 } })
  const recorder = await record(it, url)
  const spool = join(it.folder, 'spool')
  const recorded = () => {
    const files = readdirSync(spool, { withFileTypes: true }).filter((each) => each.isFile())
    const bytes = files.map(({ name }) => readFileSync(join(spool, name), 'latin1')).join('')
    return bytes.match(/[\w-]+\.[\w-]+\.[\w-]{86}~/g)?.length ?? 0
  }
  // Its start, the call and what came of it, its end.
  for (const expected of [4, 8]) {
    await post(recorder.url, calling('one'))
    await vi.waitUntil(() => recorded() === expected, { timeout: 10_000 })
  }
  await recorder.close()
  const events = await it.events()
  expect(find(events, 'mcp.session.end').map(({ mcp }) => mcp.by)).toEqual(['idle', 'idle'])
  expect(new Set(events.map(({ fields }) => (fields.context as Told).session)).size).toBe(2)
})

test('no type, packing or redirect of a server leads what it asks past the recorder', async () => {
  const it = await world()
  const asks = { jsonrpc: '2.0', id: 's1', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1 } }
  const event = (message: object) => `event: message\ndata: ${JSON.stringify(message)}\n\n`
  const elsewhere = await serve((_, res) =>
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end(event(asks)),
  )
  const head = (res: ServerResponse, headers: string[]) => {
    res.writeHead(200, headers)
    return res
  }
  const upstream = await serve(({ method, headers, body }, res) => {
    const way = headers['x-way']
    const message = method === 'GET' ? asks : answered(JSON.parse(body).id, String(way))
    const stream = event(asks) + (method === 'GET' ? '' : event(message))
    if (way === 'moved') res.writeHead(307, { location: elsewhere.url }).end()
    else if (way === 'case') head(res, ['Content-Type', 'Text/Event-Stream']).end(stream)
    else if (way === 'none') res.writeHead(200).end(stream)
    else if (way === 'twice') head(res, ['Content-Type', 'text/plain', 'Content-Type', 'text/event-stream']).end(stream)
    else if (way === 'json') head(res, ['Content-Type', 'x-application/json']).end(JSON.stringify([asks, message]))
    else if (way === 'packed')
      head(res, ['Content-Type', 'text/event-stream', 'Content-Encoding', 'gzip']).end(gzipSync(stream))
    else {
      const packed = brotliCompressSync(gzipSync(JSON.stringify([asks, message])))
      head(res, ['Content-Type', 'application/json', 'Content-Encoding', 'gzip, br']).end(packed)
    }
  })
  const recorder = await record(it, upstream.url)
  const get = (way: string) => fetch(recorder.url, { headers: { accept: 'text/event-stream', 'x-way': way } })
  for (const way of ['case', 'none', 'twice', 'packed']) expect(await (await get(way)).text(), way).toBe(event(asks))
  const ways = ['case', 'twice', 'json', 'packed', 'packed-json', 'moved']
  const replies = []
  for (const way of ways) replies.push(await post(recorder.url, calling(way), { 'x-way': way }))
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 502])
  for (const { body } of replies.slice(0, -1)) expect(body).toContain('sampling/createMessage')
  expect((await get('moved')).status).toBe(502)
  expect(elsewhere.seen).toEqual([])
  await recorder.close()
  const events = await it.events()
  expect(find(events, 'mcp.sampling.createMessage')).toHaveLength(9)
  expect(find(events, 'mcp.tools.call.result').map(({ outcome, mcp }) => [outcome, mcp.state, mcp.httpStatus])).toEqual(
    [...Array(5).fill(['success', 'answered', undefined]), ['failure', 'answered', 307]],
  )
})

test('strict: what a server asks in a body of JSON reaches the client when that is recorded, and not before', async () => {
  const asks = { jsonrpc: '2.0', id: 's1', method: 'sampling/createMessage', params: { messages: [], maxTokens: 1 } }
  const { url, seen } = await serve(({ body }, res) => {
    const { id, method } = JSON.parse(body)
    if (method === undefined) res.writeHead(202).end()
    else if (method === 'tools/list') json(res, [asks, { jsonrpc: '2.0', id, result: { tools: [] } }])
    else json(res, answered(id, 'seen'))
  })
  const it = await world({ limits: { spoolBytes: 1 << 20, spoolWaitMs: 1, discloseBytes: 96 << 10 } })
  const recorder = await record(it, url)
  const list = () => post(recorder.url, { jsonrpc: '2.0', id: 'l', method: 'tools/list', params: { _meta: META } })
  expect(await list()).toMatchObject({ status: 200, json: [asks, { id: 'l' }] })
  const fill = async () => (await post(recorder.url, calling('fill', { text: 'x'.repeat(90_000) }))).json
  await vi.waitUntil(async () => (await fill()).error?.data.code === 'mcp_not_recorded', 20_000)
  const refused = await list()
  expect(refused).toMatchObject({ status: 502, json: { id: 'l', error: { data: { code: 'mcp_not_recorded' } } } })
  expect(refused.body).not.toContain('sampling')
  const answers = () => seen.flatMap(({ body }) => JSON.parse(body)).filter(({ method }) => method === undefined)
  await expect.poll(answers).toMatchObject([{ id: 's1', error: { data: { code: 'mcp_not_recorded' } } }])
  await recorder.close()
})

test('a server without sessions: one client is not named for what another asks, and takes no answer from it', async () => {
  const held: (() => void)[] = []
  const { url } = await serve(({ body }, res) => {
    const { id, method, params } = JSON.parse(body)
    const serverInfo = { name: 'small', version: '1' }
    if (method === 'initialize')
      json(res, { jsonrpc: '2.0', id, result: { protocolVersion: '2025-06-18', capabilities: {}, serverInfo } })
    else if (params.name === 'slow') held.push(() => json(res, answered(id, 'slow')))
    else json(res, answered(id, params.name))
  })
  const it = await world()
  const recorder = await record(it, url)
  const initialize = (name: string) => {
    const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name, version: '1' } }
    return post(recorder.url, { jsonrpc: '2.0', id: 0, method: 'initialize', params })
  }
  const call = (name: string, id: number) =>
    post(recorder.url, { jsonrpc: '2.0', id, method: 'tools/call', params: { name } })
  await initialize('ada')
  await call('first', 1)
  await initialize('ada')
  await call('second', 1)
  const slow = call('slow', 2)
  await expect.poll(() => held.length).toBe(1)
  await initialize('bob')
  await call('third', 1)
  held[0]!()
  await slow
  await recorder.close()
  const events = await it.events()
  expect(find(events, 'mcp.tools.call').map(({ targets, actor }) => `${targets[0].id} ${actor.id}`)).toEqual([
    ...['first ada', 'second ada', 'slow ada', 'third unidentified'],
  ])
  const results = find(events, 'mcp.tools.call.result')
  expect(results.map(({ targets, outcome }) => `${targets[0].id} ${outcome}`).sort()).toEqual([
    ...['first success', 'second success', 'slow success', 'third success'],
  ])
  expect(actions(events)).not.toContain('mcp.answer.unmatched')
})

test('what clients send is bounded: in memory, in time, in connections, and in requests at a time', async () => {
  const never = JSON.stringify(calling('never', { text: 'a'.repeat(5_000) }))
  const { url } = await serve((each, res) => {
    if (each.method === 'GET') return void res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    if (!each.body.includes('never')) json(res, answered(JSON.parse(each.body).id, 'seen'))
  })
  const it = await world()
  const limits = { lineBytes: 16_384, memoryBytes: 32_768, requestMs: 1_000, connections: 6 }
  const said: string[] = []
  const settings = { ...it.settings, limits, http: { listen: '127.0.0.1:0', upstream: url } }
  const recorder = await recordHttp(checkMcpConfig(settings, it.folder), (text) => said.push(text))
  onTestFinished(() => recorder.close())
  const port = Number(new URL(recorder.url).port)
  const head = (method: string, length = 0) =>
    `${method} /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`
  const open = (sent: string) => {
    const socket = connect(port, '127.0.0.1')
      .setEncoding('utf8')
      .on('error', () => {})
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    socket.write(sent)
    return { socket, closed, answer: () => answer }
  }
  // Silent for longer than a request may take.
  const stream = open(head('GET'))
  await vi.waitUntil(() => stream.answer().includes('200 OK'), 20_000)
  const held = open(head('POST', never.length) + never + head('POST', 9))
  const cut = open(head('GET') + head('POST', 9))
  // One address takes half of the memory, with bodies that do not end.
  const half = open(head('POST', 16_000) + ' '.repeat(12_000))
  const other = open(head('POST', 16_000) + ' '.repeat(12_000))
  const [refused, late] = await Promise.all(
    [other, half].map(({ closed, answer }) => closed.then(() => answer())),
  ).then((answers) => answers.sort((a, b) => b.length - a.length))
  expect(refused).toMatch(/^HTTP\/1.1 503 .*retry-after: 1\r\n.*"code":"mcp_busy"/s)
  expect(late).toMatch(/^HTTP\/1.1 408 /)
  // What they took is free again, and so is what clients did that left before what they sent was passed on.
  for (let ms = 0; ms < 8; ms++) {
    const sent = ms % 2 === 0 ? never : never.replace('"id":1,', '')
    const left = open(head('POST', sent.length) + sent)
    await sleep(ms)
    left.socket.resetAndDestroy()
  }
  const large = calling('tool', { text: 'a'.repeat(15_000) })
  await vi.waitUntil(async () => (await post(recorder.url, large)).status === 200, 20_000)
  expect((await post(recorder.url, calling('tool', { text: 'a'.repeat(20_000) }))).json.error).toMatchObject({
    data: { code: 'mcp_line_too_long' },
  })
  // Whoever looks for an answer only when everything is sent finds it.
  const tooLarge = request(recorder.url, { method: 'POST' })
  tooLarge.end('a'.repeat(16 << 20))
  const [[reply]] = await Promise.all([once(tooLarge, 'response'), once(tooLarge, 'finish')])
  expect(reply.statusCode).toBe(413)
  await open(head('GET').replace('/mcp', '/other').repeat(300)).closed
  // Of what is at fault behind a call nothing is said in the place of its answer, or in the midst of a stream.
  await Promise.all([held.closed, cut.closed])
  expect(held.answer() + cut.answer()).not.toContain(' 408 ')
  expect(cut.answer()).toContain(' 200 OK')
  const many = Array.from({ length: 8 }, () => open(head('POST', 1)))
  await Promise.all(many.map(({ closed }) => closed))
  expect(stream.socket.destroyed).toBe(false)
  for (const why of [
    /did not arrive: Request timeout/,
    /more than 250 requests/,
    /limits.connections/,
    /mcp_busy/,
    /too_long/,
  ])
    expect(said.join('\n')).toMatch(why)
})
