// From what emitters handed in to events in the spool: all of a request or nothing, and each sender's id once.
import { type AuditLog, KillickError, type Recorded } from '@killick/sdk'
import { checkEventInput, isObject, type JsonObject, type JsonValue, parseEvent } from '@killick/sdk/core'
import { COLLECTED } from './config.ts'
import { type Authenticated, allows } from './emitters.ts'
import { type GatewayCode, GatewayRefusal } from './errors.ts'
import { type Contents, UNKNOWN_CONTENT } from './ids/contents.ts'
import { type IdLine, timeOfId } from './ids/file.ts'
import type { SenderIds } from './ids/sender-ids.ts'
import { type Collected, contentText, hashOfContent, keyOfId, type Received } from './received.ts'
import { type EventSealing, isSealedValue } from './sealed/sealing.ts'

/** What is answered for an event: its UUIDv7, its number in the collector's stream, and when the collector recorded it. */
export type AnsweredEvent = { readonly id: string; readonly seq: number; readonly time: string }

/** An event that may be recorded: who stands for it is decided, and its fields are checked. */
type Admitted = { readonly received: Received; readonly source: string; readonly fields: JsonObject }

type Named = { readonly key: Buffer; readonly fields: JsonObject; readonly name: string }

/** What a sender's id stands for while its event is on the way to the disk. */
type OnTheWay = { readonly fields: JsonObject; readonly answered: Promise<AnsweredEvent> }

/** Told of what happened, for metrics. */
export type RecordingCounts = {
  recorded(emitter: string, via: string, count: number): void
  repeated(emitter: string, via: string, count: number): void
}

/**
 * Fields that surely fit into an event of 262,144 bytes, as UTF-8 JSON: base64 makes four bytes of three, and digests, salts and
 * signature take a few thousand.
 */
const FITTING_BYTES = 180_000
/** The same of fields that are sealed, which makes a third more of them, and of one such field. */
const [FITTING_SEALED, FITTING_FIELD] = [130_000, 98_000]

/** What the collector seals with, and which fields. */
export type CollectedSealing = Pick<EventSealing, 'check' | 'nobody'> & { readonly names: readonly string[] }

/** How contents are remembered, and how events are sealed; null: they are not. */
export type RecordingParts = { readonly contents: Contents; readonly sealing: CollectedSealing | null }

/**
 * Events on the way to the disk at a time. Some thousands fill each write to the disk; beyond 8 MiB or 10,000 calls the recorder would
 * refuse some, and with them part of an array.
 */
const MAX_UNDER_WAY = 2_000

/** Lets so many events through at a time, first come first served; one request alone may have more. */
class Turns {
  readonly #most: number
  readonly #waiting: { count: number; go: () => void }[] = []
  #underWay = 0

  constructor(most: number) {
    this.#most = most
  }

  /** Undefined where nothing has to be waited for. */
  enter(count: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#fits(count)) {
      this.#underWay += count
      return undefined
    }
    return new Promise((go) => this.#waiting.push({ count, go }))
  }

  leave(count: number): void {
    this.#underWay -= count
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.count); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#underWay += next.count
      next.go()
    }
  }

  #fits(count: number): boolean {
    return this.#underWay === 0 || this.#underWay + count <= this.#most
  }
}

export class EmitterRecording {
  readonly #by: string
  readonly #log: AuditLog
  readonly #ids: SenderIds
  readonly #declared: ReadonlySet<string>
  readonly #events: RecordingCounts
  readonly #contents: Contents
  readonly #sealing: CollectedSealing | null
  readonly #turns = new Turns(MAX_UNDER_WAY)
  readonly #onTheWay = new Map<string, OnTheWay>()

  /** @param declared names of fields beyond those of the protocol that emitters may use */
  constructor(
    by: string,
    log: AuditLog,
    ids: SenderIds,
    declared: readonly string[],
    events: RecordingCounts,
    { contents, sealing }: RecordingParts,
  ) {
    this.#contents = contents
    this.#sealing = sealing
    this.#by = by
    this.#log = log
    this.#ids = ids
    this.#declared = new Set(declared)
    this.#events = events
  }

  /**
   * Records events, all or none: nothing is recorded before all of them are found to be in order. Resolves when all are durable. If
   * the disk fails or the spool is full in between, some may be durable, as `details.recorded` says; sent again with their ids, they are
   * found.
   * @param via the receiver
   * @param bytes of the input that the events were made of; what is shorter than an event may be need not be measured
   * @throws GatewayRefusal, KillickError; `details.at` says which of the events is at fault
   */
  async record(events: readonly Received[], who: Authenticated, via: string, bytes: number): Promise<AnsweredEvent[]> {
    const admitted = events.map((received) => this.#admit(received, who))
    // record() checks a single event as well, and before anything else.
    if (admitted.length > 1) for (const each of admitted) this.#check(each, bytes > FITTING_BYTES)
    if (admitted.length > 1 && this.#sealing !== null) await this.#checkSealing(admitted, this.#sealing)
    const names = admitted.map((each) => nameOf(each))
    await this.#turns.enter(events.length)
    try {
      return await this.#recordAll(admitted, names, who, via)
    } finally {
      this.#turns.leave(events.length)
    }
  }

  async #recordAll(
    admitted: readonly Admitted[],
    names: readonly (Named | null)[],
    who: Authenticated,
    via: string,
  ): Promise<AnsweredEvent[]> {
    const events = admitted.map(({ received }) => received)
    const known = names.map((name, i) => name && this.#find(name, events[i]!.at))
    const firsts = firstOfEach(names, known, events)
    const fresh = firsts.reduce((sum, first, i) => (first === i && known[i] === null ? sum + 1 : sum), 0)
    const named = firsts.reduce((sum, first, i) => (first === i && known[i] === null && names[i] ? sum + 1 : sum), 0)
    if (named > 0) this.#ids.promise(named)
    this.#events.repeated(who.emitter.name, via, events.length - fresh)
    const answers: Promise<AnsweredEvent>[] = []
    for (const [i, each] of admitted.entries()) {
      if (known[i] !== null) answers.push(known[i]!)
      else if (firsts[i] !== i) answers.push(answers[firsts[i]!]!)
      else answers.push(this.#recordOne(each, names[i]!, who, via))
    }
    // What is durable is remembered whatever became of the others.
    const settled = await Promise.allSettled(answers)
    const lost = settled.filter(({ status }, i) => status === 'rejected' && firsts[i] === i).length
    this.#events.recorded(who.emitter.name, via, fresh - lost)
    return settled.map((result, i) => {
      if (result.status === 'rejected') throw i === 0 ? result.reason : withRecorded(result.reason, i)
      return result.value
    })
  }

  /** Where the ids in events that an earlier process left in the spool come in. @param event its bytes */
  static remember(ids: SenderIds, event: string): void {
    const { id, seq, fields } = parseEvent(event)
    const { [COLLECTED]: collected, ...content } = fields
    if (!isObject(collected) || typeof collected.id !== 'string' || typeof collected.source !== 'string') return
    const isSealed = Object.values(content).some(isSealedValue)
    const hash = isSealed ? UNKNOWN_CONTENT : hashOfContent(content)
    ids.found({ key: keyOfId(collected.source, collected.id), content: hash, id, seq })
  }

  #admit(received: Received, { emitter }: Authenticated): Admitted {
    const { at, fields: given } = received
    const fail = (code: 'emitter_source_refused' | 'emitter_tenant_refused' | 'emitter_action_refused', why: string) =>
      new GatewayRefusal(code, `The emitter ${emitter.name} may not record ${why}.`, { at, emitter: emitter.name })
    const source = received.source ?? emitter.sources[0]!
    if (received.source === null ? source.endsWith('*') : !allows(emitter.sources, source))
      throw fail('emitter_source_refused', received.source === null ? 'without naming a source' : `as ${source}`)
    if (COLLECTED in given)
      throw new GatewayRefusal('collect_input_invalid', `The field ${COLLECTED} is written by the collector itself.`, {
        at,
        field: `/${COLLECTED}`,
      })
    let fields: JsonObject = given.targets === undefined ? { ...given, targets: [] } : given
    if (emitter.actions !== null && typeof fields.action === 'string' && !allows(emitter.actions, fields.action))
      throw fail('emitter_action_refused', `the action ${fields.action}`)
    // An erasure is one by whoever may sign for the source that sealed; of emitters, only those who are named for it.
    if (this.#sealing !== null && fields.action === ERASURE && !emitter.actions?.includes(ERASURE))
      throw fail('emitter_action_refused', `the action ${ERASURE} without being named for it`)
    if (emitter.tenants !== null) {
      const context = isObject(fields.context) ? fields.context : {}
      const { tenant = onlyOne(emitter.tenants) } = context
      if (typeof tenant !== 'string' || !allows(emitter.tenants, tenant))
        throw fail('emitter_tenant_refused', tenant === null ? 'without naming a tenant' : `for the tenant ${tenant}`)
      // Whatever is at fault in a context that is none, record() says it.
      if (fields.context === undefined || (isObject(fields.context) && context.tenant === undefined))
        fields = { ...fields, context: { ...context, tenant } }
    }
    return { received, source, fields }
  }

  #check({ fields, received: { at } }: Admitted, isLong: boolean): void {
    try {
      checkEventInput(fields, this.#declared)
    } catch (error) {
      throw atPlace(error, at)
    }
    if (!isLong) return
    const most = this.#sealing === null ? FITTING_BYTES : FITTING_SEALED
    if (lengthOf(fields) > most)
      throw atPlace(new KillickError('event_too_large', `The event has more than ${most} bytes of fields`), at)
    for (const name of this.#sealing?.names ?? [])
      if (fields[name] !== undefined && lengthOf(fields[name]) > FITTING_FIELD)
        throw atPlace(new KillickError('event_too_large', `/${name} has more than ${FITTING_FIELD} bytes`), at)
  }

  /** A subject that was erased, or keys that are away, are found before anything is recorded. */
  async #checkSealing(admitted: readonly Admitted[], { check }: CollectedSealing): Promise<void> {
    const seen = new Set<string>()
    for (const { fields, received } of admitted)
      if (fields.action !== ERASURE)
        await check(fields, seen).catch((error) => {
          throw atPlace(error, received.at)
        })
  }

  #find({ name, key, fields }: Named, at: string): Promise<AnsweredEvent> | null {
    const onTheWay = this.#onTheWay.get(name)
    const line = onTheWay === undefined ? this.#ids.find(key) : null
    if (onTheWay !== undefined) {
      if (contentText(onTheWay.fields) !== contentText(fields)) throw reused(at)
      return onTheWay.answered
    }
    if (!line) return null
    if (!this.#contents.isSame(line.content, fields)) throw reused(at, line.id)
    return Promise.resolve(answerOf(line))
  }

  #recordOne(admitted: Admitted, named: Named | null, who: Authenticated, via: string): Promise<AnsweredEvent> {
    const { received, source, fields } = admitted
    const collected: Collected = {
      by: this.#by,
      emitter: who.emitter.name,
      auth: who.auth,
      ...(who.credential !== null && { credential: who.credential }),
      source,
      via,
      ...(received.id !== null && { id: received.id }),
    }
    // The fields are JSON, and record() checks them.
    const input = { ...fields, [COLLECTED]: collected } as unknown as Parameters<AuditLog['record']>[0]
    const isErasure = this.#sealing !== null && fields.action === ERASURE
    const recorded = this.#log.record(input, isErasure ? this.#sealing?.nobody : {})
    if (named === null) return recorded.then(answerOf, (error) => Promise.reject(atPlace(error, received.at)))
    const answered = recorded.then(
      (event) => {
        this.#onTheWay.delete(named.name)
        this.#ids.add({ key: named.key, content: this.#contents.of(named.fields), id: event.id, seq: event.seq })
        return answerOf(event)
      },
      (error) => {
        this.#onTheWay.delete(named.name)
        this.#ids.release(1)
        throw atPlace(error, received.at)
      },
    )
    this.#onTheWay.set(named.name, { fields: named.fields, answered })
    return answered
  }
}

const answerOf = ({ id, seq }: Recorded | IdLine): AnsweredEvent => ({
  id,
  seq,
  time: new Date(timeOfId(id)).toISOString(),
})

/** The one name in a list that can be meant; null if there are several. */
const onlyOne = (list: readonly string[]): string | null =>
  list.length === 1 && !list[0]!.endsWith('*') ? list[0]! : null

function nameOf({ received: { id }, source, fields }: Admitted): Named | null {
  if (id === null) return null
  const key = keyOfId(source, id)
  return { key, fields, name: key.toString('latin1') }
}

/** For each event of a request the first one that has its id: one that is there twice is recorded once. */
function firstOfEach(
  names: readonly (Named | null)[],
  known: readonly (Promise<AnsweredEvent> | null)[],
  events: readonly Received[],
): number[] {
  const firsts = new Map<string, number>()
  return names.map((named, i) => {
    if (named === null || known[i] !== null) return i
    const first = firsts.get(named.name)
    if (first === undefined) firsts.set(named.name, i)
    else if (contentText(names[first]!.fields) !== contentText(named.fields)) throw reused(events[i]!.at)
    return first ?? i
  })
}

const reused = (at: string, event?: string): GatewayRefusal =>
  new GatewayRefusal('sender_id_reused', undefined, { at, ...(event !== undefined && { event }) })

/** The action of an erasure (docs/PROTOCOL.md §15), which must stay readable. */
const ERASURE = 'subject.erase'

/** What emitters are told of what keeps an event from being sealed. */
const SEALING_REFUSALS: Readonly<Record<string, GatewayCode>> = {
  subject_erased: 'collect_subject_erased',
  subject_missing: 'collect_subject_missing',
  keys_unreachable: 'collect_keys_unreachable',
  subject_key_invalid: 'collect_keys_unreachable',
}

const lengthOf = (value: JsonValue): number => Buffer.byteLength(JSON.stringify(value))

/** The same refusal, with the number of events that were recorded before it: `before`, and those of which it tells itself. */
export function withRecorded(error: unknown, before: number): unknown {
  if (!(error instanceof KillickError || error instanceof GatewayRefusal)) return error
  const { recorded = 0 } = error.details as { recorded?: number }
  const details = { ...error.details, recorded: before + recorded }
  return error instanceof GatewayRefusal
    ? new GatewayRefusal(error.code, error.message, details)
    : new KillickError(error.code, error.message, details)
}

/** The same error, which also says where in the input its event stands. */
function atPlace(error: unknown, at: string): unknown {
  const { name, code, message } = error as { name?: string; code?: string; message?: string }
  const refused = name === 'SealingError' ? SEALING_REFUSALS[code ?? ''] : undefined
  if (refused !== undefined) return new GatewayRefusal(refused, at === '' ? message : `${at}: ${message}`, { at })
  if (!(error instanceof KillickError) || at === '') return error
  return new KillickError(error.code, `${at}: ${error.message}`, { ...error.details, at })
}
