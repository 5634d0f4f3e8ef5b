// What queries say: times, cursors, conditions on events.
import { type Static, Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../errors.ts'
import type { EventConditions } from '../ledger/read/search.ts'
import { SearchQuery } from './schemas.ts'

/** What is asked of events, without pages. */
export const Conditions = Type.Omit(SearchQuery, ['limit', 'cursor'])

export function parseConditions({ from, to, ...filters }: Static<typeof Conditions>): EventConditions {
  return { ...filters, from: parseTime('from', from), to: parseTime('to', to) }
}

function parseTime(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  // Years of four digits, as RFC 3339 has them; not every other is one to the database.
  const isYear = time.getTime() >= Date.UTC(1000, 0) && time.getTime() < Date.UTC(9999, 11, 31)
  if (!isYear) throw new Refusal('request_invalid', `${name} is not a time as in RFC 3339.`)
  return time
}

/** A cursor is the place of the last row, as numbers joined by dots. */
export function parseCursor(text: string | undefined, parts: number): number[] | undefined {
  if (text === undefined) return undefined
  const numbers = text.split('.').map(Number)
  const isPlace = /^[\d.]+$/.test(text) && numbers.length === parts && numbers.every(Number.isSafeInteger)
  if (!isPlace || numbers.slice(1).some((part) => part > 2 ** 31 - 1)) {
    throw new Refusal('request_invalid', 'The cursor is not one that this service gave.')
  }
  return numbers
}
