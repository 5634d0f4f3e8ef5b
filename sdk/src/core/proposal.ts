/**
 * What one person proposes and another confirms: docs/PROTOCOL.md §16. The proposal is an event of the ledger's own stream that holds the
 * event it proposes, word for word. That event is recorded once another person has confirmed it, and names both.
 */
import { KillickError } from './errors.ts'
import type { ParsedEvent } from './event.ts'
import type { EventInput } from './fields.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue } from './json.ts'
import { SYSTEM } from './registry.ts'
import { parseTime, printTime } from './time.ts'

/** What an event says of the two people behind it. `proposal`: id of the proposal */
export type DecidedBy = { readonly proposal: string; readonly orderedBy: string; readonly confirmedBy: string }

/** The event that is proposed: `erasure.order`, `retention.set` or `retention.end`, without `confirmed`. */
export type Proposed = Pick<EventInput, 'action' | 'targets' | 'metadata'>

/** What one person proposes. */
export type Proposal = {
  /** A UUID; that of an erasure is the erasure's too. */
  readonly id: string
  /** Name of the person. */
  readonly by: string
  /** Until when another may confirm it, ms since 1970. */
  readonly expires: number
  readonly proposes: Proposed
}

/** A proposal that somebody refuses. */
export type Refused = { readonly id: string; readonly by: string; readonly reason: string }

const MAKE = 'proposal.make'
const REFUSE = 'proposal.refuse'
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const PERSON = /^[a-z0-9][a-z0-9._-]{0,63}$/
const ACTIONS: readonly (JsonValue | undefined)[] = ['erasure.order', 'retention.set', 'retention.end']

/** Whether a text can name a person: 1 to 64 lower-case letters, digits, dots, dashes and underscores. */
export const isPersonName = (value: JsonValue | undefined): value is string =>
  typeof value === 'string' && PERSON.test(value)

/** The fields of the system event that proposes something; `parseProposal` reads them back. */
export const proposalFields = ({ id, by, expires, proposes }: Proposal): Proposed => ({
  action: MAKE,
  targets: [{ type: 'proposal', id }],
  metadata: { by, expires: printTime(expires), proposes: { ...proposes } },
})

/** The fields of the system event by which somebody refuses a proposal. */
export const refusalFields = ({ id, by, reason }: Refused): Proposed => ({
  action: REFUSE,
  targets: [{ type: 'proposal', id }],
  metadata: { by, reason },
})

function invalid(why: string): never {
  throw new KillickError('proposal_invalid', `Proposal: ${why}`)
}

/** What an event proposes; null if it proposes nothing. The caller checks that it is in the log. @throws KillickError `proposal_invalid` */
export function parseProposal(event: ParsedEvent): Proposal | null {
  const metadata = metadataOf(event, MAKE, ['by', 'expires', 'proposes'])
  if (metadata === null) return null
  const { by, expires, proposes } = metadata
  const until = parseTime(expires) ?? invalid('expires is no time')
  if (!isPersonName(by)) invalid('by names nobody')
  if (!isObject(proposes) || !hasMembers(proposes, ['action', 'targets', 'metadata'])) invalid('proposes is no event')
  const { action, targets, metadata: said } = proposes
  if (!ACTIONS.includes(action) || !Array.isArray(targets) || !targets.every(isThing) || !isObject(said))
    invalid('proposes is no order')
  if (said.confirmed !== undefined) invalid('what it proposes is confirmed')
  return { id: targetOf(event), by, expires: until, proposes: { action: action as string, targets, metadata: said } }
}

/** Which proposal an event refuses; null if it refuses none. @throws KillickError `proposal_invalid` */
export function parseRefusal(event: ParsedEvent): Refused | null {
  const metadata = metadataOf(event, REFUSE, ['by', 'reason'])
  if (metadata === null) return null
  const { by, reason } = metadata
  if (!isPersonName(by) || typeof reason !== 'string') invalid('it is refused by nobody, or for nothing')
  return { id: targetOf(event), by, reason }
}

/** What a member `confirmed` says; null if it says nothing that can be read. */
export function parseDecidedBy(value: JsonValue | undefined): DecidedBy | null {
  if (!isObject(value) || !hasMembers(value, ['proposal', 'orderedBy', 'confirmedBy'])) return null
  const { proposal, orderedBy, confirmedBy } = value
  const isWhole = typeof proposal === 'string' && UUID.test(proposal)
  return isWhole && isPersonName(orderedBy) && isPersonName(confirmedBy) ? { proposal, orderedBy, confirmedBy } : null
}

const isThing = (value: JsonValue): value is { type: string; id: string } =>
  isObject(value) && typeof value.type === 'string' && typeof value.id === 'string'

function metadataOf({ source, stream, fields }: ParsedEvent, action: string, members: string[]): JsonObject | null {
  if (source !== SYSTEM.source || stream !== SYSTEM.stream || fields.action !== action) return null
  const { metadata } = fields
  return isObject(metadata) && hasMembers(metadata, members)
    ? metadata
    : invalid(`its metadata is not ${members.join(', ')}`)
}

function targetOf({ fields: { targets } }: ParsedEvent): string {
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  const isOne = isObject(target) && target.type === 'proposal' && typeof target.id === 'string' && UUID.test(target.id)
  return isOne ? (target.id as string) : invalid('its target is not one proposal')
}
