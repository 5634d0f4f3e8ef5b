// From facts to an event: what every event of a recorder says, and what is removed before it is signed.
import type { EventInput } from '@killick/sdk'
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { isTraceparent, type Removal } from '@killick/sdk/kit'
import { disclosed, shortened } from './disclosed.ts'
import { redactJsonTexts } from './json-texts.ts'
import type { RecorderSettings } from './settings.ts'

/** Which recorder it is: what its actions begin with, and the member of `metadata` that holds what it knows by itself. */
export type RecorderKind = 'mcp' | 'postgres' | 'http'

/** An event as a recorder passes it to `record()`. */
export type RecordedEvent = EventInput & { [field: string]: unknown }

/** Something that an event names: who acts, or on what. */
export type Thing = { readonly type: string; readonly id: string }

/** What an event is made of. */
export type EventFacts = {
  /** What comes behind `<kind>.`. */
  action: string
  actor: Thing & JsonObject
  /** Without the session, which is the last target of each event. */
  targets: readonly Thing[]
  outcome?: 'success' | 'failure' | 'denied' | undefined
  /** Become fields of their own, or of what is too large its hash. `openRecorder` must know their names. */
  fields?: Readonly<Record<string, JsonValue | undefined>>
  /** The rules look into texts in these fields, and in `told`, that are JSON. */
  hasJsonTexts?: boolean | undefined
  changes?: EventInput['changes'] | undefined
  /** Goes into `metadata`, and is looked through by the redaction rules. */
  told?: JsonObject | undefined
  /** What the recorder knows by itself: names, numbers and hashes in which no rule may find anything. */
  known?: JsonObject | undefined
  /** Goes into `context`, and is looked through by the redaction rules. */
  context?: JsonObject | undefined
  /** Beside the session's id in `context`; no rule looks into it. */
  circumstances?: JsonObject | undefined
  /** Hash and length of the message. */
  message?: { readonly sha256: string; readonly bytes: number } | undefined
  /** Members of `known` with the hash of a field, or a list of such, by that field's name. */
  hashed?: Readonly<Record<string, string>> | undefined
  /** What stands for fields that cannot be shown, by their names. */
  omitted?: JsonObject | undefined
  /** The whole action, where it does not begin with the recorder's kind. */
  wholeAction?: string | undefined
  /** Default: the configuration's. */
  mode?: RecorderSettings['mode'] | undefined
  /** Goes into `context` if it is one. */
  traceparent?: JsonValue | undefined
}

/** What of a recorder's configuration its events depend on. */
export type EventSettings = Pick<RecorderSettings, 'context' | 'redaction' | 'mode' | 'limits' | 'sealed'>

/** The field of its own that `told` goes into where it is to be sealed: `metadata` must stay readable. */
export const DETAILS = 'details'

/** Removals that are listed one by one; of the others there are counts for each rule. */
const MAX_REMOVALS = 200

/**
 * Makes the event of some facts.
 * @param session id of the session that it belongs to
 * @throws KitError `event_invalid` if it holds what cannot be looked into
 */
export function eventOf(
  kind: RecorderKind,
  session: string,
  settings: EventSettings,
  facts: EventFacts,
): RecordedEvent {
  const { redaction, limits } = settings
  const { outcome, changes, message, traceparent, wholeAction, mode = settings.mode } = facts
  const omitted: JsonObject = { ...facts.omitted }
  const shown: Record<string, JsonValue> = {}
  const removedInTexts: Removal[] = []
  const looked = (value: JsonValue, name: string): JsonValue =>
    facts.hasJsonTexts ? redactJsonTexts(value, [name], redaction, removedInTexts) : value
  for (const [name, value] of Object.entries(facts.fields ?? {})) {
    if (value === undefined) continue
    const found = disclosed(value, limits.discloseBytes)
    if ('value' in found) shown[name] = looked(found.value, name)
    else omitted[name] = found.omitted
  }
  // The hash of what nobody is to read one day would confirm a guess at it.
  const { fields = {}, hashed = {} } = facts
  const sealed = settings.sealed?.fields.filter((name) => name in fields || name in hashed) ?? []
  for (const name of sealed) if (isObject(omitted[name])) omitted[name] = bare(omitted[name])
  const told = facts.told && disclosed(facts.told, limits.discloseBytes)
  const targets = facts.targets.map(({ type, id }) => ({ type, id: shortened(id) }))
  const { event, removals: found } = redaction.redactEvent({
    action: shortened(`${kind}.${facts.action}`, 256),
    actor: facts.actor,
    targets,
    ...(outcome !== undefined && { outcome }),
    context: { ...settings.context, ...facts.context },
    metadata:
      told === undefined
        ? {}
        : 'value' in told
          ? (looked(told.value, 'metadata') as JsonObject)
          : { omitted: told.omitted },
    ...(changes !== undefined && { changes }),
    ...shown,
  } as EventInput)
  const removals = [...removedInTexts, ...found]
  const isApart = settings.sealed?.fields.includes(DETAILS) === true && Object.keys(event.metadata ?? {}).length > 0
  const isWhole = removals.length === 0 && sealed.length === 0
  return {
    ...event,
    ...(isApart && { [DETAILS]: event.metadata }),
    ...(wholeAction !== undefined && { action: wholeAction }),
    targets: [...(event.targets ?? []), { type: 'session', id: session }],
    context: { ...event.context, session, ...facts.circumstances, ...(isTraceparent(traceparent) && { traceparent }) },
    metadata: {
      ...(!isApart && event.metadata),
      [kind]: {
        // The hash of what a rule has removed would confirm a guess at it.
        ...(isWhole ? facts.known : withoutHashes(facts, [...Object.keys(shown), ...sealed])),
        mode,
        ...(message && { message: isWhole ? message : { bytes: message.bytes } }),
        ...(Object.keys(omitted).length > 0 && { omitted }),
      },
      ...(removals.length > 0 && { redactions: listOf(removals) }),
    },
  } as RecordedEvent
}

/** What the recorder knows, without the hashes of these fields. */
function withoutHashes({ known = {}, hashed = {} }: EventFacts, fields: readonly string[]): JsonObject {
  const left = { ...known }
  for (const [field, member] of Object.entries(hashed))
    if (fields.includes(field) && left[member] !== undefined) left[member] = bareOf(left[member])
  return left
}

function bareOf(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(bareOf)
  return isObject(value) ? bare(value) : value
}

const bare = ({ sha256: _, ...rest }: JsonObject): JsonObject => rest

/** Removals as events list them: the first ones by place, of the others how many there are by each rule. */
export function listOf(removals: readonly Removal[]): JsonValue {
  const list: JsonValue[] = removals.slice(0, MAX_REMOVALS).map(({ path, rule }) => ({ path: shortened(path), rule }))
  const more: Record<string, number> = {}
  for (const { rule } of removals.slice(MAX_REMOVALS)) more[rule] = (more[rule] ?? 0) + 1
  return [...list, ...Object.entries(more).map(([rule, count]) => ({ path: '/*', rule, count }))]
}
