/** Times as text: RFC 3339 date-times, read by one rule wherever a time comes in, and printed in one spelling. */

const DATE_TIME =
  /^(\d{4})-(0[1-9]|1[0-2])-(\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))$/

/**
 * Reads an RFC 3339 date-time: with seconds and zone, on a day of the calendar, without leap second. What is finer than a
 * millisecond is cut off. Not Date.parse: engines differ in what they forgive, such as a 30th of February, and verifiers must
 * not differ.
 * @returns ms since 1970; null if the text is not such a time
 */
export function parseTime(text: unknown): number | null {
  const match = typeof text === 'string' ? DATE_TIME.exec(text) : null
  if (match === null) return null
  const [, year, month, day, hours, minutes, seconds, fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match
  // Not Date.UTC, which takes years below 100 for those of the last century.
  const midnight = new Date(0)
  midnight.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  // A day that the month does not have is one of the next.
  if (midnight.getUTCDate() !== Number(day)) return null
  const zone = (sign === '-' ? -1 : 1) * (60 * Number(zoneHours) + Number(zoneMinutes))
  const ms = Number(fraction.slice(0, 3).padEnd(3, '0'))
  return midnight.getTime() + 1000 * (60 * (60 * Number(hours) + Number(minutes) - zone) + Number(seconds)) + ms
}

/** The one spelling of a time that Killick prints: UTC, to the millisecond. Null, for no time, stays null. */
export function printTime(ms: number): string
export function printTime(ms: number | null): string | null
export function printTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
