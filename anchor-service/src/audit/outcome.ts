import { type AuditReason, type AuditResult, auditOutcome } from '@killick/sdk/audit'
import type { WentBack } from '../ledger/head-memory.ts'

/** How an audit ended. It is what readers are shown and, less its time, what the system stream keeps. */
export type Finished = {
  outcome: 'pass' | 'fail' | 'undecided'
  /** ISO 8601, UTC */
  at: string
  /** How long it took. s, to the ms */
  seconds: number
  /** Entries of the log that were audited, their root (base64url), and the events in them; null if it did not get so far. */
  size: number | null
  root: string | null
  events: number | null
  /** The earliest event or entry at fault. */
  first: AuditResult['first']
  /** Each check that failed or, if none did, each that was left open. */
  findings: AuditFinding[]
}

/** A check of an audit: its id, why it failed or was left open, and what was found, in words. docs/ERRORS.md lists ids and reasons. */
export type AuditFinding = { check: string; reason: AuditReason; detail: string }

const WORDS = { passed: 'pass', failed: 'fail', undecided: 'undecided' } as const
const STATUS = { pass: null, fail: 'failed', undecided: 'skipped' } as const

/** When an audit ended, and how long it took. */
export type End = Pick<Finished, 'at' | 'seconds'>

export function finished(result: AuditResult, end: End): Finished {
  const { size, root, events, first, checks } = result
  const outcome = WORDS[auditOutcome(result)]
  const findings = checks
    .filter(({ status }) => status === STATUS[outcome])
    .map(({ id, reason, detail }) => ({ check: id, reason, detail }))
  return { outcome, ...end, size, root, events, first, findings }
}

/** An audit also fails if the log is sound in itself but is not the one that was signed. */
export function withHead(audit: Finished, fault: WentBack | null): Finished {
  if (fault === null) return audit
  const [signed, found] = [fault.remembered.size, fault.found?.size ?? 0]
  const detail = `log_went_back: ${signed} entries were signed, as this process remembers; the ${found} in the database do not continue them`
  // The same size with another root, or entries beyond it, were put there instead of what was signed.
  const reason = found < signed ? 'removed' : 'rewritten'
  const finding: AuditFinding = { check: 'head.memory', reason, detail }
  const others = audit.outcome === 'fail' ? audit.findings : []
  return { ...audit, outcome: 'fail', findings: [finding, ...others] }
}

/** The audit could not be completed, which says nothing about the ledger, unless its schema is altered, which may be why. */
export function obstructed(detail: string, altered: AuditFinding | null, end: End): Finished {
  const nothing = { size: null, root: null, events: null, first: null }
  const stopped: AuditFinding = { check: 'audit', reason: 'stopped', detail }
  if (altered !== null) return { outcome: 'fail', ...end, ...nothing, findings: [altered, stopped] }
  return { outcome: 'undecided', ...end, ...nothing, findings: [stopped] }
}

/** Equal for two audits that found the same faults; null for an audit that found none. */
export function faultOf({ outcome, first, findings }: Finished): string | null {
  if (outcome !== 'fail') return null
  return JSON.stringify([first?.logIndex, first?.seq, findings.map(({ check }) => check)])
}
