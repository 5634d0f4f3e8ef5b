import pg from 'pg'
import { StartError } from '../errors.ts'
import type { Anchoring, AnchoringDeps } from '../service.ts'
import { type Chain, logIdOf, openChain } from './chain/index.ts'
import { makeAnchorMetrics } from './metrics.ts'
import { runTarget } from './running.ts'
import { type ChainSigner, openKey } from './signer.ts'
import type { Target } from './target.ts'

export { deployAnchorLog } from './chain/deploy.ts'

/**
 * Anchors the log's checkpoints to every configured target. Nothing that chain or queue do stops it or the service:
 * trouble is told in `status` and in the metrics, and it goes on by itself when the trouble ends.
 *
 * @throws StartError where the configuration cannot be right
 */
export async function startAnchoring(deps: AnchoringDeps): Promise<Anchoring> {
  const { pool } = deps
  const targets = [await openTarget(deps)]
  const metrics = makeAnchorMetrics(deps.metrics.registry)
  const locks = new pg.Pool({ ...pool.options, max: targets.length })
  // An idle connection that breaks is replaced at the next lock.
  locks.on('error', () => {})
  const running = targets.map((target) => runTarget({ ...deps, ...target, locks, metrics }))
  return {
    async ring() {
      for (const target of running) target.nudge()
    },
    status: () => ({ targets: running.map((target) => target.status()) }),
    async close() {
      await Promise.all(running.map((target) => target.close()))
      await locks.end()
    },
  }
}

async function openTarget({
  config,
  ledger,
}: AnchoringDeps): Promise<{ target: Target; chain: Chain; signer: ChainSigner }> {
  const { rpcUrl, contract, chainKey, intervalMs, growth, confirmations } = config.anchor
  const signer = await openKey(chainKey!).catch((error) => {
    throw new StartError(`KILLICK_CHAIN_KEY: ${error.message}.`)
  })
  const target: Target = {
    ...{ name: 'default', contract: contract!, logId: logIdOf(signer.address, ledger.log.origin), mayOpen: true },
    ...{ intervalMs, growth, confirmations, pollMs: 1_000, bumpAfterMs: 60_000, lagMs: 10_000 },
    ...{ fees: { cap: 200_000_000_000n }, reserve: 100 },
  }
  return { target, signer, chain: openChain({ urls: [rpcUrl!], timeoutMs: 10_000, maxLag: 8 }) }
}
