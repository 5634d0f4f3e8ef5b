// The official conformance suite: the same results through the recorder as without it.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { checkMcpConfig, recordHttp } from '@killick/gateway'
import { expect, onTestFinished, test } from 'vitest'
import { startNode } from '../../../scripts/lib/processes.ts'
import { installMcpTools } from './install.ts'
import { find, world } from './support.ts'

const [SERVER, CLIENT] = ['server', 'client'].map((name) => join(import.meta.dirname, `conformance-${name}.mjs`))

/** What the suite says: for each scenario how many checks passed and failed. It exits with 1 if any has failed. */
async function resultsOf(tools: string, args: readonly string[]): Promise<string[]> {
  const suite = [join(tools, 'conformance/dist/index.js'), ...args]
  const { stdout } = await promisify(execFile)(process.execPath, suite, { maxBuffer: 64 << 20 }).catch((error) => error)
  return stdout.split('\n').filter((line: string) => /^[✓✗] [\w/-]+: \d+ passed, \d+ failed/u.test(line))
}

/** Over stdio each scenario starts a server, which takes longer than all of them over HTTP: these stand for all, unless KILLICK_MCP_ALL=1. */
const OVER_STDIO = ['tools-call-with-progress', 'tools-call-sampling', 'elicitation-sep1034-defaults']

async function resultOf(tools: string, url: string, scenario: string): Promise<string> {
  const suite = [join(tools, 'conformance/dist/index.js'), 'server', '--url', url, '--scenario', scenario]
  const { stdout } = await promisify(execFile)(process.execPath, suite).catch((error) => error)
  const [, passed, failed] = /^Passed: (\d+)\/\d+, (\d+) failed/m.exec(stdout) ?? []
  return `${failed === '0' ? '✓' : '✗'} ${scenario}: ${passed} passed, ${failed} failed`
}

async function startServer(...args: string[]) {
  const child = await startNode([SERVER!, ...args])
  onTestFinished(() => child.stop())
  const [port] = await child.printed(/^\d+$/m)
  return { url: `http://127.0.0.1:${port}/mcp`, stop: () => child.stop() }
}

test('a server over HTTP and over stdio has the same results through the recorder as without it', {
  timeout: 300_000,
}, async ({ skip }) => {
  const tools = installMcpTools()
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const [it, stdio] = [await world(), await world()]
  const settings = join(stdio.folder, 'mcp.json')
  writeFileSync(settings, JSON.stringify(stdio.settings))
  const [bare, behind] = [await startServer(tools), await startServer(tools, settings)]
  const http = { listen: '127.0.0.1:0', upstream: bare.url }
  const recorder = await recordHttp(checkMcpConfig({ ...it.settings, http }, it.folder), () => {})
  onTestFinished(() => recorder.close())
  const without = await resultsOf(tools, ['server', '--url', bare.url])
  expect(await resultsOf(tools, ['server', '--url', recorder.url])).toEqual(without)
  if (process.env.KILLICK_MCP_ALL === '1')
    expect(await resultsOf(tools, ['server', '--url', behind.url])).toEqual(without)
  else for (const scenario of OVER_STDIO) expect(without).toContain(await resultOf(tools, behind.url, scenario))
  expect(without.filter((line) => !line.startsWith('✓'))).toEqual([])
  expect(without.length).toBeGreaterThanOrEqual(25)
  await recorder.close()
  await behind.stop()
  const all = [await it.events()]
  for (const spool of readdirSync(stdio.folder).filter((name) => name.startsWith('stdio-')))
    all.push(await stdio.events(spool))
  for (const events of [all[0]!, all.slice(1).flat()]) {
    const called = find(events, 'mcp.tools.call').map(({ targets }) => targets[0].id)
    expect(called).toEqual(expect.arrayContaining(['test_sampling', 'test_tool_with_progress']))
    expect(called.some((name) => name.startsWith('test_elicitation'))).toBe(true)
    expect(find(events, 'mcp.tools.call.result')).toHaveLength(called.length)
  }
})

test('the official client has the same results through the recorder as without it', { timeout: 300_000 }, async ({
  skip,
}) => {
  const tools = installMcpTools()
  if (tools === null) return skip('@modelcontextprotocol cannot be had here')
  const it = await world()
  const recorders: Awaited<ReturnType<typeof recordHttp>>[] = []
  // Of each server of the suite only its client hears.
  const desk = createServer(async (req, res) => {
    const { scenario, upstream } = JSON.parse((await req.toArray()).join(''))
    const settings = { ...it.settings, spool: scenario, http: { listen: '127.0.0.1:0', upstream } }
    const recorder = await recordHttp(checkMcpConfig(settings, it.folder), () => {})
    recorders.push(recorder)
    res.end(recorder.url)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void desk.close())
  await once(desk, 'listening')
  const results = async (from: string) => {
    // For a shell.
    const command = [process.execPath, CLIENT, tools, from].map((word) => `'${word}'`).join(' ')
    const all = await resultsOf(tools, ['client', '--suite', 'core', '--command', command])
    // How late a client connects again is a warning, and depends on how busy the machine is.
    return all
      .filter((line) => !line.includes(' auth/'))
      .map((line) => line.replace(/^. ([^:]+).*, (\d+ failed).*$/, '$1: $2'))
  }
  const without = await results('-')
  const through = await results(`http://127.0.0.1:${(desk.address() as AddressInfo).port}`)
  await Promise.all(recorders.map((recorder) => recorder.close()))
  expect(through).toEqual(without)
  expect(without).toEqual(
    ['initialize', 'tools_call', 'elicitation-sep1034-client-defaults', 'sse-retry'].map((each) => `${each}: 0 failed`),
  )
  expect(find(await it.events('sse-retry'), 'mcp.tools.call.result')).toMatchObject([{ outcome: 'success' }])
  const [answered] = find(await it.events('elicitation-sep1034-client-defaults'), 'mcp.elicitation.create.result')
  expect(answered.result.content).toMatchObject({ name: 'John Doe', age: 30 })
})
