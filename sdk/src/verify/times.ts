/** Bounds on the time of an entry: block times say when the anchored log did not hold it yet, and when it did. */
import type { ParsedEvent } from '../core/event.ts'
import { parseTime, printTime } from '../core/time.ts'
import { type Finding, pass, skip } from './finding.ts'
import { DEFAULT_TIME_TOLERANCE, type Trust } from './trust.ts'
import type { Times } from './verdict.ts'

/**
 * Times in ms since 1970. `after`: the log that was anchored then did not hold the entry yet. `by`: the log that was anchored
 * then held it. Null: no anchor tells.
 */
export type Bounds = { readonly after: number | null; readonly by: number | null }

/**
 * The bounds that anchors of one log give an entry.
 * @param without block times, ms, of anchors of the log without the entry @param having of those with it
 */
export function boundsFrom(without: readonly number[], having: readonly number[]): Bounds {
  const by = having.length === 0 ? null : Math.min(...having)
  // Of several chains one may be late: its anchor is without an entry that another had shown by then.
  const before = without.filter((time) => by === null || time <= by)
  return { after: before.length === 0 ? null : Math.max(...before), by }
}

/** Whether something that happened within bounds happened within a period; `open`: the bounds leave that undecided. */
export function heldAgainst(
  { after, by }: Bounds,
  notBefore: number | null,
  notAfter: number | null,
): 'inside' | 'outside' | 'open' {
  if (notAfter !== null && after !== null && after > notAfter) return 'outside'
  if (notBefore !== null && by !== null && by < notBefore) return 'outside'
  const isOver = notAfter !== null && (by === null || by > notAfter)
  const isEarly = notBefore !== null && (after === null || after < notBefore)
  return isOver || isEarly ? 'open' : 'inside'
}

/**
 * The claimed times, and the bounds beside them. An event may have happened long before it was recorded, but not after it was in
 * the log.
 */
export function timesOf(event: ParsedEvent, { after, by }: Bounds, trust: Trust): Times {
  const toleranceMs = 1000 * (trust.timeTolerance ?? DEFAULT_TIME_TOLERANCE)
  const { occurredAt } = event.fields
  const happened = parseTime(occurredAt) ?? event.time
  const latest = Math.max(event.time, happened)
  const isBefore = after !== null && event.time < after - toleranceMs
  const isAfter = by !== null && latest > by + toleranceMs
  return {
    recordedAt: printTime(event.time),
    after: printTime(after),
    by: printTime(by),
    outside: isAfter ? 'after' : isBefore ? 'before' : null,
    toleranceMs,
  }
}

export function claimedTime({ recordedAt, after, by, outside, toleranceMs }: Times): Finding<'event.time'> {
  const tolerance = toleranceMs / 1000
  const bound = outside === 'before' ? after : by
  if (outside !== null && bound !== null) return skip('time_outside', { side: outside, recordedAt, bound, tolerance })
  return by === null ? skip('time_unbounded') : pass({ recordedAt, after, by })
}
