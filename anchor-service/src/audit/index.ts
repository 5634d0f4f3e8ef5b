import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditProgress } from '@killick/sdk/audit'
import type { PublicJwk } from '@killick/sdk/core'
import type { FastifyBaseLogger } from 'fastify'
import type { Registry } from 'prom-client'
import type { TargetSettings } from '../anchor/settings.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { openSeat } from './audit-lock.ts'
import { makeAuditMetrics } from './metrics.ts'
import { type Finished, finished, obstructed, withHead } from './outcome.ts'
import { ownPins } from './pins.ts'
import { readRecorded, record } from './records.ts'
import type { AuditSettings } from './settings.ts'
import { type AuditedDatabase, Obstructed, openAuditor } from './thread.ts'
import { openWebhook } from './webhook.ts'

export type AuditDeps = {
  settings: AuditSettings
  /** The service's own address, and its reader's token. */
  url: string
  token: string
  /** The key of the source `killick`. */
  systemKey: PublicJwk
  targets: readonly TargetSettings[]
  ledger: Ledger
  database: AuditedDatabase
  registry: Registry
  log: FastifyBaseLogger
}

/** Shown in `/readyz`. */
export type AuditStatus = {
  /** `elsewhere`: another process on this database audits; `last` is what it has recorded. */
  state: 'waiting' | 'running' | 'elsewhere'
  /** Progress of the running audit. */
  progress: AuditProgress | null
  /** When the running audit began, or when the next one will; null: another process decides. ISO 8601, UTC */
  began: string | null
  next: string | null
  /** True from an audit that failed until one passes. */
  failed: boolean
  last: Finished | null
  /** The newest that passed, as far as this process knows. */
  passed: Finished | null
  /** From the end of one to the beginning of the next, and most events per second (0: no limit). */
  intervalMs: number
  pace: number
}

export type Auditing = {
  status(): AuditStatus
  /** Ends a running audit without waiting for its outcome. */
  close(): Promise<void>
}

/** The first audit leaves a service that has just started time for those who wait for it. ms */
const FIRST_AFTER_MS = 30_000
/** With the next audit so soon, the thread of one is kept for it. ms */
const SOON_MS = 60_000
/** How often to see whether the process that audits is gone, or the database is back. ms */
const LOOK_EVERY_MS = 15_000

/**
 * Audits the whole ledger again and again: over HTTP like a stranger, on a thread of its own, relying on the keys and the
 * contracts of this process's configuration. Only one process on a database audits. It reports findings in `status`,
 * metrics, webhook and the system stream; they never stop batches from being accepted.
 */
export function keepAuditing(deps: AuditDeps): Auditing {
  const { settings, ledger, log } = deps
  const metrics = makeAuditMetrics(deps.registry)
  const seat = openSeat(ledger.db)
  const stop = new AbortController()
  const { intervalMs, pace } = settings
  const auditor = openAuditor(intervalMs <= SOON_MS)
  const idle = { state: 'waiting', progress: null, began: null, next: null } as const
  let status: AuditStatus = { ...idle, failed: false, last: null, passed: null, intervalMs, pace }
  const webhook =
    settings.webhook === null
      ? null
      : openWebhook(settings.webhook, ledger.log.origin, (isLast) => {
          metrics.webhookFailed()
          if (isLast) log.warn('the webhook of the audit does not answer; it is tried again after the next audit')
        })

  /** @returns ms until the next visit */
  async function visit(): Promise<number> {
    const lookAgain = Math.min(settings.intervalMs, LOOK_EVERY_MS)
    const isMine = await seat.take()
    if (!isMine || status.state === 'elsewhere') await readLast(isMine)
    if (!isMine) return lookAgain
    const audit = await auditOnce()
    // An outcome that could not be recorded is still new after the next audit.
    await conclude(audit).catch((error) => log.warn({ err: error }, 'the outcome of the audit could not be recorded'))
    return settings.intervalMs
  }

  /** Takes up what the system stream says, at the start and while another process audits. */
  async function readLast(isMine: boolean): Promise<void> {
    const { last, decided, passed } = await readRecorded(ledger.db)
    const failed = decided?.outcome === 'fail'
    status = { ...status, ...idle, state: isMine ? 'waiting' : 'elsewhere', failed, last, passed }
    webhook?.assume(failed)
    metrics.failed(failed)
    if (decided?.outcome === 'pass') metrics.passed(decided)
  }

  async function auditOnce(): Promise<Finished> {
    const { url, token, systemKey, targets, database } = deps
    // A monotonic clock, because the wall clock may be set meanwhile.
    const started = performance.now()
    const end = () => ({ at: new Date().toISOString(), seconds: Math.round(performance.now() - started) / 1000 })
    status = { ...status, ...idle, state: 'running', began: new Date().toISOString() }
    metrics.running(true)
    try {
      const pins = await ownPins(ledger.log, [systemKey, ...settings.earlierKeys], targets)
      const assignment = { url, token, pins, pace, database }
      const onProgress = (progress: AuditProgress) => {
        status = { ...status, progress }
        metrics.events(progress.events)
      }
      const result = finished(await auditor.audit(assignment, onProgress, stop.signal), end())
      return withHead(result, await ledger.checkHead())
    } catch (error) {
      stop.signal.throwIfAborted()
      return obstructed((error as Error).message, error instanceof Obstructed ? error.altered : null, end())
    } finally {
      metrics.running(false)
      status = { ...status, ...idle }
    }
  }

  async function conclude(audit: Finished): Promise<void> {
    const { outcome, first, findings, size, events } = audit
    const failed = outcome === 'undecided' ? status.failed : outcome === 'fail'
    if (outcome === 'fail') log.error({ first, findings }, 'the audit found the ledger at fault')
    else log[outcome === 'pass' ? 'info' : 'warn']({ outcome, size, events, findings }, 'the ledger was audited')
    status = { ...status, failed, last: audit, ...(outcome === 'pass' && { passed: audit }) }
    metrics.failed(failed)
    if (outcome === 'pass') metrics.passed(audit)
    if (outcome !== 'undecided') webhook?.tell(audit)
    await record(ledger, audit, (await readRecorded(ledger.db)).last)
  }

  async function run(): Promise<void> {
    await readLast(true).catch((error: Error) => log.warn({ err: error }, 'earlier audits cannot be read'))
    for (let wait = Math.min(settings.intervalMs, FIRST_AFTER_MS); !stop.signal.aborted; ) {
      const next = status.state === 'elsewhere' ? null : new Date(Date.now() + wait).toISOString()
      status = { ...status, next }
      await sleep(wait, undefined, { signal: stop.signal }).catch(() => {})
      if (stop.signal.aborted) return
      wait = await visit().catch((error: Error) => {
        if (!stop.signal.aborted) log.warn({ err: error }, 'the ledger could not be audited')
        return Math.min(settings.intervalMs, LOOK_EVERY_MS)
      })
    }
  }
  const running = run()

  return {
    status: () => status,
    async close() {
      stop.abort()
      await running
      await auditor.close()
      await webhook?.close()
      await seat.close()
    },
  }
}
