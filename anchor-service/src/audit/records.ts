import { type EventInput, type JsonObject, SYSTEM } from '@killick/sdk/core'
import { ANCHOR_ACTIONS } from '../anchor/state.ts'
import type { Db } from '../database/pool.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { hasNews } from '../ledger/read/activity.ts'
import { searchEvents } from '../ledger/read/search.ts'
import { type Finished, faultOf } from './outcome.ts'

/** What the system stream says of audits: the newest, the newest that passed or failed, and the newest that passed. */
export type RecordedAudits = { last: Finished | null; decided: Finished | null; passed: Finished | null }

/** A pass that says nothing new is recorded once in this time all the same. ms */
const AT_LEAST_EVERY_MS = 24 * 60 * 60 * 1000

const OUTCOMES = ['pass', 'fail', 'undecided'] as const
/** Actions that do not make the last audit outdated. */
const QUIET = [...OUTCOMES.map((outcome) => `audit.${outcome}`), ...ANCHOR_ACTIONS]

export async function readRecorded(db: Db): Promise<RecordedAudits> {
  const found = await Promise.all(OUTCOMES.map((outcome) => readNewest(db, outcome)))
  const [pass, fail, undecided] = found
  const newest = (...all: (Found | null | undefined)[]): Finished | null =>
    all.filter((one) => one !== null && one !== undefined).sort((a, b) => b.logIndex - a.logIndex)[0]?.audit ?? null
  return { last: newest(pass, fail, undecided), decided: newest(pass, fail), passed: newest(pass) }
}

type Found = { logIndex: number; audit: Finished }

async function readNewest(db: Db, outcome: Finished['outcome']): Promise<Found | null> {
  const query = { action: `audit.${outcome}`, source: SYSTEM.source, limit: 1 }
  const [event] = (await searchEvents(db, query)).events
  // An event that somebody has altered says nothing; the audit will.
  if (event === undefined || 'error' in event) return null
  const rest = event.fields.metadata as Omit<Finished, 'outcome' | 'at'> | undefined
  return rest ? { logIndex: event.logIndex, audit: { outcome, at: event.recordedAt, ...rest } } : null
}

/**
 * Records how an audit ended, unless `last` already says so: the same outcome and fault, less than a day ago, for a log that has
 * not grown since except by events about audits and anchors. So audits do not make an idle log grow.
 */
export async function record(ledger: Ledger, audit: Finished, last: Finished | null): Promise<boolean> {
  const isKnown =
    last !== null &&
    last.outcome === audit.outcome &&
    faultOf(last) === faultOf(audit) &&
    Math.abs(Date.parse(audit.at) - Date.parse(last.at)) < AT_LEAST_EVERY_MS &&
    !(audit.size !== null && (await hasNews(ledger.db, QUIET, last.size ?? 0, audit.size)))
  if (isKnown) return false
  await ledger.record(toEvent(ledger.log.origin, audit))
  return true
}

function toEvent(origin: string, { outcome, at: _, ...rest }: Finished): EventInput {
  return {
    action: `audit.${outcome}`,
    actor: { type: 'service', id: 'anchor-service' },
    targets: [{ type: 'log', id: origin }],
    ...(outcome !== 'undecided' && { outcome: outcome === 'pass' ? ('success' as const) : ('failure' as const) }),
    metadata: rest as JsonObject,
  }
}
