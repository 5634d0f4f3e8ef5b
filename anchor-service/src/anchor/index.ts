import pg from 'pg'
import { StartError } from '../errors.ts'
import type { Anchoring, AnchoringDeps } from '../service.ts'
import { Alarm } from './alarms.ts'
import { type Chain, logIdOf, openChain } from './chain/index.ts'
import { findDue } from './due.ts'
import { keepTarget } from './keeper.ts'
import { makeAnchorMetrics } from './metrics.ts'
import { type Bell, openBell } from './queue.ts'
import { type ChainSigner, openKey } from './signer.ts'
import type { Target } from './target.ts'
import { tend } from './worker.ts'

export { deployAnchorLog } from './chain/deploy.ts'

/**
 * Anchors the log's checkpoints to every configured target. Nothing that chain or queue do stops it or the service:
 * trouble is told in `status` and in the metrics, and it goes on by itself when the trouble ends.
 *
 * @throws StartError where the configuration cannot be right
 */
export async function startAnchoring(deps: AnchoringDeps): Promise<Anchoring> {
  const { config, pool, log } = deps
  const metrics = makeAnchorMetrics(deps.metrics.registry)
  const { target, chain, signer } = await openTarget(deps)
  const locks = new pg.Pool({ ...pool.options, max: 1 })
  locks.on('error', () => {})
  let bell: Bell | null = null

  const keeper = keepTarget({
    tend: () => tend({ target, chain, signer, ledger: deps.ledger, moved: metrics.moved(target.name) }, locks),
    bell: () => bell,
    isDue: async (place) => (await findDue(deps.ledger, place, target)) !== null,
    pollMs: target.pollMs,
    ended(visit) {
      metrics.ended(target.name, visit)
      if (visit instanceof Alarm) log.warn({ target: target.name, code: visit.code }, visit.message)
    },
  })
  const opening = openBell({ ...config, ...target, databaseUrl: deps.databaseUrl }, keeper.visit).then(
    (opened) => {
      bell = opened
    },
    (error) => log.warn({ target: target.name }, `no doorbell: ${error.message}`),
  )
  let scheduled = Number.NEGATIVE_INFINITY
  const timer = setInterval(
    () => {
      keeper.tick().catch((error) => log.warn({ target: target.name }, `reconciler: ${error.message}`))
      if (Date.now() - scheduled < target.intervalMs) return
      scheduled = Date.now()
      bell?.schedule().catch(() => {
        scheduled = Number.NEGATIVE_INFINITY
      })
    },
    Math.min(target.pollMs, 1_000),
  )

  return {
    // The reconciler sees growth within a second, whichever process it happens in.
    ring: async () => {},
    status: () => ({
      queue: bell?.status() ?? null,
      targets: [{ ...describe(target, signer), ...keeper.status(), nodes: chain.nodes() }],
    }),
    async close() {
      clearInterval(timer)
      await opening
      await bell?.close()
      await keeper.close()
      await locks.end()
    },
  }
}

function describe({ name, contract, logId }: Target, signer: ChainSigner) {
  return { target: name, contract, logId, publisher: signer.address }
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
