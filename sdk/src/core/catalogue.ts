/**
 * Catalogues: which actions a source records, and what an event of each must have. The ledger registers a version of a catalogue in an
 * event of its own stream, as it registers keys; a source can be held to it. Whether metadata fits its schema is checked elsewhere, by
 * whatever the platform has for that.
 */
import { KillickError } from './errors.ts'
import { isSourceName, type ParsedEvent } from './event.ts'
import { type EventInput, isVersionName } from './fields.ts'
import { type Hash, parseHash, printHash } from './hash.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue } from './json.ts'
import { checkMetadataSchema } from './metadata-schema.ts'
import { escapePointer } from './pointer.ts'
import { SYSTEM } from './registry.ts'

/** How much an action matters, in rising order. */
export const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const

/** One of `SEVERITIES`. */
export type Severity = (typeof SEVERITIES)[number]

/** What an event of an action must have, and what readers are told of it. */
export type ActionRule = {
  /** What the action is for people; null: nothing. */
  readonly about: string | null
  /** Types of its targets: an event has at least one target, and each is of one of these. Empty: none; null: any number of any type. */
  readonly targets: readonly string[] | null
  /** Members that must be there, and not empty: names of fields, or `reason`, which is `metadata.reason`. */
  readonly requires: readonly string[]
  /** JSON Schema of the metadata, without the members of `KIT_MEMBERS`; null: any. */
  readonly metadata: JsonValue
  readonly severity: Severity | null
}

/** The actions of one version, by name. */
export type ActionRules = { readonly [action: string]: ActionRule }

/** What one event of the ledger says of a source's catalogue: a version, perhaps, and which versions count from here on. */
export type CatalogueChange = {
  readonly source: string
  /** Leaf hash of the source's change before this one; null for its first. */
  readonly previous: Hash | null
  /** Versions one of which each event must fit; empty: the ledger does not look. */
  readonly enforced: readonly string[]
  /** The version that this event registers; null: none. */
  readonly version: string | null
  readonly actions: ActionRules | null
}

/** Members of metadata that are not the catalogue's: the kit writes them, whatever the action. */
export const KIT_MEMBERS: ReadonlySet<string> = new Set(['reason', 'error', 'redactions'])

/** Most bytes of a version's actions as JSON, and most actions. */
export const MAX_CATALOGUE_BYTES = 131_072
export const MAX_ACTIONS = 1_000
const MAX_ENFORCED = 64
const MAX_ABOUT = 2_000

const FIELD = /^[A-Za-z][A-Za-z0-9_]{0,63}$/

function invalid(path: string, why: string): never {
  throw new KillickError('catalogue_invalid', `Catalogue: ${path === '' ? 'it' : path} ${why}`, { field: path })
}

const isText = (value: JsonValue | undefined, max: number): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= max

function namesOf(value: JsonValue | undefined, path: string, isName: (name: JsonValue) => boolean): string[] {
  if (!Array.isArray(value) || value.length > 64 || !value.every(isName)) invalid(path, 'is not an array of names')
  if (new Set(value as string[]).size < (value as string[]).length) invalid(path, 'has a name twice')
  return value as string[]
}

/**
 * Reads the actions of a version, strictly. The answer has its members in one order, so that equal rules print alike.
 * @param path where they stand, for errors
 * @throws KillickError `catalogue_invalid`, with a JSON pointer in `details.field`
 */
export function parseActions(value: JsonValue | undefined, path = ''): ActionRules {
  if (!isObject(value)) invalid(path, 'is not an object of actions')
  const entries = Object.entries(value as JsonObject)
  if (entries.length === 0 || entries.length > MAX_ACTIONS) invalid(path, `has no action, or more than ${MAX_ACTIONS}`)
  const actions = Object.fromEntries(
    entries.map(([name, rule]) => [name, parseRule(name, rule, `${path}/${escapePointer(name)}`)]),
  )
  const bytes = new TextEncoder().encode(JSON.stringify(actions)).length
  if (bytes > MAX_CATALOGUE_BYTES) invalid(path, `has ${bytes} bytes; at most ${MAX_CATALOGUE_BYTES} are allowed`)
  return actions
}

function parseRule(name: string, value: JsonValue, path: string): ActionRule {
  if (name.length === 0 || name.length > 256) invalid(path, 'is not the name of an action: 1 to 256 characters')
  if (name === '__proto__' || name === '_sd' || name === '...') invalid(path, 'is a name that no event may have')
  if (!isObject(value) || !hasMembers(value, ['about', 'targets', 'requires', 'metadata', 'severity']))
    invalid(path, 'does not have exactly about, targets, requires, metadata and severity')
  const { about, targets, requires, metadata, severity } = value
  if (about !== null && !isText(about, MAX_ABOUT)) invalid(`${path}/about`, `is not 1 to ${MAX_ABOUT} characters`)
  if (severity !== null && !SEVERITIES.includes(severity as Severity))
    invalid(`${path}/severity`, `is not ${SEVERITIES.join(', ')} or null`)
  if (metadata !== null && metadata !== undefined) checkOwn(metadata, `${path}/metadata`)
  return {
    about: about as string | null,
    targets: targets === null ? null : namesOf(targets, `${path}/targets`, (type) => isText(type, 512)),
    requires: namesOf(requires, `${path}/requires`, (field) => typeof field === 'string' && FIELD.test(field)),
    metadata: metadata!,
    severity: severity as Severity | null,
  }
}

function checkOwn(schema: JsonValue, path: string): void {
  if (!isObject(schema)) invalid(path, 'is not a JSON Schema: an object')
  checkMetadataSchema(schema, (at, why) => invalid(path + at, why))
  const { properties } = schema as JsonObject
  const taken = Object.keys(isObject(properties) ? properties : {}).find((name) => KIT_MEMBERS.has(name))
  if (taken !== undefined) invalid(`${path}/properties/${taken}`, 'is a member that the kit writes; name it otherwise')
}

/** The fields of the system event that makes a change; `parseCatalogueChange` reads them back. */
export function catalogueFields(change: CatalogueChange): Pick<EventInput, 'action' | 'targets' | 'metadata'> {
  const { source, previous, enforced, version, actions } = change
  return {
    action: ACTION,
    targets: [{ type: 'source', id: source }],
    // Rules are JSON as they are.
    metadata: { previous: previous && printHash(previous), enforced, version, actions } as EventInput['metadata'],
  }
}

const ACTION = 'source.catalogue'
const MEMBERS = ['previous', 'enforced', 'version', 'actions']

/**
 * What an event says of a catalogue; null if it says nothing, since it is not of the ledger's own stream or of another action than
 * `source.catalogue`. The caller checks its signature.
 * @throws KillickError `catalogue_invalid`
 */
export function parseCatalogueChange(event: Pick<ParsedEvent, 'source' | 'stream' | 'fields'>): CatalogueChange | null {
  const { action, targets, metadata } = event.fields
  if (event.source !== SYSTEM.source || event.stream !== SYSTEM.stream || action !== ACTION) return null
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  if (!isObject(target) || !hasMembers(target, ['type', 'id']) || target.type !== 'source' || !isSourceName(target.id))
    invalid('/targets', 'is not one source')
  if (!isObject(metadata) || !hasMembers(metadata, MEMBERS)) invalid('/metadata', `is not ${MEMBERS.join(', ')}`)
  const { previous, version, actions } = metadata
  if (version !== null && !isVersionName(version)) invalid('/metadata/version', 'is not the name of a version')
  if ((version === null) !== (actions === null)) invalid('/metadata/actions', 'is null exactly where version is')
  return {
    source: target.id as string,
    previous: previous === null ? null : (parseHash(previous) ?? invalid('/metadata/previous', 'is no hash')),
    enforced: parseEnforced(metadata.enforced, '/metadata/enforced'),
    version: version as string | null,
    actions: actions === null ? null : parseActions(actions, '/metadata/actions'),
  }
}

/** @throws KillickError `catalogue_invalid` */
export function parseEnforced(value: JsonValue | undefined, path = '/enforced'): string[] {
  const names = namesOf(value, path, isVersionName)
  return names.length > MAX_ENFORCED ? invalid(path, `names more than ${MAX_ENFORCED} versions`) : names
}

/** Why an event does not fit: a code of `ERROR_CODES`, the place in the event as a JSON pointer, and a reason. */
export type ActionFault = {
  readonly code: 'action_unknown' | 'action_invalid'
  readonly path: string
  readonly why: string
}

const fault = (path: string, why: string): ActionFault => ({ code: 'action_invalid', path, why })

/** The rule of an event's action. A name that objects have anyway is no action. */
export const ruleOf = (actions: ActionRules, action: unknown): ActionRule | null =>
  typeof action === 'string' && Object.hasOwn(actions, action) ? actions[action]! : null

/**
 * Whether an event says that what it tells of did not come about. Nothing has changed then, and what would be known afterwards is not, so
 * `changes` and `metadata` are not required of it.
 */
export const isUnsuccessful = (fields: { readonly [name: string]: unknown }): boolean =>
  fields.outcome === 'failure' || fields.outcome === 'denied'

/** Metadata to hold against a schema; null: there is none to hold. */
export function metadataToCheck(fields: { readonly [name: string]: unknown }): { [member: string]: unknown } | null {
  const metadata = withoutKitMembers(fields.metadata)
  return isUnsuccessful(fields) && Object.keys(metadata).length === 0 ? null : metadata
}

/** Why an event does not fit a rule; null if it does, but for its metadata's schema. */
export function faultOf(fields: { readonly [name: string]: unknown }, rule: ActionRule): ActionFault | null {
  const targets = (fields.targets ?? []) as readonly { type: string }[]
  if (rule.targets !== null) {
    if (rule.targets.length === 0 && targets.length > 0) return fault('/targets', 'must be empty')
    if (rule.targets.length > 0 && targets.length === 0) return fault('/targets', 'is empty')
    const wrong = targets.findIndex(({ type }) => !rule.targets!.includes(type))
    if (wrong >= 0) return fault(`/targets/${wrong}/type`, `must be ${rule.targets.join(' or ')}`)
  }
  for (const name of rule.requires) {
    if ((name === 'changes' || name === 'metadata') && isUnsuccessful(fields)) continue
    const isReason = name === 'reason'
    const value = isReason ? (fields.metadata as { reason?: unknown } | undefined)?.reason : fields[name]
    if (isEmpty(value)) return fault(isReason ? '/metadata/reason' : `/${name}`, 'is missing or empty')
  }
  return null
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true
  return Array.isArray(value) && value.length === 0
}

/** Metadata as a schema sees it: an object in any case, without the members that the kit writes. */
function withoutKitMembers(metadata: unknown): { [member: string]: unknown } {
  return Object.fromEntries(Object.entries(metadata ?? {}).filter(([name]) => !KIT_MEMBERS.has(name)))
}
