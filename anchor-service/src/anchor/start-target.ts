import type pg from 'pg'
import { Alarm } from './alarms.ts'
import type { AnchoringDeps, TargetStatus } from './anchoring.ts'
import type { Chain } from './chain/chain.ts'
import type { ChainSigner } from './chain/signer.ts'
import { type Funds, readFunds } from './funds.ts'
import type { AnchorMetrics } from './metrics.ts'
import { findDue } from './next-checkpoint.ts'
import { openDoorbell } from './queue.ts'
import type { Target } from './target.ts'
import { keepTarget } from './visits.ts'
import { advance } from './worker.ts'

export type RunningTarget = {
  /** Tells it that the log has grown. Cheap, so that it may be called at each commit. */
  nudge(): void
  status(): TargetStatus
  close(): Promise<void>
}

type Parts = AnchoringDeps & {
  target: Target
  chain: Chain
  signer: ChainSigner
  locks: pg.Pool
  metrics: AnchorMetrics
}

/** Nudges within this time count as one. ms */
const NUDGE_MS = 50
/** Shortest interval of scheduled rings. ms */
const SCHEDULE_MS = 1_000
/** How often the publisher's balance is read. ms */
const FUNDS_MS = 30_000

/** Starts one target with its queue, worker and reconciler. Trouble with it delays no other target. */
export function runTarget(parts: Parts): RunningTarget {
  const { redisUrl, databaseUrl, ledger, log, target, chain, signer, locks, metrics } = parts
  const about = { target: target.name }
  let funds: Funds | null = null
  let fundsReadAt = Number.NEGATIVE_INFINITY
  async function checkFunds(): Promise<void> {
    if (performance.now() - fundsReadAt < FUNDS_MS) return
    fundsReadAt = performance.now()
    const before = funds?.isLow ?? false
    funds = await readFunds(chain, signer, target)
    metrics.funds(target.name, funds)
    if (funds.isLow && !before) log.warn(about, `${signer.address} can pay for only ${funds.anchors} more anchors`)
  }

  let alarm: Alarm | null = null
  /** Logs when an alarm begins, changes and ends, not each time it is raised. */
  function tellAlarm(next: Alarm | null): void {
    if (next && next.code !== alarm?.code) log.warn({ ...about, code: next.code }, next.message)
    if (alarm && !next) log.info({ ...about, code: alarm.code }, 'the alarm is over')
    alarm = next
  }

  const keeper = keepTarget({
    advance: () => advance({ target, chain, signer, ledger, moved: metrics.moved(target.name) }, locks),
    ring: () => doorbell.ring(),
    isDue: async ({ place, held }) => (await findDue(ledger, place, target, held)) !== null,
    pollMs: target.pollMs,
    ended(visit) {
      metrics.ended(target.name, visit)
      tellAlarm(visit instanceof Alarm ? visit : null)
      checkFunds().catch(() => {})
    },
  })
  // A visit asks the chain, whether or not there is news. Between two of them the reconciler looks into the ledger, which is cheap.
  const intervalMs = Math.max(target.intervalMs, SCHEDULE_MS)
  const doorbell = openDoorbell(
    {
      ...{ redisUrl, databaseUrl, name: `killick-anchor-${target.name}`, intervalMs },
      tell(trouble) {
        if (trouble === null) log.info(about, 'the queue is up again')
        else log.warn(about, `the queue is down, and anchoring goes on without it: ${trouble}`)
      },
    },
    keeper.visit,
  )

  const look = () => keeper.tick().catch((error) => log.warn(about, `the ledger cannot be read: ${error.message}`))
  const reconciler = setInterval(look, Math.min(target.pollMs, 1_000))
  let nudged: NodeJS.Timeout | null = null

  // A queue that loses its memory loses the schedule too, so the schedule is set again and again.
  const schedule = () => doorbell.schedule().catch(() => {})
  schedule()
  const scheduler = setInterval(schedule, intervalMs)

  return {
    nudge() {
      nudged ??= setTimeout(() => {
        nudged = null
        look()
      }, NUDGE_MS)
    },
    status: () => ({
      ...{ target: target.name, contract: target.contract, logId: target.logId, publisher: signer.address },
      ...keeper.status(),
      funds: funds && { balance: String(funds.balance), anchors: funds.anchors, isLow: funds.isLow },
      queue: doorbell.status(),
      nodes: chain.nodes(),
    }),
    async close() {
      clearInterval(reconciler)
      clearInterval(scheduler)
      clearTimeout(nudged ?? undefined)
      await doorbell.close()
      await keeper.close()
    },
  }
}
