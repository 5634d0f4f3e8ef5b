// Proofs: how fast the service builds them, how fast Node checks them, how large they are.
import { parseProof, type Trust, verifyProof } from '@killick/sdk'
import { TOKEN } from './service.ts'
import { quantile } from './stats.ts'

export type ProofFigures = { perSecond: number; p99: number; bytes: number; verifiedPerSecond: number }

/** @param ids of events in the ledger, each asked for once, eight requests at a time */
export async function measureProofs(url: string, ids: readonly string[]): Promise<ProofFigures> {
  const texts: string[] = []
  const latencies: number[] = []
  const queue = [...ids]
  const start = performance.now()
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const asked = performance.now()
        const response = await fetch(`${url}/v1/proofs/${id}`, { headers: { authorization: `Bearer ${TOKEN}` } })
        texts.push(await response.text())
        if (!response.ok) throw new Error(`no proof of ${id}: ${texts.at(-1)}`)
        latencies.push(performance.now() - asked)
      }
    }),
  )
  const perSecond = (ids.length * 1000) / (performance.now() - start)
  return {
    perSecond,
    p99: quantile(latencies, 0.99),
    bytes: quantile(
      texts.map((text) => text.length),
      0.5,
    ),
    verifiedPerSecond: verifyRate(texts.slice(0, 100)),
  }
}

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
