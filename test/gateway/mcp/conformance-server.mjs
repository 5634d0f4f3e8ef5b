// A server with the tools, resources and prompts that the official conformance suite asks for, made with the official SDK.
//   node conformance-server.mjs <folder with @modelcontextprotocol's packages>                over HTTP; prints its port
//   node conformance-server.mjs <folder> stdio                                                over its own stdin and stdout
//   node conformance-server.mjs <folder> <recorder's settings>      over HTTP, and behind it each session over stdio through a recorder
// JavaScript, because it imports the SDK from where tests have installed it.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { pathToFileURL } from 'node:url'

const [tools, way] = process.argv.slice(2)
const load = (path) => import(pathToFileURL(join(tools, 'sdk/dist/esm', path)).href)
const { McpServer, ResourceTemplate } = await load('server/mcp.js')
const { StdioServerTransport } = await load('server/stdio.js')
const { StreamableHTTPServerTransport } = await load('server/streamableHttp.js')
const { completable } = await load('server/completable.js')
const { SubscribeRequestSchema, UnsubscribeRequestSchema, SetLevelRequestSchema } = await load('types.js')
const { z } = createRequire(join(tools, 'sdk/package.json'))('zod')

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const SOUND = Buffer.from('RIFF\x24\0\0\0WAVEfmt ', 'latin1').toString('base64')
const text = (words) => ({ type: 'text', text: words })
const image = { type: 'image', data: PIXEL, mimeType: 'image/png' }
const embedded = (uri) => ({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'Embedded.' } })
const soon = () => new Promise((resolve) => setTimeout(resolve, 20))

/** What a person is asked for, by the name of the tool that asks. */
const FORMS = {
  test_elicitation_sep1034_defaults: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  test_elicitation_sep1330_enums: {
    untitledSingle: { type: 'string', enum: ['a', 'b'] },
    titledSingle: { type: 'string', oneOf: [{ const: 'a', title: 'A' }] },
    legacyEnum: { type: 'string', enum: ['a', 'b'], enumNames: ['A', 'B'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: ['a', 'b'] } },
    titledMulti: { type: 'array', items: { anyOf: [{ const: 'a', title: 'A' }] } },
  },
}

function makeServer() {
  const mcp = new McpServer(
    { name: 'conformance', version: '1.0.0' },
    { capabilities: { logging: {}, completions: {}, resources: { subscribe: true } } },
  )
  const { server } = mcp
  const tool = (name, content, inputSchema = {}) =>
    mcp.registerTool(name, { description: `Does ${name}.`, inputSchema }, async (args, extra) => ({
      content: typeof content === 'function' ? await content(args, extra) : content,
    }))
  tool('test_simple_text', [text('This is a simple text response for testing.')])
  tool('test_image_content', [image])
  tool('test_audio_content', [{ type: 'audio', data: SOUND, mimeType: 'audio/wav' }])
  tool('test_embedded_resource', [embedded('test://embedded-resource')])
  tool('test_multiple_content_types', [text('Mixed.'), image, embedded('test://mixed-content-resource')])
  tool('test_error_handling', () => {
    throw new Error('This tool intentionally returns an error for testing')
  })
  tool('test_tool_with_logging', async (_, { sendNotification }) => {
    for (const data of ['started', 'processing', 'completed']) {
      await sendNotification({ method: 'notifications/message', params: { level: 'info', data } })
      await soon()
    }
    return [text('Logged.')]
  })
  tool('test_tool_with_progress', async (_, { sendNotification, _meta }) => {
    for (const progress of [0, 50, 100]) {
      const params = { progressToken: _meta?.progressToken, progress, total: 100 }
      await sendNotification({ method: 'notifications/progress', params })
      await soon()
    }
    return [text('Done.')]
  })
  tool(
    'test_sampling',
    async ({ prompt }, extra) => {
      const messages = [{ role: 'user', content: text(prompt) }]
      const { content } = await server.createMessage(
        { messages, maxTokens: 100 },
        { relatedRequestId: extra.requestId },
      )
      return [text(`LLM response: ${content.text}`)]
    },
    { prompt: z.string() },
  )
  const elicit = async (message, properties, extra) => {
    const requestedSchema = { type: 'object', properties, required: [] }
    const answer = await server.elicitInput({ message, requestedSchema }, { relatedRequestId: extra.requestId })
    return [text(`User response: ${JSON.stringify(answer)}`)]
  }
  tool(
    'test_elicitation',
    ({ message }, extra) => elicit(message, { username: { type: 'string' }, email: { type: 'string' } }, extra),
    { message: z.string() },
  )
  for (const [name, form] of Object.entries(FORMS)) tool(name, (_, extra) => elicit('Please fill in.', form, extra))

  const resource = (name, where, contents) =>
    mcp.registerResource(name, where, { description: name }, async (uri, variables) => ({
      contents: [{ uri: uri.href, ...contents(variables) }],
    }))
  resource('text', 'test://static-text', () => ({ mimeType: 'text/plain', text: 'Static.' }))
  resource('binary', 'test://static-binary', () => ({ mimeType: 'image/png', blob: PIXEL }))
  resource('watched', 'test://watched-resource', () => ({ mimeType: 'text/plain', text: 'Watched.' }))
  resource('template', new ResourceTemplate('test://template/{id}/data', {}), ({ id }) => ({
    mimeType: 'application/json',
    text: JSON.stringify({ id }),
  }))
  for (const schema of [SubscribeRequestSchema, UnsubscribeRequestSchema, SetLevelRequestSchema])
    server.setRequestHandler(schema, async () => ({}))

  const prompt = (name, argsSchema, contents) =>
    mcp.registerPrompt(name, { description: name, ...(argsSchema && { argsSchema }) }, async (args) => ({
      messages: contents(args).map((content) => ({ role: 'user', content })),
    }))
  prompt('test_simple_prompt', null, () => [text('This is a simple prompt for testing.')])
  prompt(
    'test_prompt_with_arguments',
    { arg1: completable(z.string(), () => ['testValue1']), arg2: z.string() },
    ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  )
  prompt('test_prompt_with_embedded_resource', { resourceUri: z.string() }, ({ resourceUri }) => [
    embedded(resourceUri),
    text('Read it.'),
  ])
  prompt('test_prompt_with_image', null, () => [image, text('Look at it.')])
  return mcp
}

/** Makes a recorder of stdio with a server behind it, and passes on between it and a session over HTTP. */
async function recorded(transport) {
  const { checkMcpConfig, recordStdio } = await import('@killick/gateway')
  const settings = JSON.parse(readFileSync(way, 'utf8'))
  const config = checkMcpConfig({ ...settings, spool: `stdio-${++recorders}` }, dirname(way))
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  const command = [process.execPath, import.meta.filename, tools, 'stdio']
  const ended = recordStdio(config, command, { stdin, stdout, say: () => {}, stop: new AbortController().signal })
  running.add(ended)
  // Requests of the client that have no answer yet: what the server says meanwhile belongs to the newest.
  const open = new Set()
  transport.onmessage = (message) => {
    if (message.id !== undefined && message.method !== undefined) open.add(message.id)
    stdin.write(`${JSON.stringify(message)}\n`)
  }
  transport.onclose = () => stdin.end()
  const answer = async () => {
    for await (const line of createInterface({ input: stdout })) {
      const message = JSON.parse(line)
      const relatedRequestId = [...open].at(-1)
      if (message.method === undefined) open.delete(message.id)
      await transport.send(message, message.method === undefined ? {} : { relatedRequestId })
    }
  }
  answer().catch(() => {})
  await transport.start()
}

let recorders = 0
const running = new Set()
const sessions = new Map()
const http = createServer(async (req, res) => {
  const { host, origin } = req.headers
  const isLocal = (name) => /^(?:localhost|127\.0\.0\.1)(?::\d+)?$/.test(name)
  if (!isLocal(host ?? '') || (origin !== undefined && !isLocal(new URL(origin).host))) {
    res.writeHead(403).end()
    return
  }
  let transport = sessions.get(req.headers['mcp-session-id'])
  if (transport === undefined) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void sessions.set(id, transport),
    })
    await (way === undefined ? makeServer().connect(transport) : recorded(transport))
  }
  await transport.handleRequest(req, res)
})
if (way === 'stdio') await makeServer().connect(new StdioServerTransport())
else http.listen(0, '127.0.0.1', () => console.log(http.address().port))
// The recorders end with their sessions, and this with them.
process.once('SIGTERM', async () => {
  for (const transport of sessions.values()) await transport.close()
  await Promise.all(running)
  process.exit(0)
})
