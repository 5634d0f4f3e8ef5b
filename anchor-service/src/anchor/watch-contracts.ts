// What a service does of anchoring where a worker elsewhere anchors: it looks whether the contracts hold more than its log.
import type { FastifyBaseLogger } from 'fastify'
import type { Ledger } from '../ledger/ledger.ts'
import { Alarm } from './alarms.ts'
import { type OpenTarget, openTarget } from './open-target.ts'
import type { TargetSettings } from './settings.ts'
import { checkHeld, look } from './step-context.ts'

/** How often a contract is looked at. ms */
const LOOK_MS = 30_000

/**
 * Looks at each target's contract, now and again and again, and tells the ledger what it holds: a contract is a memory outside the database, and
 * with a new data folder the only one. The worker's own findings are in another process.
 * @throws StartError if the configuration cannot be right
 */
export async function watchContracts(deps: {
  targets: readonly TargetSettings[]
  ledger: Ledger
  log: FastifyBaseLogger
  /** Default 30,000. */
  everyMs?: number
}): Promise<{ close(): Promise<void> }> {
  const { ledger, log, everyMs = LOOK_MS } = deps
  const targets = await Promise.all(deps.targets.map((each) => openTarget(each, ledger.log.origin)))
  const watches = targets.map((target) => watch(target, ledger, log, everyMs))
  return {
    async close() {
      await Promise.all(watches.map((each) => each.close()))
    },
  }
}

function watch({ target, chain, signer }: OpenTarget, ledger: Ledger, log: FastifyBaseLogger, everyMs: number) {
  let told: string | null = null
  let looking: Promise<void> | null = null

  async function lookOnce(): Promise<void> {
    let alarm: Alarm | null = null
    try {
      await checkHeld({ chain, target, ledger }, await look({ chain, target, signer }))
    } catch (error) {
      alarm = error instanceof Alarm ? error : new Alarm('failed', `(${(error as Error).message})`)
    }
    // Said when it begins and when it is another, not each time.
    if (alarm !== null && alarm.code !== told)
      log.warn({ target: target.name, code: alarm.code }, `as this service sees the contract: ${alarm.message}`)
    if (alarm === null && told !== null)
      log.info({ target: target.name, code: told }, 'the contract holds what this log has, or nothing')
    told = alarm?.code ?? null
  }

  const tick = () => {
    looking ??= lookOnce().finally(() => {
      looking = null
    })
  }
  tick()
  const timer = setInterval(tick, everyMs)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      await looking
    },
  }
}
