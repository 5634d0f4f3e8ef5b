/**
 * `@killick/sdk/cloudevents`: events as CloudEvents 1.0, and CloudEvents as events. Pure functions over JSON; they run anywhere and
 * need no CloudEvents library.
 */
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import type { EventInput, Party, RecordableObject } from '../core/fields.ts'
import { printHash } from '../core/hash.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import { parseTime, printTime } from '../core/time.ts'

/**
 * An event as a CloudEvent 1.0, in its JSON form. The attributes are a reading aid; `data.token` is the event, and what verifies.
 */
export type EventCloudEvent = {
  specversion: '1.0'
  /** The event's id (`jti`), a UUIDv7. */
  id: string
  /** The event's source (`iss`). */
  source: string
  /** Its action. */
  type: string
  /** Its first target as `type/id`; absent without targets. */
  subject?: string
  /** When it happened: `occurredAt`, else the recorder's clock. */
  time: string
  datacontenttype: 'application/json'
  /** Extension: the stream that the event belongs to. */
  stream: string
  /** Extension: its place there, in decimal digits, since integers of CloudEvents have 32 bits. */
  seq: string
  /** Extension: its leaf hash, 43 characters of base64url. */
  leafhash: string
  /** Extension: leaf hash of the event before it; absent exactly for the stream's first. A receiver finds gaps by it. */
  prev?: string
  /** `fields`: the fields that the token shows. `token`: the event's own bytes, an SD-JWT. */
  data: { fields: JsonObject; token: string }
}

/**
 * An event as a CloudEvent 1.0: `id` is the event's id, `source` its source, `type` its action, `subject` its first target.
 * @param token the event, with the fields to be shown: `event` of a proof, or `token` of a log for tests. Its signature is not checked
 * @throws KillickError `event_*`, `disclosure_*`, `jws_*`, `json_*` of a malformed token; `event_incomplete` if it hides its
 * action, which a CloudEvent must have
 * @example
 * const proof = parseProof(text)
 * await fetch(bus, { method: 'POST', headers: { 'content-type': 'application/cloudevents+json' },
 *   body: JSON.stringify(toCloudEvent(proof.event)) })
 */
export function toCloudEvent(token: string): EventCloudEvent {
  return cloudEventOf(parseEvent(token))
}

function cloudEventOf({ id, source, stream, seq, prev, time, leafHash, fields, token }: ParsedEvent): EventCloudEvent {
  if (typeof fields.action !== 'string')
    throw new KillickError('event_incomplete', 'A CloudEvent has a type; this event hides its action')
  const [target] = Array.isArray(fields.targets) ? fields.targets : []
  return {
    specversion: '1.0',
    id,
    source,
    type: attribute(fields.action),
    ...(isObject(target) && { subject: attribute(`${target.type}/${target.id}`) }),
    time: typeof fields.occurredAt === 'string' ? fields.occurredAt : printTime(time),
    datacontenttype: 'application/json',
    stream,
    seq: String(seq),
    leafhash: printHash(leafHash),
    ...(prev && { prev: printHash(prev) }),
    data: { fields, token },
  }
}

/** Controls and noncharacters, which an attribute of a CloudEvent must not have (§3.1 String), as percent signs and hex of UTF-8. */
const attribute = (text: string) => text.replace(/[\p{Cc}\p{Noncharacter_Code_Point}]/gu, encodeURIComponent)

/** An event that a CloudEvent of `toCloudEvent` carried. */
export type CarriedEvent = {
  id: string
  source: string
  stream: string
  seq: number
  /** Leaf hash of the event before it; absent exactly for the stream's first. */
  prev?: string
  /** When it was recorded, by the recorder's clock. */
  time: Date
  leafHash: string
  /** What the token shows. */
  fields: JsonObject
  /** The event's bytes, as they were signed. Whether the signature verifies is for a proof to say. */
  token: string
}

/**
 * The way back of `toCloudEvent`. Everything is read from `data.token`; attributes and `data.fields` must say the same, so that
 * whoever filters by them was not misled on the way.
 * @throws KillickError `event_malformed` if there is no token, or if another member does not agree with it (`details.field`: the
 * first one), and what `toCloudEvent` throws
 */
export function fromCloudEvent(cloudEvent: unknown): CarriedEvent {
  const data = isObject(cloudEvent) ? cloudEvent.data : undefined
  if (!isObject(cloudEvent) || !isObject(data) || typeof data.token !== 'string')
    throw new KillickError('event_malformed', 'The CloudEvent carries no event: data.token is missing', {
      field: '/data/token',
    })
  const event = parseEvent(data.token)
  const expected = cloudEventOf(event)
  for (const [name, value] of Object.entries(expected)) {
    const agrees = name === 'data' ? isSame(data.fields, event.fields) : cloudEvent[name] === value
    if (agrees) continue
    const field = name === 'data' ? '/data/fields' : `/${name}`
    throw new KillickError('event_malformed', `${field} of the CloudEvent is not what its token says`, { field })
  }
  // Those that the event has no value for.
  for (const name of ['subject', 'prev'] as const) {
    if (cloudEvent[name] !== undefined && expected[name] === undefined)
      throw new KillickError('event_malformed', `/${name} of the CloudEvent is not what its token says`, {
        field: `/${name}`,
      })
  }
  const { id, source, stream, seq, prev, time, leafHash, fields, token } = event
  return {
    ...{ id, source, stream, seq },
    ...(prev && { prev: printHash(prev) }),
    ...{ time: new Date(time), leafHash: printHash(leafHash), fields, token },
  }
}

/** Whether two JSON values are equal, whatever the order of members. */
function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => isSame(value, b[i]))
  if (!isObject(a) || !isObject(b)) return a === b
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  )
}

/** How the members of an event are found in a CloudEvent that somebody else made. */
export type CloudEventMapping = {
  /**
   * Who did it. Default: `authtype` and `authid` of the extension *Auth Context*. A function returns null if it finds nobody, and
   * then the CloudEvent is refused.
   */
  actor?: Party | ((cloudEvent: JsonObject) => Party | null)
  /** To what. Default: the `subject` as id, with `targetType` as type; none without a subject. */
  targets?: (cloudEvent: JsonObject) => readonly Party[]
  /** Type of the target that is made of `subject`; default `subject`. */
  targetType?: string
  /** How it ended. Default: left open. */
  outcome?: EventInput['outcome'] | ((cloudEvent: JsonObject) => EventInput['outcome'])
}

const ATTRIBUTES = ['specversion', 'id', 'source', 'type'] as const

/**
 * What to record of a CloudEvent that somebody else made: `type` becomes the action, `subject` the target, `time` `occurredAt`.
 * `metadata.cloudevent` holds `id`, `source` and every other attribute, `metadata.data` (or `metadata.data_base64`) the data: nothing
 * is left out. The same CloudEvent recorded twice is two events; their `metadata.cloudevent` shows that.
 * @param cloudEvent in its JSON form, or an object of the package `cloudevents`
 * @throws KillickError `field_invalid` with `details.field`: what is missing or of the wrong form. `record()` checks the rest
 * @example
 * await audit.record(eventOfCloudEvent(cloudEvent, { targetType: 'order' }))
 */
export function eventOfCloudEvent(cloudEvent: unknown, mapping: CloudEventMapping = {}): EventInput {
  const plain = plainOf(cloudEvent)
  for (const name of ATTRIBUTES) {
    if (typeof plain[name] !== 'string' || plain[name] === '') invalid(`/${name}`, 'must be a non-empty string')
  }
  const { specversion, id, source, type, subject, time, data, data_base64, ...rest } = plain
  if (specversion !== '1.0') invalid('/specversion', 'must be 1.0')
  if (time !== undefined && parseTime(time) === null) invalid('/time', 'must be an RFC 3339 date-time')
  if (subject !== undefined && typeof subject !== 'string') invalid('/subject', 'must be a string')
  if (data !== undefined && data_base64 !== undefined) invalid('/data_base64', 'stands beside data')
  const actor = actorOf(plain, mapping.actor)
  const outcome = typeof mapping.outcome === 'function' ? mapping.outcome(plain) : mapping.outcome
  const bySubject = subject ? [{ type: mapping.targetType ?? 'subject', id: subject as string }] : []
  return {
    action: type as string,
    actor,
    targets: mapping.targets ? mapping.targets(plain) : bySubject,
    ...(outcome !== undefined && { outcome }),
    ...(time !== undefined && { occurredAt: time as string }),
    metadata: {
      cloudevent: { id, source, ...(subject !== undefined && { subject }), ...rest },
      ...(data !== undefined && { data }),
      ...(data_base64 !== undefined && { data_base64 }),
    } as RecordableObject,
  }
}

/** What the CloudEvent is in JSON: classes of libraries keep attributes where only their own toJSON finds them all. */
function plainOf(cloudEvent: unknown): JsonObject {
  let plain: unknown
  try {
    plain = JSON.parse(JSON.stringify(cloudEvent))
  } catch {
    // Refused below: undefined, a circle, a BigInt.
  }
  return isObject(plain) ? plain : invalid('', 'it is not a JSON object')
}

function actorOf(cloudEvent: JsonObject, actor: CloudEventMapping['actor']): Party {
  const { authtype, authid } = cloudEvent
  const found =
    typeof actor === 'function'
      ? actor(cloudEvent)
      : (actor ?? (typeof authtype === 'string' && typeof authid === 'string' ? { type: authtype, id: authid } : null))
  if (found) return found
  return invalid('/actor', 'is missing: the CloudEvent has no authtype and authid, and no other actor was given')
}

function invalid(field: string, why: string): never {
  throw new KillickError('field_invalid', `CloudEvent: ${[field, why].filter(Boolean).join(' ')}`, { field })
}
