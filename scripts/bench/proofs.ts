// Proofs and audits: how fast the service builds proofs, how fast Node checks them, how large they are, and what an audit takes.
import { fileURLToPath } from 'node:url'
import { parseProof, type Trust, verifyProof } from '@killick/sdk'
import { startNode } from '../lib/processes.ts'
import type { Load } from './events.ts'
import { verifyingRate } from './limits.ts'
import { against, type BenchPlan, type BenchRow, ms, perSecond } from './plan.ts'
import { openReader } from './reader.ts'
import { type Running, TOKEN } from './service.ts'
import { quantile } from './stats.ts'

const CLI = fileURLToPath(new URL('../../sdk/src/cli/main.ts', import.meta.url))

/** `rate`: a second. `ownMs`: CPU of whoever asks, for each. `texts`: the proofs. */
export type ProofFigures = { rate: number; p99: number; ownMs: number; texts: string[] }

const AT_A_TIME = 8

/** @param ids of events in the ledger, each asked for once, eight requests at a time */
export async function measureProofs(url: string, ids: readonly string[]): Promise<ProofFigures> {
  const texts: string[] = []
  const latencies: number[] = []
  const queue = [...ids]
  const readers = Array.from({ length: AT_A_TIME }, () => openReader(url))
  const before = process.cpuUsage()
  const start = performance.now()
  await Promise.all(
    readers.map(async (reader) => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const asked = performance.now()
        texts.push(await reader.ask(`/v1/proofs/${id}`))
        latencies.push(performance.now() - asked)
      }
    }),
  )
  const took = performance.now() - start
  const { user, system } = process.cpuUsage(before)
  for (const reader of readers) reader.close()
  const ownMs = (user + system) / 1000 / ids.length
  return { rate: (ids.length * 1000) / took, p99: quantile(latencies, 0.99), ownMs, texts }
}

/** What proofs are to be: a second, and the p99 in ms. */
const TARGET = { perSecond: 1000, p99: 20 }

/** A row that holds figures against the target; the ratio is that of the rate. */
export const proofRow = (what: string, { rate, p99, ownMs, texts }: ProofFigures, more = ''): BenchRow => ({
  what,
  figure: `${perSecond(rate)}, p99 ${ms(p99)}, ${quantile(
    texts.map((text) => text.length),
    0.5,
  )} bytes, ${ownMs.toFixed(2)} ms of CPU for each to ask`,
  beside: `target: ${perSecond(TARGET.perSecond)}, p99 ${ms(TARGET.p99)}${more}`,
  ratio: rate / TARGET.perSecond,
})

/** Parsing and every check but those that need the chain, which costs one eth_call and no computing. */
function verifyRate(texts: readonly string[]): number {
  const trust: Trust = {}
  const start = performance.now()
  for (const text of texts) {
    const verdict = verifyProof(parseProof(text), trust)
    if (verdict.outcome === 'failed') throw new Error('a proof of the benchmark does not verify')
  }
  return (texts.length * 1000) / (performance.now() - start)
}

/** Proofs of some of these events, and an audit of the whole ledger. */
export async function measureChecking(service: Running, loads: readonly Load[], plan: BenchPlan): Promise<BenchRow[]> {
  const ids = loads.flatMap(({ batches }) => batches.flatMap((batch) => batch.ids))
  const wanted = ids.filter((_, i) => i % Math.ceil(ids.length / (200 * plan.rounds)) === 0)
  await measureProofs(service.url, wanted.slice(0, 100))
  const proofs = await measureProofs(service.url, wanted)
  verifyRate(proofs.texts.slice(0, 50))
  return [
    proofRow('proofs built and served, eight requests at a time', proofs),
    {
      what: 'proofs parsed and verified in Node, portable code',
      figure: perSecond(verifyRate(proofs.texts.slice(0, 200))),
      beside: 'one thread',
    },
    against(
      'killick audit: everything downloaded and checked again, 1 in 1,000 events looked up',
      await auditRate(service.url),
      await verifyingRate(1000),
      'verifications of all cores (libsodium)',
    ),
  ]
}

async function auditRate(url: string): Promise<number> {
  const start = performance.now()
  const env = { ...process.env, KILLICK_URL: url, KILLICK_TOKEN: TOKEN }
  const { vkey } = (await (await fetch(`${url}/v1/log`)).json()) as { vkey: string }
  const child = await startNode([CLI, 'audit', '--no-chain', '--registered-keys', '--log-key', vkey, '--json'], { env })
  const { code } = await child.exited
  const result = JSON.parse(/\{[\s\S]*\}/.exec(child.output())?.[0] ?? '{}') as { events?: number }
  if (code !== 0 || result.events === undefined) throw new Error(`killick audit: ${child.output()}`)
  return (result.events * 1000) / (performance.now() - start)
}
