// Reads queries: times, and conditions on events.
import { type Static, Type } from '@fastify/type-provider-typebox'
import { parseTime } from '@killick/sdk/core'
import { Refusal } from '../errors.ts'
import type { EventConditions } from '../ledger/read/search.ts'
import { SearchQuery } from './schemas.ts'

/** The parameters of a search that say which events are wanted, without those about pages. */
export const Conditions = Type.Omit(SearchQuery, ['limit', 'cursor'])

export function parseConditions({ from, to, ...filters }: Static<typeof Conditions>): EventConditions {
  // The database does not read every year before 1000.
  const time = (name: string, text: string | undefined) => (text === undefined ? undefined : timeOf(name, text, 1000))
  return { ...filters, from: time('from', from), to: time('to', to) }
}

/**
 * Reads a time in a request: RFC 3339, in the years from `firstYear` to 9999 in UTC; later years are printed in another form.
 * @param name of the parameter or member
 * @throws Refusal request_invalid
 */
export function timeOf(name: string, text: string, firstYear: number): Date {
  const time = parseTime(text)
  if (time === null || time < Date.UTC(firstYear, 0) || time >= Date.UTC(10_000, 0))
    throw new Refusal('request_invalid', `${name} is not an RFC 3339 time in the years from ${firstYear} to 9999.`)
  return new Date(time)
}
