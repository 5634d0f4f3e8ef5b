// A server of the Model Context Protocol that does what a test tells it by the names of its tools, and writes down what it has seen.
//   node scripted-server.mjs <file for what it sees> [<file with its list of tools>]
// JavaScript, because each test starts one: Node need not take types out of it first.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

const [seen, tools] = process.argv.slice(2)
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
const listed = () => (tools && existsSync(tools) ? JSON.parse(readFileSync(tools, 'utf8')) : [])
process.on('exit', () => appendFileSync(`${seen}.ended`, '.'))
let asked = null

const TOOLS = {
  echo: (args) => ({ result: { content: [{ type: 'text', text: JSON.stringify(args ?? null) }] } }),
  big: ({ bytes }) => ({ result: { content: [{ type: 'text', text: 'x'.repeat(bytes) }] } }),
  blob: () => ({
    result: { content: [{ type: 'image', mimeType: 'image/png', data: Buffer.alloc(99).toString('base64') }] },
  }),
  fail: () => ({ result: { isError: true, content: [{ type: 'text', text: 'no such file' }] } }),
  error: () => ({ error: { code: -32602, message: 'bad arguments' } }),
  more: () => ({ result: { resultType: 'input_required', inputRequests: {} } }),
  hang: () => null,
  exit: ({ code }) => process.exit(code),
  die: () => process.kill(process.pid, 'SIGKILL'),
  raw: ({ text }) => {
    process.stdout.write(text)
    return { result: { content: [] } }
  },
  ask: (args, id) => {
    asked = { id }
    send({ id: 's-1', method: args.method, params: args.params })
    return null
  },
}

function take(line) {
  appendFileSync(seen, `${line}\n`)
  const message = JSON.parse(line)
  for (const { id, method, params, result, error } of Array.isArray(message) ? message : [message]) {
    if (method === 'initialize')
      send({
        id,
        result: {
          protocolVersion: params.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: 'scripted', version: '1.0.0' },
          instructions: 'Call echo.',
        },
      })
    else if (method === 'tools/list') send({ id, result: pageOf(params?.cursor) })
    else if (method === 'tools/call') {
      const answer = TOOLS[params.name]?.(params.arguments, id)
      if (answer && id !== undefined) send({ id, ...answer })
    } else if (method === undefined && asked !== null) {
      send({ id: asked.id, result: { content: [{ type: 'text', text: JSON.stringify(result ?? error) }] } })
    } else if (id !== undefined) send({ id, result: {} })
  }
}

/** Two tools on a page. */
function pageOf(cursor = '0') {
  const all = listed()
  const next = Number(cursor) + 2
  return { tools: all.slice(Number(cursor), next), ...(next < all.length && { nextCursor: String(next) }) }
}

let text = ''
process.stdin.setEncoding('utf8').on('data', (chunk) => {
  const lines = (text + chunk).split('\n')
  text = lines.pop()
  for (const line of lines) take(line)
})
