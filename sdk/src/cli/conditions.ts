// Which events `search` and `export` ask for, as a query.
import { parseTime, printTime } from '../core/time.ts'
import { UsageError } from './command.ts'
import type { ValuesOf } from './table/entry.ts'
import type { CONDITIONS } from './table/options.ts'
import { err, text } from './terminal.ts'

const TEXTS = ['action', 'actor', 'target', 'outcome', 'tenant', 'source', 'stream'] as const
const DAY_MS = 86_400_000
const YEAR_10000 = Date.UTC(10_000, 0)

/** What may have white space at its ends: nobody means it who types it, but an id can have it. */
const IDS = new Set<string>(['actor', 'target', 'tenant'])

/** The query, empty or beginning with `?`; white space around a value is left out. @throws UsageError */
export function queryOf(values: ValuesOf<typeof CONDITIONS>, more: Record<string, string> = {}): string {
  const query = new URLSearchParams()
  for (const name of TEXTS) {
    const text = values[name]?.trim()
    if (text === '') throw new UsageError(`--${name} is empty`)
    if (text === undefined) continue
    query.set(name, text)
    if (text !== values[name] && IDS.has(name))
      err(`--${name} is read without the white space around it; for an id that has it, ask the service over HTTP`)
  }
  sayIds(query)
  sayName(query.get('action'))
  for (const name of ['from', 'to'] as const) {
    const text = values[name]
    const time = text === undefined ? null : timeOf(name, text.trim())
    if (time !== null) query.set(name, time)
  }
  for (const [name, value] of Object.entries(more)) query.set(name, value)
  return query.size === 0 ? '' : `?${query}`
}

/** Says what an asterisk does not mean: a hold over `order*` would hold nothing, and look as if it held. Routes may have one in their name. */
export function sayName(action: string | null | undefined): void {
  if (!action?.endsWith('*') || action.endsWith('.*')) return
  err(text`--action ${action} is one action of just that name; all that begin alike are ${action.slice(0, -1)}.*`)
}

/** Says that an id goes without its type: `invoice/42` would find nothing, and hold nothing. An id may have a slash in it all the same. */
function sayIds(query: URLSearchParams): void {
  for (const name of ['actor', 'target'] as const) {
    const [whole, type = '', id = ''] = /^([\w.-]+)\/(.+)$/.exec(query.get(name) ?? '') ?? []
    if (whole === undefined) continue
    err(
      text`--${name} ${whole} is an id of just that text; if it is the ${type} ${id} that is meant, say --${name} ${id}`,
    )
  }
}

/** A day is whole: `from` means its start, `to` its end, which is the start of the next. Null: an end behind every time that there is. */
function timeOf(name: 'from' | 'to', text: string): string | null {
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text)
  const time = parseTime(isDay ? `${text}T00:00:00Z` : text)
  if (time === null) throw new UsageError(`--${name} is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z: ${text}`)
  const end = time + (isDay && name === 'to' ? DAY_MS : 0)
  // No event is of a later year, and no such year can be printed as a time.
  if (end < YEAR_10000) return printTime(end)
  if (name === 'from') throw new UsageError(`--from is behind the year 9999: ${text}`)
  return null
}
