/**
 * Holds: docs/PROTOCOL.md §16. A case for which events must stay as they are, those to come too, until the hold is lifted. What a
 * hold covers is neither erased nor does it expire.
 */
import { meets } from './conditions.ts'
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonValue } from './json.ts'
import { parseTime } from './time.ts'

/** What a hold covers: events that meet all of these; none: all events. `from` inclusive, `to` exclusive, RFC 3339. */
export type HoldScope = { readonly [name in keyof typeof meets | 'from' | 'to']?: string }

const NAMES = Object.keys(meets) as (keyof typeof meets)[]

/** Whether a hold covers an event. One that has lost a field in question may be meant, so it counts as covered. */
export function isHeld(
  { from, to, ...conditions }: HoldScope,
  event: Pick<ParsedEvent, 'source' | 'stream' | 'time' | 'fields' | 'fieldCount'> & {
    readonly disclosures: ArrayLike<unknown>
  },
): boolean {
  const { source, stream, fields, fieldCount, disclosures } = event
  const shown = { source, stream, fields, isWhole: disclosures.length === fieldCount }
  const isMet = (name: keyof typeof meets) => {
    const text = conditions[name]
    return text === undefined || meets[name](shown, text)
  }
  return (
    NAMES.every(isMet) &&
    (from === undefined || event.time >= (parseTime(from) ?? Number.NEGATIVE_INFINITY)) &&
    (to === undefined || event.time < (parseTime(to) ?? Number.POSITIVE_INFINITY))
  )
}

/** Whether a value can be what a hold covers. */
export const isHoldScope = (value: JsonValue | undefined): value is { [name in keyof HoldScope]: string } =>
  isObject(value) &&
  Object.entries(value).every(
    ([name, text]) => (Object.hasOwn(meets, name) || name === 'from' || name === 'to') && typeof text === 'string',
  )
