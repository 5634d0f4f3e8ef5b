/** Times, numbers and lists as a language prints them. */

export type Printer = {
  /** "23 November 2026 at 01:31:17 UTC"; what is no time, or before the year 1, stays as it is. */
  readonly time: (iso: string) => string
  readonly number: (value: number) => string
  /** "a, b and c" */
  readonly list: (items: readonly string[]) => string
}

/** Up to tenths: what is just above a limit must not read as the limit. */
export const upToTenth = (value: number): number => Math.ceil(10 * value) / 10

/** @param tag of a language, as in BCP 47 */
export function printer(tag: string): Printer {
  const times = new Intl.DateTimeFormat(tag, {
    ...{ day: 'numeric', month: 'long', year: 'numeric' },
    ...{ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
    timeZone: 'UTC',
  })
  const numbers = new Intl.NumberFormat(tag)
  const lists = new Intl.ListFormat(tag)
  return {
    time(iso) {
      const time = new Date(iso)
      // Of years before the first the calendar says the number alone, as of those behind it.
      return time.getUTCFullYear() > 0 ? `${times.format(time)} UTC` : iso
    },
    number: (value) => numbers.format(value),
    list: (items) => lists.format(items),
  }
}
