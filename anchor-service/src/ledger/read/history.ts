/** All events of a target, in bounded memory: what its history is folded from. */
import { type HistoryEvent, type HistoryTarget, mayBeAbout } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import type { LedgerRegistry } from '../registry/registry.ts'
import type { EventPlace, FoundEvent, UnreadableEvent } from './events.ts'
import { searchEvents } from './search.ts'

export type HistoryLimits = {
  /** Events of the id. */
  events: number
  /** Bytes of them, as they were recorded. */
  bytes: number
}

/** What is folded on one request, in well under a second. `killick history` and bundles have no such limit. */
export const HISTORY_LIMITS: HistoryLimits = { events: 5_000, bytes: 8 << 20 }

/** An event as a history needs it, with its bytes and its name. */
export type TargetEvent = HistoryEvent & Pick<FoundEvent, 'token' | 'leafHash' | 'erased' | 'expired'>

export type TargetEvents = {
  events: TargetEvent[]
  /** Those that the database does not hold as they were accepted: found by their search keys, so the type may be another. */
  altered: UnreadableEvent[]
  /** Whether these are all that the index finds. */
  isWhole: boolean
}

/** Events of a page at first and at most; in between, as many as have about this many bytes. */
const PAGE = { first: 50, most: 500, bytes: 2 << 20 }

/** The events that name a target, or may name it in what the ledger no longer holds; newest first. */
export async function readTargetEvents(
  db: Db,
  registry: Pick<LedgerRegistry, 'explainMissing'>,
  target: HistoryTarget,
  limits: HistoryLimits = HISTORY_LIMITS,
): Promise<TargetEvents> {
  const events: TargetEvent[] = []
  const altered: UnreadableEvent[] = []
  let before: EventPlace | undefined
  for (let found = 0, bytes = 0, limit = PAGE.first; ; ) {
    const page = await searchEvents(db, { target: target.id, limit, before })
    await registry.explainMissing(db, page.events)
    for (const event of page.events) {
      found += 1
      if ('error' in event) altered.push(event)
      else {
        bytes += event.token.length
        const told = toldBy(event)
        // Things of other types may have the same id.
        if (mayBeAbout(told, target)) events.push(told)
      }
      if (found > limits.events || bytes > limits.bytes) return { events, altered, isWhole: false }
    }
    if (page.next === null) return { events, altered, isWhole: true }
    before = page.next
    limit = Math.max(1, Math.min(PAGE.most, Math.floor((PAGE.bytes * found) / Math.max(1, bytes))))
  }
}

function toldBy(event: FoundEvent): TargetEvent {
  const { recordedAt, missing = 0, erased = 0, expired = 0, ...rest } = event
  // Whether by an order or not: what is gone may have said that something was changed.
  const gone = { ...(erased > 0 && { erased }), ...(expired > 0 && { expired }) }
  return { ...rest, time: Date.parse(recordedAt), hidden: missing + erased + expired, ...gone }
}
