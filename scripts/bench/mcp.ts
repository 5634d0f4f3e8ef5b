// The recorder for the Model Context Protocol: how much later a call is answered with it than without it, its intent durable first.
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startNode } from '../lib/processes.ts'
import { type BenchPlan, type BenchRow, KEY } from './plan.ts'
import { median } from './stats.ts'

const RECORDER = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const SERVER = fileURLToPath(new URL('mcp-server.ts', import.meta.url))
const ALLOWED_MS = 2

export async function measureMcp(folder: string, { rounds, events }: BenchPlan): Promise<BenchRow[]> {
  const calls = Math.min(Math.ceil(events / 20), 1_000)
  const [added, bare]: [number[], number[]] = [[], []]
  for (let i = 0; i < rounds; i++) {
    const without = await timeOf([SERVER], calls)
    const home = join(folder, `mcp-${randomUUID()}`)
    await configure(home)
    const through = ['mcp', '--config', join(home, 'mcp.json'), '--', process.execPath, SERVER]
    added.push((await timeOf([RECORDER, ...through], calls)) - without)
    bare.push(without)
  }
  const more = median(added)
  return [
    {
      what: 'MCP recorder, strict: what it adds to a tool call (median), one after the other',
      figure: `${more.toFixed(2)} ms`,
      beside: `${ALLOWED_MS} ms that it may add; a call without it takes ${median(bare).toFixed(2)} ms`,
      ratio: ALLOWED_MS / more,
    },
  ]
}

/** Nobody takes its events: what is measured is the way of a call, and sending is not on it. */
async function configure(home: string): Promise<void> {
  await mkdir(home)
  await writeFile(join(home, 'key.json'), JSON.stringify(KEY), { mode: 0o600 })
  const limits = { drainMs: 0 }
  const config = { url: 'http://127.0.0.1:9', source: 'bench', key: 'key.json', spool: 'spool', limits }
  await writeFile(join(home, 'mcp.json'), JSON.stringify(config))
}

/** Median time of a call, ms, after a fifth of the calls to warm up. */
async function timeOf(args: readonly string[], calls: number): Promise<number> {
  const child = await startNode(args, { stdio: ['pipe', 'pipe', 'ignore', 'ipc'] })
  const { stdin, stdout } = child.process
  const times: number[] = []
  for (let id = 0; id < calls; id++) {
    const params = { name: 'read_file', arguments: { path: `/data/file-${id}.txt` } }
    const start = performance.now()
    const answer = new Promise((resolve) => stdout!.once('data', resolve))
    stdin!.write(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params })}\n`)
    await answer
    times.push(performance.now() - start)
  }
  stdin!.end()
  await child.stop()
  return median(times.slice(Math.ceil(calls / 5)))
}
