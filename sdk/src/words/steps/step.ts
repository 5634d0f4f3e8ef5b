/**
 * What an event is in the session that it belongs to, as recorders write it (docs/guides/replay.md): an intent, what came of one, or
 * something else. Read from the fields alone; nothing here is checked.
 */
import { isObject, type JsonObject, type JsonValue } from '../../core/json.ts'
import { sealedNames } from '../../core/sealed.ts'

/** What is needed of an event. `missing`: how many of its fields are not shown; absent: none. */
export type SessionEvent = {
  readonly id: string
  readonly fields: { readonly [field: string]: JsonValue | undefined }
  readonly missing?: number | undefined
}

/**
 * `start` and `end` are those of the session itself. `intent`: something was asked, before the one who is asked saw it. `outcome`: what
 * came of an intent. `denial`: it was asked and not passed on. `other`: any other event.
 */
export type StepRole = 'start' | 'intent' | 'outcome' | 'denial' | 'end' | 'other'

/**
 * How it ended, as the event says. `unknown`: nobody saw it. `hidden`: fields are not shown, so there may be more to say. `none`: the
 * event says nothing of an end.
 */
export type StepEnding = 'success' | 'failure' | 'denied' | 'unknown' | 'hidden' | 'none'

/** An event as a step of its session. */
export type SessionStep = {
  /** Null where it is not shown. */
  readonly action: string | null
  readonly role: StepRole
  readonly ending: StepEnding
  /** What an outcome says beside its ending, such as `cancelled` or `input required`; null: nothing. */
  readonly state: string | null
  /** How long it took, by the recorder's clock, in ms; null where it is not said. */
  readonly ms: number | null
  /** By what its outcome will name it; null for what has none to come. */
  readonly opens: string | null
  /** What it is the outcome of, as their `opens`: an outcome may be that of several. Empty for what is none, or does not say of what. */
  readonly closes: readonly string[]
  /** Whether the session begins with it, or ends with it. A request over HTTP is a session of two events. */
  readonly begins: boolean
  readonly ends: boolean
  /** The recorder's kind, such as `mcp`; null where nothing says so. */
  readonly kind: string | null
  /** What the recorder knows by itself: `metadata.<kind>`; of a command all of `metadata`. */
  readonly known: JsonObject
}

/** States that say no more than the ending does. */
const SAYS_NOTHING: ReadonlySet<string> = new Set(['answered', 'unknown', 'ended', 'exited'])

/** Type of the target by which the events of a session are found. */
export const SESSION_TARGET = 'session'

/** The session that an event names as its last target of that type; null: none, or its targets are not shown. */
export function sessionOf({ fields }: Pick<SessionEvent, 'fields'>): string | null {
  const targets = Array.isArray(fields.targets) ? fields.targets : []
  const session = targets.findLast((target) => isObject(target) && target.type === SESSION_TARGET)
  return isObject(session) && typeof session.id === 'string' ? session.id : null
}

/** Kinds of recorders that give their events actions which do not begin with the kind. */
const KINDS = ['http'] as const

/** An event without its sealed fields: what they say is not shown. Which they are is, so of no other one anything is missing. */
export type OpenEvent = SessionEvent & { readonly sealed: ReadonlySet<string> }

export function withoutSealed({ fields, ...event }: SessionEvent): OpenEvent {
  const sealed = new Set(sealedNames(fields))
  const open = Object.entries(fields).filter(([name]) => !sealed.has(name))
  return { ...event, fields: Object.fromEntries(open), sealed }
}

/** Whether a field may have been recorded that is not there. Metadata say of others that they were too large, and of an outcome that it is not known. */
export const mayBeHidden = (name: string, { missing = 0, sealed }: OpenEvent): boolean =>
  missing > 0 || sealed.has(name) || sealed.has('metadata')

/** Reads an event as a step of its session. */
export function readStep(event: SessionEvent): SessionStep {
  const open = withoutSealed(event)
  const { fields } = open
  const action = textOf(fields.action)
  const metadata = objectOf(fields.metadata)
  const kind = [action?.split('.')[0] ?? '', ...KINDS].find((each) => isObject(metadata[each])) ?? null
  const isCommand = action?.startsWith('command.') === true
  const known = isCommand ? metadata : objectOf(kind === null ? undefined : metadata[kind])
  const role = roleOf(action, known)
  const key = isCommand ? commandKey(fields.targets) : event.id
  const state = textOf(isCommand ? known.result : known.state)
  const ms = isCommand ? known.durationMs : known.ms
  const isRequest = kind === 'http'
  return {
    ...{ action, role, kind: isCommand ? 'command' : kind, known },
    ending: endingOf(textOf(fields.outcome), role, state, mayBeHidden('outcome', open)),
    state:
      state === null || SAYS_NOTHING.has(state) || !/^[a-z_]{1,40}$/.test(state) ? null : state.replaceAll('_', ' '),
    ms: typeof ms === 'number' ? ms : null,
    opens: action === 'command.run' || known.isOpen === true ? key : null,
    closes: isCommand ? (role === 'end' && key !== null ? [key] : []) : intentsOf(known),
    begins: role === 'start' || (isRequest && (role === 'intent' || role === 'denial')),
    ends: role === 'end' || (isRequest && (role === 'outcome' || role === 'denial')),
  }
}

/** An outcome names its intent; one that is shared has a list. What a person decides about a call names it too, and is not its outcome. */
function intentsOf({ kind, intent, outcomes }: JsonObject): string[] {
  if (kind === 'approval') return []
  const each = Array.isArray(outcomes) ? outcomes.map((outcome) => (isObject(outcome) ? outcome.intent : null)) : []
  return [intent, ...each].filter((id) => typeof id === 'string')
}

function roleOf(action: string | null, known: JsonObject): StepRole {
  if (action === null) return 'other'
  if (action === 'command.run' || action.endsWith('.session.start')) return 'start'
  if (action === 'command.end' || action.endsWith('.session.end')) return 'end'
  const { kind } = known
  return kind === 'intent' || kind === 'outcome' || kind === 'denial' ? kind : 'other'
}

function endingOf(outcome: string | null, role: StepRole, state: string | null, isHidden: boolean): StepEnding {
  if (outcome === 'success' || outcome === 'failure' || outcome === 'denied') return outcome
  if (isHidden) return 'hidden'
  return (role === 'outcome' || role === 'end') && state === 'unknown' ? 'unknown' : 'none'
}

/** Both events of a command name its execution. */
function commandKey(targets: JsonValue | undefined): string | null {
  const execution = Array.isArray(targets) ? targets.find((each) => isObject(each) && each.type === 'execution') : null
  return isObject(execution) && typeof execution.id === 'string' ? `execution ${execution.id}` : null
}

const textOf = (value: JsonValue | undefined): string | null => (typeof value === 'string' ? value : null)
const objectOf = (value: JsonValue | undefined): JsonObject => (isObject(value) ? value : {})
