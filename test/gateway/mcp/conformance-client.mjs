// A client that does what the official conformance suite asks of clients, made with the official SDK.
//   node conformance-client.mjs <folder with @modelcontextprotocol's packages> <who to ask for a recorder, or -> <URL of the suite's server>
// JavaScript, because it imports the SDK from where tests have installed it.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [tools, recorders, server] = process.argv.slice(2)
const { MCP_CONFORMANCE_SCENARIO: scenario } = process.env
// OAuth is between the client and others than the recorder.
if (scenario.startsWith('auth/')) process.exit(0)

const load = (path) => import(pathToFileURL(join(tools, 'sdk/dist/esm', path)).href)
const { Client } = await load('client/index.js')
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js')
const { ElicitRequestSchema } = await load('types.js')

const body = JSON.stringify({ scenario, upstream: server })
const url = recorders === '-' ? server : await (await fetch(recorders, { method: 'POST', body })).text()
const client = new Client(
  { name: 'conformance', version: '1.0.0' },
  { capabilities: { elicitation: { form: { applyDefaults: true } } } },
)
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: {} }))
await client.connect(new StreamableHTTPClientTransport(new URL(url)))
for (const { name } of (await client.listTools()).tools)
  await client.callTool({ name, arguments: name === 'add_numbers' ? { a: 5, b: 3 } : {} })
await client.close()
