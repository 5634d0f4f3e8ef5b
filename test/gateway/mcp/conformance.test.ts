// The official conformance suite: the same results through the recorder as without it.
import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { checkMcpConfig, recordHttp } from '@killick/gateway'
import { expect, onTestFinished, test } from 'vitest'
import { installMcpTools } from './install.ts'
import { find, world } from './support.ts'

const SERVER = new URL('conformance-server.mjs', import.meta.url).pathname

/** What the suite says of a server: for each scenario how many checks passed and failed. It exits with 1 if any has failed. */
async function resultsOf(tools: string, url: string): Promise<string[]> {
  const args = [`${tools}/conformance/dist/index.js`, 'server', '--url', url]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 << 20 }).catch((error) => error)
  return stdout.split('\n').filter((line: string) => /^[✓✗] [\w-]+: \d+ passed, \d+ failed$/u.test(line))
}

test('the official conformance suite finds the same through the recorder as without it', async ({ skip }) => {
  const tools = installMcpTools()
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const server = spawn(process.execPath, [SERVER, tools], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void server.kill())
  let port = ''
  for await (const line of createInterface({ input: server.stdout })) {
    port = line
    break
  }
  const upstream = `http://127.0.0.1:${port}/mcp`
  const it = await world()
  const http = { listen: '127.0.0.1:0', upstream }
  const recorder = await recordHttp(checkMcpConfig({ ...it.settings, http }, it.folder), () => {})
  onTestFinished(() => recorder.close())
  const without = await resultsOf(tools, upstream)
  const through = await resultsOf(tools, recorder.url)
  expect(through).toEqual(without)
  expect(without.filter((line) => !line.startsWith('✓'))).toEqual([])
  expect(without.length).toBeGreaterThanOrEqual(25)
  await recorder.close()
  const events = await it.events()
  const called = find(events, 'mcp.tools.call').map(({ targets }) => targets[0].id)
  expect(called).toEqual(expect.arrayContaining(['test_sampling', 'test_elicitation', 'test_tool_with_progress']))
  expect(find(events, 'mcp.tools.call.result')).toHaveLength(called.length)
})
