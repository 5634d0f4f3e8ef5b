import type { AuditPins, AuditProgress, AuditResult } from '@killick/sdk/audit'
import { keepThread, type Thread, threadBeside } from '@killick/sdk/core'
import type { AuditFinding } from './outcome.ts'

/**
 * What an auditing thread is given: the service as anyone else would reach it, what to rely on instead of its word, and the
 * database, for what the service does not serve.
 */
export type Assignment = { url: string; token: string; pins: AuditPins; pace: number; database: AuditedDatabase }

export type AuditedDatabase = { databaseUrl: string; hasRole: boolean }

export type Report = { progress: AuditProgress }

/** `obstacle`: why the audit could not be carried through; `altered`: that the schema is not the one that the migrations make. */
export type AuditEnd = { result: AuditResult } | { obstacle: string; altered: AuditFinding | null }

/** An audit could not be carried through. */
export class Obstructed extends Error {
  override readonly name = 'Obstructed'
  readonly altered: AuditFinding | null
  constructor(obstacle: string, altered: AuditFinding | null) {
    super(obstacle)
    this.altered = altered
  }
}

export type Auditor = {
  /**
   * One audit. Never two at once.
   * @throws Obstructed; Error with what ended the thread; `signal`'s reason once the thread has ended
   */
  audit(
    assignment: Assignment,
    onProgress: (progress: AuditProgress) => void,
    signal: AbortSignal,
  ): Promise<AuditResult>
  close(): Promise<void>
}

const ENTRY = threadBeside(import.meta.url, 'auditor')

/**
 * Audits on a thread of its own, so that the event loop stays free for requests and commits.
 * @param isKept whether the thread stays after an audit. Of a small ledger, to start it costs ten times what the audit does
 */
export function openAuditor(isKept: boolean): Auditor {
  let thread: Thread<never, Assignment, AuditEnd> | null = null
  let heard: (progress: AuditProgress) => void = () => {}

  async function close(): Promise<void> {
    const ended = thread?.end()
    thread = null
    await ended
  }

  return {
    close,
    async audit(assignment, onProgress, signal) {
      signal.throwIfAborted()
      heard = onProgress
      thread ??= keepThread<never, Assignment, AuditEnd, Report>(ENTRY, {
        data: null,
        news: ({ progress }) => heard(progress),
      })
      const { ask, kill } = thread
      const abort = () => {
        thread = null
        void kill()
      }
      signal.addEventListener('abort', abort, { once: true })
      try {
        const outcome = await ask(assignment)
        if ('result' in outcome) return outcome.result
        throw new Obstructed(outcome.obstacle, outcome.altered)
      } catch (error) {
        signal.throwIfAborted()
        throw error
      } finally {
        signal.removeEventListener('abort', abort)
        if (!isKept) await close()
      }
    },
  }
}
