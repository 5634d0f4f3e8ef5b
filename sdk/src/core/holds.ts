/**
 * Holds: docs/PROTOCOL.md §16. A case for which events must stay as they are, those to come too, until the hold is lifted. What a
 * hold covers is neither erased nor does it expire.
 */
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonValue } from './json.ts'
import { fitsAction } from './retention.ts'
import { parseTime } from './time.ts'

/** What a hold covers: events that meet all of these; none: all events. `from` inclusive, `to` exclusive, RFC 3339. */
export type HoldScope = {
  readonly [name in 'source' | 'stream' | 'action' | 'actor' | 'target' | 'outcome' | 'from' | 'to']?: string
}

type Seen = Pick<ParsedEvent, 'source' | 'stream' | 'time' | 'fields'>

const idOf = (party: JsonValue | undefined) => (isObject(party) ? party.id : undefined)

/** Whether an event meets a condition; one that does not show the field in question may, so it does. */
const meets: { readonly [name in keyof HoldScope]-?: (event: Seen, text: string) => boolean } = {
  source: ({ source }, text) => source === text,
  stream: ({ stream }, text) => stream === text,
  action: ({ fields: { action } }, text) => action === undefined || fitsAction(action, text),
  actor: ({ fields: { actor } }, text) => actor === undefined || idOf(actor) === text,
  target: ({ fields: { targets } }, text) => !Array.isArray(targets) || targets.some((target) => idOf(target) === text),
  outcome: ({ fields: { outcome } }, text) => outcome === undefined || outcome === text,
  from: ({ time }, text) => time >= (parseTime(text) ?? Number.NEGATIVE_INFINITY),
  to: ({ time }, text) => time < (parseTime(text) ?? Number.POSITIVE_INFINITY),
}

/** Whether a hold covers an event. One that has lost a field in question may be meant, so it counts as covered. */
export function isHeld(covers: HoldScope, event: Seen): boolean {
  for (const name in meets) {
    const text = covers[name as keyof HoldScope]
    if (text !== undefined && !meets[name as keyof HoldScope](event, text)) return false
  }
  return true
}

/** Whether a value can be what a hold covers. */
export const isHoldScope = (value: JsonValue | undefined): value is { [name in keyof HoldScope]: string } =>
  isObject(value) &&
  Object.entries(value).every(([name, text]) => Object.hasOwn(meets, name) && typeof text === 'string')
