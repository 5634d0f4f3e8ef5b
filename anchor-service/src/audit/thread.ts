import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { AuditPins, AuditProgress, AuditResult } from '@killick/sdk/audit'

/**
 * What an auditing thread is given: the service as anyone else would reach it, what to rely on instead of its word, and the
 * database, for what the service does not serve.
 */
export type Assignment = { url: string; token: string; pins: AuditPins; pace: number; database: AuditedDatabase }

export type AuditedDatabase = { databaseUrl: string; hasRole: boolean }

/** `obstacle`: why the audit could not be carried through. */
export type Report = { progress: AuditProgress } | { result: AuditResult } | { obstacle: string }

const ENTRY = new URL(`./auditor${extname(import.meta.url)}`, import.meta.url)

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
  const worker = new Worker(ENTRY, { workerData: assignment, execArgv: [] })
  const end = () => void worker.terminate()
  signal.addEventListener('abort', end, { once: true })
  return new Promise<AuditResult>((resolve, reject) => {
    worker.on('message', (report: Report) => {
      if ('progress' in report) onProgress(report.progress)
      else if ('result' in report) resolve(report.result)
      else reject(new Error(report.obstacle))
    })
    worker.on('error', reject)
    worker.on('exit', () => reject(signal.reason ?? new Error('the auditing thread ended')))
  }).finally(() => signal.removeEventListener('abort', end))
}
