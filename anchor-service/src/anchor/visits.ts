import { Alarm, type AlarmCode } from './alarms.ts'
import type { Visit } from './worker.ts'

export type Keeper = {
  /** Answers a ring: visits the target; if a visit is under way, once more after it. */
  visit(): Promise<void>
  /** The reconciler: makes up for lost rings. */
  tick(): Promise<void>
  status(): { state: 'idle' | 'working' | 'alarm'; detail: string | null; alarm: AlarmCode | null }
  /** Waits for the visit that is under way. */
  close(): Promise<void>
}

export type KeeperDeps = {
  advance: () => Promise<Visit>
  /** @throws if the queue cannot be reached */
  ring: () => Promise<void>
  /** Whether there is something to anchor. Reads only the ledger. */
  isDue: (idle: Visit & { outcome: 'idle' }) => Promise<boolean>
  pollMs: number
  ended: (ended: Visit | Alarm) => void
}

/** How long a ring may stay unanswered before the reconciler visits the target itself. ms */
const UNANSWERED_MS = 1_000
/** How long to wait after an alarm. ms */
const ALARM_MS = 5_000
/** How often to look at a chain when there is nothing to do. ms */
const IDLE_MS = 60_000

/** Makes sure that a target is visited when there is a reason, whatever happens to the queue. */
export function keepTarget({ advance, ring, isDue, pollMs, ended }: KeeperDeps): Keeper {
  let last: Visit | Alarm | null = null
  let endedAt = Number.NEGATIVE_INFINITY
  let rangAt: number | null = null
  let running: Promise<void> | null = null
  let again = false
  let isClosed = false

  async function run(): Promise<void> {
    do {
      again = false
      last = await advance().catch((error) =>
        error instanceof Alarm ? error : new Alarm('failed', `(${(error as Error).message})`),
      )
      endedAt = performance.now()
      rangAt = null
      ended(last)
    } while (again && !isClosed)
    running = null
  }

  async function isWanted(): Promise<boolean> {
    if (last === null) return true
    const rested = performance.now() - endedAt
    if (last instanceof Alarm) return rested >= ALARM_MS
    if (last.outcome === 'idle') return rested >= IDLE_MS || isDue(last)
    return rested >= (last.outcome === 'settling' ? 4 * pollMs : pollMs)
  }

  const keeper: Keeper = {
    async visit() {
      if (isClosed) return
      if (running) again = true
      running ??= run()
      await running
    },
    async tick() {
      if (running || isClosed) return
      if (rangAt !== null) return performance.now() - rangAt > UNANSWERED_MS ? keeper.visit() : undefined
      if (!(await isWanted()) || running || isClosed) return
      rangAt = performance.now()
      await ring().catch(() => keeper.visit())
    },
    status() {
      if (last instanceof Alarm) return { state: 'alarm', detail: last.message, alarm: last.code }
      const isIdle = last === null || last.outcome === 'idle' || last.outcome === 'settling'
      return { state: isIdle ? 'idle' : 'working', detail: last && 'detail' in last ? last.detail : null, alarm: null }
    },
    async close() {
      isClosed = true
      await running
    },
  }
  return keeper
}
