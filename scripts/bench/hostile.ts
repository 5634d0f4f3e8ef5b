// Honest streams beside a hostile peer: what becomes of their receipts, and of the service's memory.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateKey, publicJwk, signerOf } from '@killick/sdk'
import { thumbprint } from '@killick/sdk/core'
import { startNode } from '../lib/processes.ts'
import { buildPage } from '../page.ts'
import { makeLoads } from './events.ts'
import type { BenchPlan, BenchRow } from './plan.ts'
import { type Flow, handIn, handInPaced, type Running, register, startService } from './service.ts'
import { median } from './stats.ts'

const ATTACKER = fileURLToPath(new URL('attacker.ts', import.meta.url))
const HOSTILE_NODE = fileURLToPath(new URL('hostile-node.ts', import.meta.url))
const KEY = generateKey()
const SIGNER = signerOf(KEY)
const STREAMS = 8
const EVENTS = 100
/** How long the honest record beside each attack. */
const SECONDS = 8
/** Each anchors through four nodes that mean harm; after a visit that fails a target rests for five seconds. */
const TARGETS = 4

const ATTACKS = [
  { kind: 'trickle', connections: 200, what: '200 connections that trickle a body' },
  { kind: 'idle', connections: 10_000, what: '10,000 idle connections' },
  { kind: 'garbage', connections: 16, what: 'garbage over 16 connections, as fast as it goes' },
  { kind: 'unread', connections: 8, what: '8 connections that ask for 1,375 files each and read none' },
] as const

export type Attack = { kind: (typeof ATTACKS)[number]['kind']; connections: number }
type Watched = Pick<Running, 'url' | 'token' | 'memory'>
type Outcome<T> = { flow: T; memory: number; refusals: Record<string, number> }

/** Does `honest` while the attack goes on. @returns its result, the most memory the service had meanwhile, and refusals by code */
export async function besideAttack<T>(
  service: Watched,
  { kind, connections }: Attack,
  registered: { source: string; kid: string },
  honest: () => Promise<T>,
): Promise<Outcome<T>> {
  const before = await refusalsOf(service)
  const args = [ATTACKER, kind, service.url, String(connections), registered.source, registered.kid]
  const attacker = await startNode(args)
  try {
    return await watch(service, before, async () => {
      await attacker.printed(/attacking/, 60_000)
      return honest()
    })
  } finally {
    await attacker.kill9()
  }
}

async function watch<T>(
  service: Watched,
  before: Record<string, number>,
  honest: () => Promise<T>,
): Promise<Outcome<T>> {
  let memory = 0
  const timer = setInterval(() => void service.memory().then((bytes) => (memory = Math.max(memory, bytes))), 100)
  try {
    const flow = await honest()
    const after = await refusalsOf(service)
    const news = Object.entries(after).map(([code, n]) => [code, n - (before[code] ?? 0)] as const)
    return { flow, memory, refusals: Object.fromEntries(news.filter(([, n]) => n > 0)) }
  } finally {
    clearInterval(timer)
  }
}

async function refusalsOf({ url, token }: Pick<Running, 'url' | 'token'>): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
  const found = text.matchAll(/^killick_refusals_total\{code="(\w+)"\} (\d+)/gm)
  return Object.fromEntries([...found].map(([, code, n]) => [code!, Number(n)]))
}

/** Honest streams at a third of the load that the service can take, ready to begin. */
async function openHonest(service: Running): Promise<{ source: string; ready: () => Promise<() => Promise<Flow>> }> {
  const source = `honest-${randomUUID().slice(0, 8)}`
  await register(service.url, source, publicJwk(KEY), 'required')
  const load = (batches: number) => makeLoads(source, SIGNER, { streams: STREAMS, batches, events: EVENTS })
  // Code that has just been loaded is slow; that is not what is measured.
  await handIn([service.url], await load(20))
  const { rate } = await handIn([service.url], await load(20))
  const batches = Math.ceil(((rate / 3) * SECONDS) / STREAMS / EVENTS)
  const ready = async () => {
    const loads = await load(batches)
    return () => handInPaced(service.url, loads, rate / 3)
  }
  return { source, ready }
}

function rowOf(what: string, outcomes: readonly Outcome<Flow>[], alone: readonly number[], more = ''): BenchRow {
  const calm = median(alone)
  const p99 = median(outcomes.map(({ flow }) => flow.p99))
  const memory = Math.max(...outcomes.map((outcome) => outcome.memory))
  const refused = outcomes.flatMap(({ refusals }) => Object.values(refusals)).reduce((sum, n) => sum + n, 0)
  return {
    what: `receipts at a third of the load, beside ${what}`,
    figure: `p99 ${Math.round(p99)} ms, memory at most ${Math.round(memory / 2 ** 20)} MiB, ${more || `${refused.toLocaleString('en')} refusals`}`,
    beside: `p99 ${Math.round(calm)} ms without (targets: at most twice that, under 700 MiB)`,
    ratio: p99 / calm,
  }
}

/** @param folder for what the services keep; they have the rate limit that operators have */
export async function measureHostile(folder: string, plan: BenchPlan): Promise<BenchRow[]> {
  // The service sends of the page what has been built, and a fresh checkout has nothing.
  await buildPage()
  return [...(await measurePeers(folder, plan)), await measureNodes(join(folder, 'nodes'), plan)]
}

async function measurePeers(folder: string, { rounds }: BenchPlan): Promise<BenchRow[]> {
  const service = await startService(folder, { KILLICK_RATE_LIMIT: '' })
  const { source, ready } = await openHonest(service)
  const registered = { source, kid: thumbprint(publicJwk(KEY)) }
  const alone: number[] = []
  const beside = ATTACKS.map(() => [] as Outcome<Flow>[])
  for (let round = 0; round < rounds; round++) {
    for (const [i, attack] of ATTACKS.entries()) {
      alone.push((await (await ready())()).p99)
      beside[i]!.push(await besideAttack(service, attack, registered, await ready()))
    }
  }
  await service.child.stop()
  return ATTACKS.map(({ what }, i) => rowOf(what, beside[i]!, alone))
}

/** Nodes of the chain that mean harm, while the service anchors through them. */
async function measureNodes(folder: string, { rounds }: BenchPlan): Promise<BenchRow> {
  const nodes = await startNode([HOSTILE_NODE])
  const [, url] = await nodes.printed(/nodes at (\S+)/)
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'targets.json')
  const targets = Array.from({ length: TARGETS }, (_, i) => ({
    target: `target-${i}`,
    rpcUrl: ['flood', 'drip', 'redirect', 'nonsense'].map((harm) => `${url}/${i}/${harm}`),
    rpcQuorum: 1,
    rpcTimeoutMs: 1_000,
    contract: `0x${String(i + 1).padStart(40, '0')}`,
    chainKey: `0x${randomBytes(32).toString('hex')}`,
  }))
  await writeFile(file, JSON.stringify(targets))
  const service = await startService(folder, { KILLICK_RATE_LIMIT: '', KILLICK_TARGETS: file })
  const { ready } = await openHonest(service)
  const alone: number[] = []
  const beside: Outcome<Flow>[] = []
  for (let round = 0; round < rounds; round++) {
    alone.push((await (await ready())()).p99)
    const honest = await ready()
    const before = await refusalsOf(service)
    nodes.process.send('attack')
    beside.push(await watch(service, before, honest))
    nodes.process.send('rest')
  }
  nodes.process.send('tell')
  const [, asked, sent, followed] = await nodes.printed(/asked (\d+), sent (\d+), followed (\d+)\n/)
  await service.child.stop()
  await nodes.stop()
  if (Number(sent) === 0) throw new Error('the service read nothing of the nodes that mean harm')
  const what = `${4 * TARGETS} nodes of the chain that flood, drip, redirect and talk nonsense`
  const more = `${asked} answers, ${Math.round(Number(sent) / 2 ** 20)} MiB sent, ${followed} redirects followed`
  return rowOf(what, beside, alone, more)
}
