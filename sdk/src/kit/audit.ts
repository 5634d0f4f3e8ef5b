// The audit object of an application: an open log, with the context of the caller, redaction, and a catalogue of actions in between.
import type { AuditLog } from '../client/open.ts'
import type { Recorded } from '../client/recorder.ts'
import {
  checkEventInput,
  checkField,
  type EventInput,
  isPlain,
  type Party,
  type Recordable,
  type RecordableObject,
  UNCOPIED,
  uncopiedMember,
} from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import { knownOptions, type OptionNames } from '../core/options.ts'
import { printable } from '../core/text.ts'
import { auditContext, noticeLate } from './audit-context.ts'
import { type AuditContext, mergeContexts, parseContext } from './context.ts'
import { type EventOutcome, isDenial, reasonOf, statusOf } from './denial.ts'
import { KitError, optionFault } from './errors.ts'
import { asRedaction, type Redaction, type RedactionRules, type Removal, removalsOfChanges } from './redaction.ts'
import { warnOnce } from './warn.ts'

/**
 * An event as the kit takes it: as `EventInput`, but the actor may come from the context, `target` is short for one target (it
 * comes first where there are `targets` too), and `reason` goes into `metadata.reason`.
 */
export type KitEvent = Omit<EventInput, 'actor'> & {
  readonly actor?: Party | undefined
  readonly target?: Party | undefined
  /** Why it was done, or refused. */
  readonly reason?: string | undefined
}

/** What the kit records into: an open `AuditLog`, or anything that has its `record()`. */
export type EventSink<Fields extends string = never> = Pick<AuditLog<Fields>, 'record'>

/** `Omit`, of each member of a union by itself. */
export type Without<Event, Names extends PropertyKey> = Event extends unknown ? Omit<Event, Names> : never

/**
 * What a catalogue of actions is to an audit object. `Event` is the union of the events that it allows; an audit object that is made
 * with it takes no others.
 */
export type Catalogue<Event extends KitEvent = KitEvent> = {
  /** For the compiler; never set. */
  readonly events?: Event
  /**
   * Called before a wrapped function, with what is known then: refuses what can never become right, before anything is done.
   * @throws KitError
   */
  precheck?(event: KitEvent): void
  /**
   * Called with each event, once the context is in it and before redaction: returns the event to record, with the catalogue's version
   * in it.
   * @throws KitError if the event does not fit; it is not recorded then
   */
  prepare(event: EventInput): EventInput
  /** The rules of an action; they are applied after those of the audit object. */
  redaction?(action: string): Redaction | undefined
}

/** Options of `createAudit`; all have defaults. */
export type KitOptions<Event extends KitEvent = KitEvent> = {
  /**
   * What becomes of an event without an actor. `throw` (default): it is refused with `actor_missing`; by `withAudit` before its function
   * runs. `warn`: it is recorded with `missingActor` and counted, and the first is warned of. `allow`: recorded and counted.
   */
  readonly onMissingActor?: 'throw' | 'warn' | 'allow' | undefined
  /** The actor of events that have none; default `{ type: 'unknown', id: 'unknown' }`. */
  readonly missingActor?: Party | undefined
  /** Rules for every event, applied before it is signed; default none. */
  readonly redact?: RedactionRules | Redaction | undefined
  readonly catalogue?: Catalogue<Event> | undefined
  /** Whether an error that a wrapped function throws is a denial; default `isDenial`. */
  readonly isDenial?: ((error: unknown) => boolean) | undefined
  /**
   * Whether `metadata.error` of a failure has the error's message too, up to 2,000 characters; default false. Messages are written for
   * developers, and often hold what should not be kept for good.
   */
  readonly errorMessages?: boolean | undefined
  /**
   * What `withAudit` does if its function has succeeded and the event was not recorded. `report` (default): it returns the result, and
   * `onUnrecorded` is called. `throw`: beyond that it rejects with KitError `unrecorded`, whose `cause` is why, and whose `result` is what the
   * function returned. If the function has failed, its own error is thrown in any case.
   */
  readonly onRecordFailure?: 'report' | 'throw' | undefined
  /**
   * Called for each event that was not recorded, awaited or not, with what would have been; null if it did not get as far as redaction.
   * Default: a line on stderr, once for each kind of failure in a row. `counts.unrecorded` counts them in any case.
   */
  readonly onUnrecorded?: ((error: Error, event: EventInput | null) => void) | undefined
}

/** Numbers since an audit object was made; those that `with()` makes share them. */
export type AuditCounts = {
  readonly recorded: number
  /** Events that are not in the ledger, because they were refused or could not be kept. */
  readonly unrecorded: number
  readonly withoutActor: number
  /** Values that rules have removed. */
  readonly redacted: number
}

/** What a wrapped function can say of its own event. */
export type AuditEntry<Event extends KitEvent = KitEvent> = {
  /** Members that are given replace those before; `metadata` and `context` are merged. Once the function is over, it is too late (warned of). */
  set(event: Partial<Without<Event, 'action'>>): void
}

/** The event of a wrapped function: its outcome is found out, from the result if need be. */
export type WrappedEvent<Event extends KitEvent = KitEvent, Result = unknown> = Without<
  Event,
  'outcome' | 'occurredAt'
> & {
  /** For functions that return what others throw, such as a Response; default: what has not thrown is a success. */
  readonly outcome?: ((result: Result) => EventOutcome) | undefined
}

/** Records for an application. Made by `createAudit`; it opens and closes nothing. */
export type Audit<Event extends KitEvent = KitEvent> = {
  /**
   * Records one event. Its context is that of the caller (`auditContext`), over it that of `with()`, over it what the event says itself.
   * Resolves when the event is durable, as `AuditLog.record` does. A rejection that nobody awaits does not end the process: it goes to
   * `onUnrecorded` and is counted.
   * @throws KitError `actor_missing`, `event_invalid`, and what the catalogue throws; KillickError as `AuditLog.record`
   */
  record(event: Event): Promise<Recorded>
  /** The same audit object with a context of its own. @throws KitError `context_invalid` */
  with(context: AuditContext): Audit<Event>
  /**
   * Calls a function and records how it ended: `success`; `denied` if it threw a denial; `failure` for any other error, which is thrown on
   * as it is. Settles when the event is durable. What can never be recorded is refused before the function is called.
   * @throws what the function throws; KitError `actor_missing`, `event_invalid`, `unrecorded` (by option); KillickError `field_invalid`
   * @example
   * await audit.withAudit({ action: 'invoice.refund', target: { type: 'invoice', id } }, async (entry) => {
   *   const [before, after] = await refund(id)
   *   entry.set({ changes: diff(before, after) })
   * })
   */
  withAudit<T>(event: WrappedEvent<Event, Awaited<T>>, fn: (entry: AuditEntry<Event>) => T): Promise<Awaited<T>>
  /** Records that something was refused to the actor. */
  denied(event: Without<Event, 'outcome'>): Promise<Recorded>
  /** Records that something failed, with what the error says of itself in `metadata.error`. */
  failed(event: Without<Event, 'outcome'>, error?: unknown): Promise<Recorded>
  readonly counts: AuditCounts
}

/** The member of `metadata` that lists what was removed. */
const REMOVALS = 'redactions'
const OUTCOMES: ReadonlySet<unknown> = new Set<EventOutcome>(['success', 'failure', 'denied'])
const OPTIONS: OptionNames<KitOptions> = {
  ...{ onMissingActor: true, missingActor: true, redact: true, catalogue: true, isDenial: true },
  ...{ errorMessages: true, onRecordFailure: true, onUnrecorded: true },
}
const UNKNOWN: Party = { type: 'unknown', id: 'unknown' }
const MAX_MESSAGE = 2_000

/**
 * Makes the audit object of an application over an open log.
 * @throws KitError `option_invalid`, `redaction_rule_invalid`
 * @example
 * const log = await openAuditLog({ url, source: 'billing', key: './key.json', spool: './spool' })
 * const audit = createAudit(log, { redact: STANDARD_RULES })
 */
export function createAudit<
  Fields extends string = never,
  Event extends KitEvent = KitEvent & { readonly [name in Fields]?: Recordable | undefined },
>(log: EventSink<Fields>, options: KitOptions<Event> = {}): Audit<Event> {
  return auditOf(new Keeper(log as EventSink, checkOptions(options)), {}) as Audit<Event>
}

function auditOf(keeper: Keeper, own: AuditContext): Audit {
  return {
    record: (event) => keeper.record(event, own),
    with: (context) => auditOf(keeper, mergeContexts(own, parseContext(context))),
    withAudit: (event, fn) => keeper.wrap(event as WrappedEvent, fn, own) as never,
    denied: (event) => keeper.record(event, own, (given) => ({ ...given, outcome: 'denied' })),
    failed: (event, error) => keeper.record(event, own, (given) => keeper.failureOf(given, error)),
    get counts() {
      return { ...keeper.counts }
    },
  }
}

type Settings = ReturnType<typeof checkOptions>

/** What all audit objects over one log with the same options share. */
class Keeper {
  readonly counts = { recorded: 0, unrecorded: 0, withoutActor: 0, redacted: 0 }
  readonly #log: EventSink
  readonly #settings: Settings
  #lastSaid = ''

  constructor(log: EventSink, settings: Settings) {
    this.#log = log
    this.#settings = settings
  }

  record(event: KitEvent, own: AuditContext, ended = (given: KitEvent) => given): Promise<Recorded> {
    const answer = this.#record(event, own, true, ended)
    // Those who do not await it hear of it by `onUnrecorded`.
    answer.catch(() => {})
    return answer
  }

  async wrap<T>(event: WrappedEvent, fn: (entry: AuditEntry) => T, own: AuditContext): Promise<Awaited<T>> {
    if (!isObject(event)) throw new KitError('event_invalid', 'An event must be an object')
    const { outcome: outcomeOf, ...given } = event
    this.#precheck(event, given, own)
    let entry: KitEvent = given
    let isOver = false
    const set = (more: Partial<KitEvent>) => {
      if (isOver)
        warnOnce(
          'entry_after_end',
          'A wrapped function added to its event after it was over; the event does not have it.',
        )
      else entry = mergeEvents(entry, more)
    }
    let result: Awaited<T>
    try {
      result = await fn({ set })
    } catch (error) {
      isOver = true
      await this.#record(this.#thrownOf(entry, error), own, false).catch(() => {})
      throw error
    }
    isOver = true
    try {
      await this.#record({ ...entry, ...outcomeOfResult(outcomeOf, result) }, own, false)
    } catch (cause) {
      if (this.#settings.onRecordFailure === 'throw') throw unrecorded(given.action, result, cause as Error)
    }
    return result
  }

  #thrownOf(entry: KitEvent, error: unknown): KitEvent {
    try {
      return this.#settings.isDenial(error) ? denialOf(entry, error) : this.failureOf(entry, error)
    } catch {
      // An error that cannot even be looked at is thrown on like any other.
      return { ...entry, outcome: 'failure' }
    }
  }

  failureOf(event: Omit<KitEvent, 'outcome'>, error: unknown): KitEvent {
    if (error === undefined) return { ...event, outcome: 'failure' }
    const metadata = over({ error: describe(error, this.#settings.errorMessages) }, event.metadata)
    return { ...event, outcome: 'failure', metadata }
  }

  /**
   * @param isHandedOn whether the caller gets the rejection
   * @param ended adds to the event how it ended
   */
  async #record(
    given: KitEvent,
    own: AuditContext,
    isHandedOn: boolean,
    ended = (event: KitEvent) => event,
  ): Promise<Recorded> {
    let event: EventInput | null = null
    try {
      noticeLate(auditContext.scope(), 'record')
      event = this.#prepared(this.#assembled(ended(whole(given)), own, true))
      const recorded = await this.#log.record(event)
      this.counts.recorded += 1
      this.#lastSaid = ''
      return recorded
    } catch (error) {
      this.counts.unrecorded += 1
      // What the log was given and refused it reports itself.
      this.#report(error as Error, event, given, isHandedOn && event !== null)
      throw error
    }
  }

  /** Refuses, before anything is done, what could not be recorded however it ends. */
  #precheck(event: WrappedEvent, given: KitEvent, own: AuditContext): void {
    try {
      whole(event)
      checkEventInput(this.#assembled(given, own, false))
      this.#settings.catalogue?.precheck?.(given)
    } catch (error) {
      this.counts.unrecorded += 1
      this.#report(error as Error, null, given, false)
      throw error
    }
  }

  /** The event with its context in it. */
  #assembled(given: KitEvent, own: AuditContext, counts: boolean): EventInput {
    if (!isObject(given)) throw new KitError('event_invalid', 'An event must be an object')
    const { actor: named, target, reason, targets, context: circumstances, metadata, ...rest } = given
    const { actor: carried, more, ...known } = mergeContexts(auditContext.get(), own)
    const actor = named ?? carried ?? this.#missActor(given.action, counts)
    // It may be another's: a callback that a connection calls runs in the context of whoever opened it.
    const ended = auditContext.scope()?.hasEnded && { contextEnded: true }
    const context = isPlain(circumstances ?? {})
      ? { ...known, ...more, ...givenOf(circumstances ?? {}), ...ended }
      : circumstances
    return {
      ...rest,
      actor,
      ...((target !== undefined || targets !== undefined) && { targets: targetsOf(target, targets) }),
      ...((circumstances !== undefined || Object.keys(context!).length > 0) && { context }),
      ...((metadata !== undefined || reason !== undefined) && { metadata: metadataOf(metadata, reason) }),
    }
  }

  #missActor(action: unknown, counts: boolean): Party {
    const { onMissingActor, missingActor } = this.#settings
    if (onMissingActor === 'throw')
      throw new KitError(
        'actor_missing',
        `${printable(`${action}`)} has no actor: name one, or begin an audit context that does`,
        {
          field: '/actor',
        },
      )
    if (!counts) return missingActor
    this.counts.withoutActor += 1
    if (onMissingActor === 'warn')
      warnOnce(
        'actor_missing',
        `An event without an actor was recorded as unknown (said once): ${printable(`${action}`)}`,
      )
    return missingActor
  }

  /** As it goes into the log. */
  #prepared(event: EventInput): EventInput {
    const { catalogue, redact } = this.#settings
    let prepared = catalogue === undefined ? event : catalogue.prepare(event)
    const removals: Removal[] = removalsOfChanges(prepared.changes)
    for (const redaction of [redact, catalogue?.redaction?.(prepared.action)]) {
      if (redaction === undefined) continue
      const redacted = redaction.redactEvent(prepared)
      prepared = redacted.event
      removals.push(...redacted.removals)
    }
    if (removals.length === 0) return prepared
    this.counts.redacted += removals.length
    return { ...prepared, metadata: { ...prepared.metadata, [REMOVALS]: removals } }
  }

  #report(error: Error, event: EventInput | null, given: KitEvent, isSaid: boolean): void {
    const { onUnrecorded } = this.#settings
    if (onUnrecorded) {
      try {
        onUnrecorded(error, event)
      } catch (fault) {
        warnOnce(
          'on_unrecorded_threw',
          `onUnrecorded threw when it was told of: ${error.message} (said once): ${String(fault)}`,
        )
      }
    } else if (!isSaid && error.message !== this.#lastSaid) {
      this.#lastSaid = error.message
      process.stderr.write(`killick: ${printable(`${given?.action}`)} was not recorded: ${printable(error.message)}\n`)
    }
  }
}

// biome-ignore format: one line
const NAMES = ['action', 'actor', 'target', 'targets', 'outcome', 'reason', 'context', 'changes', 'metadata', 'occurredAt', 'catalogue'] as const

/** An event as it is, before anything copies it. @throws KitError `event_invalid` if a copy would lack something */
function whole<Event>(event: Event): Event {
  const name = isObject(event) ? uncopiedMember(event, NAMES) : undefined
  if (name !== undefined) throw invalid(`/${name}`, UNCOPIED)
  return event
}

/** Members that are not undefined. */
const givenOf = (members: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))

/** What is given over what is there. A Map, or an object of a class, has nothing to copy: it stays, and is refused with the event. */
const over = (there: RecordableObject, given: RecordableObject = {}): RecordableObject =>
  isObject(given) && isPlain(given) ? { ...there, ...(givenOf(given) as RecordableObject) } : given

function targetsOf(target: Party | undefined, targets: readonly Party[] | undefined): readonly Party[] | undefined {
  if (target === undefined) return targets
  if (targets !== undefined && !Array.isArray(targets)) throw invalid('/targets', 'must be an array')
  return [target, ...(targets ?? [])]
}

function metadataOf(metadata: RecordableObject | undefined, reason: string | undefined): RecordableObject {
  if (metadata !== undefined && !(isObject(metadata) && isPlain(metadata)))
    throw invalid('/metadata', 'must be a plain object')
  if (metadata && Object.hasOwn(metadata, REMOVALS))
    throw invalid(`/metadata/${REMOVALS}`, 'says what was removed from an event; it is not for others')
  if (reason === undefined) return metadata!
  if (typeof reason !== 'string') throw invalid('/reason', 'must be a string')
  return { ...metadata, reason }
}

const invalid = (field: string, why: string) => new KitError('event_invalid', `${field} ${why}`, { field })

function mergeEvents(entry: KitEvent, more: Partial<KitEvent>): KitEvent {
  const merged = { ...entry, ...givenOf(more) }
  for (const name of ['metadata', 'context'] as const)
    if (isObject(entry[name]) && isObject(more[name])) merged[name] = over(entry[name], more[name])
  return merged
}

function outcomeOfResult<T>(
  outcomeOf: ((result: T) => EventOutcome) | undefined,
  result: T,
): { outcome?: EventOutcome } {
  if (outcomeOf === undefined) return { outcome: 'success' }
  try {
    const outcome = outcomeOf(result)
    if (OUTCOMES.has(outcome)) return { outcome }
  } catch {
    // As good as an answer that is none.
  }
  warnOnce(
    'outcome_unknown',
    'A wrapped event was recorded without an outcome: its `outcome` function threw, or returned none (said once).',
  )
  return {}
}

function denialOf(entry: KitEvent, error: unknown): KitEvent {
  const reason = reasonOf(error)
  if (reason !== undefined) return { ...entry, outcome: 'denied', reason: entry.reason ?? reason }
  return { ...entry, outcome: 'denied', metadata: over({ error: describe(error, false) }, entry.metadata) }
}

/** What may be kept of an error for good. */
function describe(error: unknown, withMessage: boolean): RecordableObject {
  if (typeof error !== 'object' || error === null) return { name: typeof error }
  const { name, code, message } = error as { name?: unknown; code?: unknown; message?: unknown }
  const status = statusOf(error)
  const text = withMessage && typeof message === 'string' ? message.toWellFormed() : null
  return {
    name: typeof name === 'string' ? name.slice(0, 200).toWellFormed() : 'Error',
    ...(typeof code === 'string' && { code: code.slice(0, 200).toWellFormed() }),
    ...(Number.isSafeInteger(code) && { code: code as number }),
    ...(status !== null && { status }),
    ...(text !== null && { message: text.slice(0, MAX_MESSAGE).toWellFormed() }),
    // So that nobody takes a part for the whole.
    ...(text !== null && text.length > MAX_MESSAGE && { messageLength: text.length }),
  }
}

function unrecorded(action: string, result: unknown, cause: Error): KitError {
  const why = `${printable(`${action}`)} has succeeded, but its event was not recorded: ${cause.message}`
  // Not enumerable: the result is the application's, and no business of those who print errors.
  return Object.defineProperty(new KitError('unrecorded', why, {}, { cause }), 'result', { value: result })
}

function checkOptions(given: KitOptions) {
  const options = knownOptions(given, OPTIONS, optionFault)
  const fail = (option: string, why: string): never => {
    throw new KitError('option_invalid', `Option ${option} ${why}`, { option })
  }
  const oneOf = <T extends string>(option: string, value: T | undefined, all: readonly T[]): T => {
    if (value === undefined) return all[0]!
    return all.includes(value) ? value : fail(option, `must be one of ${all.join(', ')}`)
  }
  const { missingActor = UNKNOWN, redact, catalogue, onUnrecorded } = options
  checkField('actor', missingActor, (path, why) => fail(`missingActor${path.slice('/actor'.length)}`, why))
  if (catalogue !== undefined && typeof catalogue.prepare !== 'function')
    fail('catalogue', 'must be one that defineActions makes')
  for (const name of ['onUnrecorded', 'isDenial'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'function') fail(name, 'must be a function')
  return {
    onMissingActor: oneOf('onMissingActor', options.onMissingActor, ['throw', 'warn', 'allow']),
    onRecordFailure: oneOf('onRecordFailure', options.onRecordFailure, ['report', 'throw']),
    missingActor,
    redact: redact === undefined ? undefined : asRedaction(redact),
    catalogue,
    onUnrecorded,
    isDenial: options.isDenial ?? isDenial,
    errorMessages: options.errorMessages === true,
  }
}
