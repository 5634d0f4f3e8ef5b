import pg from 'pg'
import type { Anchoring, AnchoringDeps } from './anchoring.ts'
import { makeAnchorMetrics } from './metrics.ts'
import { openTarget } from './open-target.ts'
import { runTarget } from './start-target.ts'

export { type Deployment, deployAnchorLog } from './chain/deploy.ts'
export { type ChainSigner, keySigner } from './chain/signer.ts'

/**
 * Anchors the log's checkpoints to every configured target. Nothing that a chain or the queue does stops it or the service:
 * it reports trouble in `status` and in the metrics, and goes on by itself when the trouble ends.
 *
 * @throws StartError if the configuration cannot be right
 */
export async function startAnchoring(deps: AnchoringDeps): Promise<Anchoring> {
  const { pool } = deps
  const targets = await Promise.all(deps.targets.map((each) => openTarget(each, deps.ledger.log.origin)))
  const metrics = makeAnchorMetrics(deps.registry)
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
