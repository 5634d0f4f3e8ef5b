// Hours of the week in a time zone.

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]

/** Hours of some days. */
export type Hours = {
  /** IANA name, e.g. `Europe/Berlin`; summer time is that of the zone. */
  timeZone: string
  /** Default: all. */
  days: readonly Day[]
  /** `HH:MM`, inclusive. Default 00:00. */
  from: string
  /** `HH:MM`, exclusive; 24:00 is the day's end. At or before `from` it is on the day after. Default 24:00. */
  to: string
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** The day and the time of day there, as `HH:MM`. @throws RangeError if there is no such time zone */
export function localTime(timeZone: string, now: Date): { day: Day; time: string } {
  let format = formats.get(timeZone)
  if (format === undefined) {
    const options = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
    format = new Intl.DateTimeFormat('en-US', { timeZone, ...options })
    formats.set(timeZone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]))
  return { day: parts.weekday!.toLowerCase() as Day, time: `${parts.hour}:${parts.minute}` }
}

/** Whether it is one of these hours now. Hours that go beyond midnight belong to the day on which they begin. */
export function isWithin({ timeZone, days, from, to }: Hours, now: Date): boolean {
  const { day, time } = localTime(timeZone, now)
  if (from < to) return days.includes(day) && from <= time && time < to
  const before = DAYS[(DAYS.indexOf(day) + 6) % 7]!
  return (days.includes(day) && from <= time) || (days.includes(before) && time < to)
}
