// Honest streams beside a hostile peer: what becomes of their receipts, and of the service's memory.
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { generateKey, publicJwk, signerOf, thumbprint } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'
import { makeLoads } from './events.ts'
import type { Plan, Row } from './plan.ts'
import { type Flow, handIn, handInPaced, type Running, register } from './service.ts'
import { median } from './stats.ts'

const ATTACKER = fileURLToPath(new URL('attacker.ts', import.meta.url))
const KEY = generateKey()
const SIGNER = signerOf(KEY)
const STREAMS = 8
const EVENTS = 100
/** How long the honest record beside each attack. */
const SECONDS = 8

const ATTACKS = [
  { kind: 'trickle', connections: 200, what: '200 connections that trickle a body' },
  { kind: 'idle', connections: 10_000, what: '10,000 idle connections' },
  { kind: 'garbage', connections: 16, what: 'garbage over 16 connections, as fast as it goes' },
  { kind: 'unread', connections: 8, what: '8 connections that ask for 1,375 files each and read none' },
] as const

export type Attack = { kind: (typeof ATTACKS)[number]['kind']; connections: number }
type Outcome<T> = { flow: T; memory: number; refusals: Record<string, number> }

/** Does `honest` while the attack goes on. @returns its result, the most memory the service had meanwhile, and refusals by code */
export async function besideAttack<T>(
  service: Pick<Running, 'url' | 'token' | 'memory'>,
  { kind, connections }: Attack,
  registered: { source: string; kid: string },
  honest: () => Promise<T>,
): Promise<Outcome<T>> {
  const before = await refusalsOf(service)
  const args = [ATTACKER, kind, service.url, String(connections), registered.source, registered.kid]
  const attacker = await startNode(args)
  let memory = 0
  const watch = setInterval(() => void service.memory().then((bytes) => (memory = Math.max(memory, bytes))), 100)
  try {
    await attacker.printed(/attacking/, 60_000)
    const flow = await honest()
    const after = await refusalsOf(service)
    const news = Object.entries(after).map(([code, n]) => [code, n - (before[code] ?? 0)] as const)
    return { flow, memory, refusals: Object.fromEntries(news.filter(([, n]) => n > 0)) }
  } finally {
    clearInterval(watch)
    await attacker.kill9()
  }
}

async function refusalsOf({ url, token }: Pick<Running, 'url' | 'token'>): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
  const found = text.matchAll(/^killick_refusals_total\{code="(\w+)"\} (\d+)/gm)
  return Object.fromEntries([...found].map(([, code, n]) => [code!, Number(n)]))
}

/** @param service with the rate limit that operators have */
export async function measureHostile(service: Running, { rounds }: Plan): Promise<Row[]> {
  const source = `honest-${randomUUID().slice(0, 8)}`
  await register(service.url, source, publicJwk(KEY), 'required')
  const load = (batches: number) => makeLoads(source, SIGNER, { streams: STREAMS, batches, events: EVENTS })
  // Code that has just been loaded is slow; that is not what is measured.
  await handIn([service.url], await load(20))
  const { rate } = await handIn([service.url], await load(20))
  const batches = Math.ceil(((rate / 3) * SECONDS) / STREAMS / EVENTS)
  const honest = async () => {
    const loads = await load(batches)
    return () => handInPaced(service.url, loads, rate / 3)
  }
  const alone: number[] = []
  const beside = ATTACKS.map(() => [] as Outcome<Flow>[])
  for (let round = 0; round < rounds; round++) {
    for (const [i, attack] of ATTACKS.entries()) {
      alone.push((await (await honest())()).p99)
      beside[i]!.push(await besideAttack(service, attack, { source, kid: thumbprint(publicJwk(KEY)) }, await honest()))
    }
  }
  const calm = median(alone)
  return ATTACKS.map(({ what }, i) => {
    const p99 = median(beside[i]!.map(({ flow }) => flow.p99))
    const memory = Math.max(...beside[i]!.map((outcome) => outcome.memory))
    const refused = beside[i]!.flatMap(({ refusals }) => Object.values(refusals)).reduce((sum, n) => sum + n, 0)
    return {
      what: `receipts at a third of the load, beside ${what}`,
      figure: `p99 ${Math.round(p99)} ms, memory at most ${Math.round(memory / 2 ** 20)} MiB, ${refused.toLocaleString('en')} refusals`,
      beside: `p99 ${Math.round(calm)} ms without (target: at most twice that)`,
      ratio: p99 / calm,
    }
  })
}
