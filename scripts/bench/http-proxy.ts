// The proxy that records: requests per second beside the same proxy that records nothing, and beside one of the library httpxy.
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ChildHandle, startNode } from '../lib/processes.ts'
import type { HttpFlow } from './http-peer.ts'
import { type BenchPlan, type BenchRow, KEY, ms, perSecond } from './plan.ts'
import { medianRound } from './stats.ts'

const PROXY = fileURLToPath(new URL('../../gateway/src/main.ts', import.meta.url))
const PEER = fileURLToPath(new URL('http-peer.ts', import.meta.url))
const CONNECTIONS = 64
/** Least share of the same proxy without recording. */
const TARGET = 0.5

export async function measureHttpProxy(folder: string, { rounds, events }: BenchPlan): Promise<BenchRow[]> {
  const requests = Math.ceil(events / 4)
  const server = await startNode([PEER, 'server'])
  const origin = await originOf(server)
  const rows: BenchRow[] = []
  for (const mode of ['strict', 'observe']) {
    const round = async () => {
      const recording = await through(await startProxy(folder, origin, { mode, unmatched: 'record' }), requests)
      const bare = await through(await startProxy(folder, origin, { unmatched: 'pass' }), requests)
      const peer = await through(await startNode([PEER, 'httpxy', origin]), requests)
      return { rate: recording.rate, recording, bare, peer }
    }
    const { recording, bare, peer } = await medianRound(rounds, round)
    const refused = recording.refused + bare.refused + peer.refused
    rows.push({
      what: `http proxy, ${mode}: POST of 270 bytes over ${CONNECTIONS} connections, two events each`,
      figure: `${perSecond(recording.rate)}, p50 ${ms(recording.p50)}, p99 ${ms(recording.p99)}; ${refused} refused`,
      beside: `${perSecond(bare.rate)} the same proxy that records nothing (target ${TARGET}), p50 ${ms(bare.p50)}; ${perSecond(peer.rate)} httpxy`,
      ratio: recording.rate / bare.rate,
    })
  }
  await server.stop()
  return rows
}

/** Nobody takes its events: what is measured is the way of a request, and sending is not on it. */
async function startProxy(folder: string, upstream: string, settings: object): Promise<ChildHandle> {
  const home = join(folder, `http-${randomUUID()}`)
  await mkdir(home)
  await writeFile(join(home, 'key.json'), JSON.stringify(KEY), { mode: 0o600 })
  const limits = { drainMs: 0, spoolBytes: 2 ** 34 }
  const own = { url: 'http://127.0.0.1:9', source: 'bench', key: 'key.json', spool: 'spool', limits }
  const file = join(home, 'http.json')
  const routes =
    'unmatched' in settings && settings.unmatched === 'pass'
      ? []
      : [{ route: 'POST /users/:id', action: 'user.update', target: { type: 'user', id: ':id' } }]
  await writeFile(file, JSON.stringify({ ...own, upstream, listen: { port: 0 }, routes, ...settings }))
  return startNode([PROXY, 'http', '--config', file])
}

async function through(proxy: ChildHandle, requests: number): Promise<HttpFlow> {
  const origin = await originOf(proxy)
  // This process and the server are warm, so the proxy may be too.
  await send(origin, requests / 4)
  const flow = await send(origin, requests)
  await proxy.stop()
  return flow
}

async function send(origin: string, requests: number): Promise<HttpFlow> {
  const sender = await startNode([PEER, 'sender', origin, `${CONNECTIONS}`, `${Math.ceil(requests)}`])
  const [, text] = await sender.printed(/sent (.*)\n/, 300_000)
  await sender.exited
  return JSON.parse(text!) as HttpFlow
}

async function originOf(child: ChildHandle): Promise<string> {
  const [, origin] = await child.printed(/listens on (\S+)/)
  return origin!
}
