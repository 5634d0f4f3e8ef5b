/**
 * Retention policies: docs/PROTOCOL.md §17. After so many days the contents of an event go, but for its `action`; its leaf, and so
 * every proof, stays. A policy covers events by what remains of them for good, so that everybody can check for ever whether
 * what has expired was covered, and was due.
 */
import { KillickError } from './errors.ts'
import { isCount, isSourceName, isStreamId, type ParsedEvent } from './event.ts'
import type { EventInput } from './fields.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue } from './json.ts'
import { type DecidedBy, parseDecidedBy } from './proposal.ts'
import { SYSTEM } from './registry.ts'

/**
 * What a policy covers: events that meet all of these; none: every event but the ledger's own. `action` is an action, or
 * `invoice.*` for all that begin with `invoice.`. An event that does not show its action is covered by no policy that names one.
 */
export type RetentionScope = { readonly source?: string; readonly stream?: string; readonly action?: string }

/** A version of a policy, as the event that sets it says. */
export type RetentionPolicy = {
  /** Its name: 1 to 64 lower-case letters, digits and dashes, the first no dash. */
  readonly id: string
  /** From 1 on, without gap; a later version replaces the one before it. */
  readonly version: number
  readonly covers: RetentionScope
  /** After how many days contents go: 1 to 36,500. */
  readonly contentsDays: number
  /** After how many days the events go, of a policy that names no action: `contentsDays` to 36,500; absent: they stay. */
  readonly eventsDays?: number | undefined
}

/** Batches that are dropped by a policy, as the event says that drops them. */
export type RetentionDrop = Pick<RetentionPolicy, 'id' | 'version'> & {
  /** Size of the log, and time of the block (s since 1970), of the anchor by which they are due. */
  readonly size: number
  readonly time: number
  /** Their log entries: the first and the last of each stretch, rising, with others between them. */
  readonly entries: readonly (readonly [first: number, last: number])[]
  /** How many events they have. */
  readonly events: number
}

/** Most days that a policy may keep contents: a hundred years. */
export const MAX_RETENTION_DAYS = 36_500
/** What stays of an event that has expired. */
export const KEPT_FIELD = 'action'
/** Seconds of a day. */
export const DAY_S = 86_400

const SET = 'retention.set'
const END = 'retention.end'
const DROP = 'retention.drop'
const ENTRIES = /^\d{1,16}(-\d{1,16})?(,\d{1,16}(-\d{1,16})?)*$/
/** Most characters of a drop's `entries`. */
export const MAX_DROP_TEXT = 16_384
const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/
/** An action has at most 256 characters, and `.*` may follow. */
const MAX_ACTION = 258

/** Whether a text can name a policy. */
export const isPolicyName = (value: JsonValue | undefined): value is string =>
  typeof value === 'string' && NAME.test(value)

/** Whether a value can be what a policy covers: nothing of the ledger's own. */
export function isRetentionScope(value: JsonValue | undefined): value is { [name in keyof RetentionScope]: string } {
  if (!isObject(value) || Object.keys(value).some((name) => !['source', 'stream', 'action'].includes(name)))
    return false
  const { source, stream, action } = value
  return (
    (source === undefined || (isSourceName(source) && source !== SYSTEM.source)) &&
    (stream === undefined || isStreamId(stream)) &&
    (action === undefined || (typeof action === 'string' && action.length > 0 && action.length <= MAX_ACTION))
  )
}

/** Whether a policy covers an event by what is shown of it; one of the ledger's own never. */
export function isCovered(
  { covers }: Pick<RetentionPolicy, 'covers'>,
  event: { readonly source: string; readonly stream: string; readonly action: JsonValue | undefined },
): boolean {
  const { source = event.source, stream = event.stream, action } = covers
  if (event.source === SYSTEM.source || event.source !== source || event.stream !== stream) return false
  return action === undefined || fitsAction(event.action, action)
}

/** A batch as its header tells it, which is all that is known of one that was dropped. */
export type HeaderScope = { readonly source: string; readonly stream: string }

/** Whether any event of a source and stream can be covered: by what a policy or a hold says of these two. */
const canCover = (
  { source, stream }: { readonly source?: string | undefined; readonly stream?: string | undefined },
  batch: HeaderScope,
): boolean => (source ?? batch.source) === batch.source && (stream ?? batch.stream) === batch.stream

/** After how many days nothing is left that a policy keeps. */
const daysOf = ({ eventsDays, contentsDays }: Pick<RetentionPolicy, 'contentsDays' | 'eventsDays'>): number =>
  eventsDays ?? contentsDays

/**
 * Why a batch may not be dropped by a policy, whatever its age; null: it may. A policy or a hold that can cover one of its events keeps it
 * whole, since nobody can tell later which events it had.
 * @param others policies that stand beside it
 */
export function keptFrom(
  policy: Pick<RetentionPolicy, 'id' | 'covers' | 'contentsDays' | 'eventsDays'>,
  batch: HeaderScope,
  others: readonly Pick<RetentionPolicy, 'id' | 'covers' | 'contentsDays' | 'eventsDays'>[],
  holds: readonly { readonly source?: string; readonly stream?: string }[],
): 'uncovered' | 'kept' | 'held' | null {
  if (policy.eventsDays === undefined || !isCovered(policy, { ...batch, action: undefined })) return 'uncovered'
  const isLonger = (other: (typeof others)[number]) =>
    other.id !== policy.id && daysOf(other) > daysOf(policy) && canCover(other.covers, batch)
  if (others.some(isLonger)) return 'kept'
  return holds.some((covers) => canCover(covers, batch)) ? 'held' : null
}

/** Whether an action is the one that is asked for, or, of `invoice.*`, begins with `invoice.`. */
export const fitsAction = (action: JsonValue | undefined, asked: string): boolean =>
  typeof action === 'string' && (asked.endsWith('.*') ? action.startsWith(asked.slice(0, -1)) : action === asked)

/** The fields of the system event that sets a policy; `parseRetention` reads them back. @param confirmed where it took two people */
export const retentionFields = (
  { id, eventsDays, ...said }: RetentionPolicy,
  confirmed: DecidedBy | null = null,
): Pick<EventInput, 'action' | 'targets' | 'metadata'> => ({
  action: SET,
  targets: [{ type: 'retention', id }],
  metadata: {
    ...{ ...said, ...(eventsDays !== undefined && { eventsDays }), covers: { ...said.covers } },
    ...(confirmed && { confirmed: { ...confirmed } }),
  },
})

/** The fields of the system event that ends a policy: from there on it lets nothing expire. */
export const retentionEndFields = (
  id: string,
  version: number,
  confirmed: DecidedBy | null = null,
): Pick<EventInput, 'action' | 'targets' | 'metadata'> => ({
  action: END,
  targets: [{ type: 'retention', id }],
  metadata: { version, ...(confirmed && { confirmed: { ...confirmed } }) },
})

/** The fields of the system event that drops batches. @throws KillickError `retention_invalid` if its entries make no text that may be */
export function dropFields({
  id,
  entries,
  ...said
}: RetentionDrop): Pick<EventInput, 'action' | 'targets' | 'metadata'> {
  const text = printEntries(entries)
  if (text.length > MAX_DROP_TEXT || parseEntries(text) === null) invalid('its entries cannot be printed')
  return { action: DROP, targets: [{ type: 'retention', id }], metadata: { ...said, entries: text } }
}

/** Log entries as a drop has them: `5,7-9`. */
export const printEntries = (entries: RetentionDrop['entries']): string =>
  entries.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join()

/** Log entries that a drop names; null if the text is not as `printEntries` prints rising stretches that do not touch. */
export function parseEntries(text: JsonValue | undefined): RetentionDrop['entries'] | null {
  if (typeof text !== 'string' || text.length > MAX_DROP_TEXT || !ENTRIES.test(text)) return null
  const entries = text.split(',').map((stretch): [number, number] => {
    const [first, last = first] = stretch.split('-').map(Number)
    return [first!, last!]
  })
  const isRising = entries.every(([first, last], i) => last >= first && first > (entries[i - 1]?.[1] ?? -2) + 1)
  const isExact = entries.every(([, last]) => Number.isSafeInteger(last))
  return isRising && isExact && printEntries(entries) === text ? entries : null
}

function invalid(why: string): never {
  throw new KillickError('retention_invalid', `Retention: ${why}`)
}

/**
 * The policy that an event sets; null if it sets none. The caller checks that the event is in the log.
 * @throws KillickError `retention_invalid`
 */
export function parseRetention(event: ParsedEvent): RetentionPolicy | null {
  const metadata = metadataOf(event, SET, ['version', 'covers', 'contentsDays'], ['eventsDays'])
  if (metadata === null) return null
  const { version, covers, contentsDays, eventsDays } = metadata
  if (!isRetentionScope(covers)) invalid('covers is no scope')
  if (!isDays(contentsDays)) invalid('contentsDays is out of range')
  const said = { id: targetOf(event), version: versionOf(version), covers, contentsDays }
  if (eventsDays === undefined) return said
  if (!isDays(eventsDays) || eventsDays < contentsDays) invalid('eventsDays is out of range')
  if (covers.action !== undefined) invalid('a policy that names an action keeps the events')
  return { ...said, eventsDays }
}

const isDays = (value: JsonValue | undefined): value is number =>
  isCount(value) && value >= 1 && value <= MAX_RETENTION_DAYS

/** The version of a policy that an event ends; null if it ends none. @throws KillickError `retention_invalid` */
export function parseRetentionEnd(event: ParsedEvent): Pick<RetentionPolicy, 'id' | 'version'> | null {
  const metadata = metadataOf(event, END, ['version'])
  return metadata && { id: targetOf(event), version: versionOf(metadata.version) }
}

/** The batches that an event drops; null if it drops none. @throws KillickError `retention_invalid` */
export function parseDrop(event: ParsedEvent): RetentionDrop | null {
  const metadata = metadataOf(event, DROP, ['version', 'size', 'time', 'entries', 'events'])
  if (metadata === null) return null
  if (metadata.confirmed !== undefined) invalid('nobody confirms what a policy drops')
  const { version, size, time, events } = metadata
  const entries = parseEntries(metadata.entries) ?? invalid('its entries are no log entries')
  if (!isCount(size) || !isCount(time) || !isCount(events) || events < 1) invalid('a drop has no numbers')
  return { id: targetOf(event), version: versionOf(version), size, time, entries, events }
}

function metadataOf(
  { source, stream, fields }: ParsedEvent,
  action: string,
  members: string[],
  optional: string[] = [],
): JsonObject | null {
  if (source !== SYSTEM.source || stream !== SYSTEM.stream || fields.action !== action) return null
  const { metadata } = fields
  if (!isObject(metadata) || !hasMembers(metadata, members, ['confirmed', ...optional]))
    return invalid(`its metadata is not ${members.join(', ')}`)
  if (metadata.confirmed !== undefined && parseDecidedBy(metadata.confirmed) === null) invalid('confirmed names nobody')
  return metadata
}

const versionOf = (value: JsonValue | undefined) =>
  isCount(value) && value > 0 ? value : invalid('version is no number from 1 on')

function targetOf({ fields: { targets } }: ParsedEvent): string {
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  const isOne = isObject(target) && target.type === 'retention' && isPolicyName(target.id)
  return isOne ? (target.id as string) : invalid('its target is not one policy')
}
