// The official client and servers, with the recorder between them and without it.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { installMcpTools } from './install.ts'
import { actions, find, type Told, told, type World, world } from './support.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/src/main.ts', import.meta.url))
let tools: string | null
let sdk: Told

beforeAll(async () => {
  tools = installMcpTools()
  if (tools === null) return
  const load = (path: string) => import(pathToFileURL(join(tools!, 'sdk/dist/esm', path)).href)
  sdk = { ...(await load('client/index.js')), ...(await load('client/stdio.js')), ...(await load('types.js')) }
}, 300_000)

/** What a client saw, and what it was asked. */
async function drive(command: readonly string[], use: (client: Told) => Promise<unknown>) {
  const [program, ...args] = command
  const asked: Told[] = []
  const client = new sdk.Client(
    { name: 'official', version: '1.0.0' },
    { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } },
  )
  client.setRequestHandler(sdk.CreateMessageRequestSchema, async ({ params }: Told) => {
    asked.push(params)
    return { model: 'none', role: 'assistant', content: { type: 'text', text: 'Four.' } }
  })
  client.setRequestHandler(sdk.ElicitRequestSchema, async ({ params }: Told) => {
    asked.push(params)
    return { action: 'decline' }
  })
  client.setRequestHandler(sdk.ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///data', name: 'data' }] }))
  const transport = new sdk.StdioClientTransport({ command: program, args, stderr: 'ignore', env: process.env })
  await client.connect(transport)
  const saw = await use(client)
  const about = [client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()]
  await client.close()
  return { saw, asked, about }
}

/** The same with the recorder before the command. */
function recorded(it: World, command: readonly string[]): string[] {
  const config = join(it.folder, 'mcp.json')
  writeFileSync(config, JSON.stringify(it.settings))
  return [process.execPath, MAIN, 'mcp', '--config', config, '--server', 'real', '--', ...command]
}

const failing = (call: Promise<unknown>) => call.catch(({ code, message }: Told) => ({ code, message }))

test('server-everything answers the official client through the recorder as without it', async ({ skip }) => {
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const use = (made: { calls: number }) => async (client: Told) => {
    const call = (name: string, args: object = {}, more: object = {}) => {
      made.calls += 1
      return client.callTool({ name, arguments: args }, undefined, more)
    }
    // What is read together with the answer finds nobody listening any more: of five steps that is the last, or where a process
    // stood still meanwhile, several.
    const inSteps = async () => {
      for (;;) {
        const progress: number[] = []
        const onprogress = ({ progress: step }: Told) => void progress.push(step)
        const answer = await call('trigger-long-running-operation', { duration: 0.05, steps: 5 }, { onprogress })
        if (progress.length >= 4) return [answer, progress.slice(0, 4)]
      }
    }
    return [
      await client.listTools(),
      await call('echo', { message: 'hello' }),
      await call('get-sum', { a: 2, b: 40 }),
      await call('get-sum', { a: 'two' }),
      await call('get-tiny-image'),
      await call('get-structured-content', { location: 'Chicago' }),
      await call('trigger-sampling-request', { prompt: 'Two and two?', maxTokens: 9 }),
      await call('trigger-elicitation-request'),
      await inSteps(),
      (await client.listResources()).resources.map(({ uri }: Told) => uri),
      await client.listPrompts(),
      await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Chicago' } }),
      await failing(client.readResource({ uri: 'nowhere://at/all' })),
      await failing(client.request({ method: 'made/up' }, sdk.ResultSchema)),
      await client.ping(),
    ]
  }
  const server = [process.execPath, join(tools, 'server-everything/dist/index.js')]
  const it = await world()
  const made = { calls: 0 }
  const [without, through] = await Promise.all([
    drive(server, use({ calls: 0 })),
    drive(recorded(it, server), use(made)),
  ])
  expect(through).toEqual(without)
  expect(through.asked).toHaveLength(2)
  const events = await it.events()
  const open = find(events, 'mcp.tools.call').map(({ mcp }) => mcp.requestId)
  const ends = find(events, 'mcp.tools.call.result').map(({ mcp }) => mcp.requestId)
  expect(open).toHaveLength(made.calls)
  expect(ends.sort()).toEqual(open.sort())
  expect(actions(events)).toEqual(
    expect.arrayContaining([
      ...['mcp.initialize', 'mcp.tools.list', 'mcp.sampling.createMessage.result', 'mcp.elicitation.create.result'],
      ...['mcp.roots.list', 'mcp.prompts.get.result', 'mcp.resources.read.result', 'mcp.made.up.result'],
    ]),
  )
  expect(told(events.at(-1)!).mcp).toMatchObject({ by: expect.stringMatching(/client|signal/), unrecorded: 0 })
})

test('server-filesystem, and a policy that a model can read', async ({ skip }) => {
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const it = await world({
    policy: { rules: [{ name: 'no-env', argument: '/path', matches: '\\.env$', effect: 'deny' }] },
  })
  const data = join(it.folder, 'data')
  mkdirSync(data)
  writeFileSync(join(data, 'a.txt'), 'first\nsecond\n')
  writeFileSync(join(data, '.env'), 'PASSWORD=hunter2')
  const read = (client: Told, name: string) =>
    client.callTool({ name: 'read_text_file', arguments: { path: join(data, name) } })
  const use = async (client: Told) => [
    await client.listTools(),
    await read(client, 'a.txt'),
    await read(client, 'none.txt'),
    await client.callTool({ name: 'write_file', arguments: { path: join(data, 'b.txt'), content: 'third' } }),
  ]
  const server = [process.execPath, join(tools, 'server-filesystem/dist/index.js'), data]
  const without = await drive(server, use)
  const through = await drive(recorded(it, server), async (client) => [
    ...((await use(client)) as Told[]),
    await read(client, '.env'),
  ])
  const [denied] = (through.saw as Told[]).splice(-1)
  expect(through).toEqual(without)
  expect(denied).toMatchObject({ isError: true, content: [{ text: expect.stringMatching(/no-env/) }] })
  const calls = find(await it.events(), 'mcp.tools.call')
  expect(calls.map(({ outcome }) => outcome)).toEqual([undefined, undefined, undefined, 'denied'])
  expect(calls[2].args).toEqual({ path: join(data, 'b.txt'), content: 'third' })
})
