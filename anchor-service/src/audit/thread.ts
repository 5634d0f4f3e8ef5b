import type { AuditPins, AuditProgress, AuditResult } from '@killick/sdk/audit'
import { keepThread, threadBeside } from '../thread.ts'

/**
 * What an auditing thread is given: the service as anyone else would reach it, what to rely on instead of its word, and the
 * database, for what the service does not serve.
 */
export type Assignment = { url: string; token: string; pins: AuditPins; pace: number; database: AuditedDatabase }

export type AuditedDatabase = { databaseUrl: string; hasRole: boolean }

/** `obstacle`: why the audit could not be carried through. */
export type Report = { progress: AuditProgress } | { result: AuditResult } | { obstacle: string }

const ENTRY = threadBeside(import.meta.url, 'auditor')

/**
 * One audit on a thread of its own, so that the event loop stays free for requests and commits.
 * @throws Error with the obstacle, or `signal`'s reason; the thread has ended then
 */
export function auditOnThread(
  assignment: Assignment,
  onProgress: (progress: AuditProgress) => void,
  signal: AbortSignal,
): Promise<AuditResult> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<AuditResult>()
  const thread = keepThread<never, never, never, Report>(ENTRY, {
    data: assignment,
    news(report) {
      if ('progress' in report) onProgress(report.progress)
      else if ('result' in report) resolve(report.result)
      else reject(new Error(report.obstacle))
    },
    // After a result it means nothing.
    failed: reject,
  })
  const kill = () => void thread.kill().then(() => reject(signal.reason))
  signal.addEventListener('abort', kill, { once: true })
  return promise.finally(() => signal.removeEventListener('abort', kill))
}
