/** Days as people choose them, in UTC, and the times that the service is asked for. Pure. */
import { parseTime } from '@killick/sdk/verify'

const DAY_MS = 86_400_000
const YEAR_10000 = Date.UTC(10_000, 0)

export const isDay = (text: string): boolean => /^\d{4}-\d\d-\d\d$/.test(text)

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

export type Span = { from: string; to: string }

/** Spans that are asked for often, by their names. @param now ms */
export function presets(now: number): Record<string, Span> {
  const today = dayOf(now)
  const at = new Date(now)
  const quarter = dayOf(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - (at.getUTCMonth() % 3), 1))
  return {
    Today: { from: today, to: today },
    '7 days': { from: dayOf(now - 6 * DAY_MS), to: today },
    'This quarter': { from: quarter, to: today },
  }
}

/**
 * What is asked of the service, with `to` exclusive: a day by itself is the whole day. An end behind the year 9999 is none: no event is
 * later, and the service takes no such time. Faults go by the name of their field.
 */
export function timesOf({ from = '', to = '' }: Partial<Span>): {
  times: Partial<Span>
  faults: Map<keyof Span, string>
} {
  const faults = new Map<keyof Span, string>()
  const read = (name: keyof Span, typed: string): number | undefined => {
    if (typed === '') return undefined
    // Nobody types seconds.
    const time = parseTime(isDay(typed) ? `${typed}T00:00:00Z` : typed.replace(/^(\S{10}[Tt]\d\d:\d\d)(?!:)/, '$1:00'))
    if (time === null || (name === 'from' && time >= YEAR_10000))
      faults.set(name, 'A day such as 2026-11-23, or a time such as 2026-11-23T09:30Z')
    return time === null ? undefined : isDay(typed) && name === 'to' ? time + DAY_MS : time
  }
  const [begin, end] = [read('from', from.trim()), read('to', to.trim())]
  if (begin !== undefined && end !== undefined && begin >= end) faults.set('to', 'It ends before it begins.')
  const print = (time: number) => new Date(time).toISOString()
  return {
    times: {
      ...(begin !== undefined && { from: print(begin) }),
      ...(end !== undefined && end < YEAR_10000 && { to: print(end) }),
    },
    faults,
  }
}
