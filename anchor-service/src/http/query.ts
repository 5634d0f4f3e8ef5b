// What queries say: times, and conditions on events.
import { type Static, Type } from '@fastify/type-provider-typebox'
import { parseTime } from '@killick/sdk/core'
import { Refusal } from '../errors.ts'
import type { EventConditions } from '../ledger/read/search.ts'
import { SearchQuery } from './schemas.ts'

/** What is asked of events, without pages. */
export const Conditions = Type.Omit(SearchQuery, ['limit', 'cursor'])

export function parseConditions({ from, to, ...filters }: Static<typeof Conditions>): EventConditions {
  // Not every earlier year is one to the database.
  const time = (name: string, text: string | undefined) => (text === undefined ? undefined : timeOf(name, text, 1000))
  return { ...filters, from: time('from', from), to: time('to', to) }
}

/**
 * A time that a request names: RFC 3339, of a year from `firstYear` to 9999 in UTC; later ones are printed in another form.
 * @param name of the parameter or member
 * @throws Refusal request_invalid
 */
export function timeOf(name: string, text: string, firstYear: number): Date {
  const time = parseTime(text)
  if (time === null || time < Date.UTC(firstYear, 0) || time >= Date.UTC(10_000, 0))
    throw new Refusal('request_invalid', `${name} is not an RFC 3339 time in the years from ${firstYear} to 9999.`)
  return new Date(time)
}
