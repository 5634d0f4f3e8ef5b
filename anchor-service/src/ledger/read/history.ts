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
export type TargetEvent = HistoryEvent &
  Pick<FoundEvent, 'token' | 'leafHash' | 'erased' | 'expired'> & {
    /** How many of the hidden digests may stand for no field, since the source is registered with decoys; absent: none. */
    readonly undecided?: number
  }

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
    // What may be a decoy may as well have been a field: whoever reads the same events elsewhere cannot tell either.
    const hidden = page.events.map((event) => ('error' in event ? 0 : (event.missing ?? 0)))
    await registry.explainMissing(db, page.events)
    for (const [i, event] of page.events.entries()) {
      found += 1
      if ('error' in event) altered.push(event)
      else {
        bytes += event.token.length
        const told = toldBy(event, hidden[i]!)
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

function toldBy(event: FoundEvent, hidden: number): TargetEvent {
  const { recordedAt, missing = 0, erased = 0, expired = 0, ...rest } = event
  const undecided = hidden - missing - erased - expired
  // Whether by an order or not: what is gone may have said that something was changed.
  const why = { ...(erased > 0 && { erased }), ...(expired > 0 && { expired }), ...(undecided > 0 && { undecided }) }
  return { ...rest, time: Date.parse(recordedAt), hidden, ...why }
}
