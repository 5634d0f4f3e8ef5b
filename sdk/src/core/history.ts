/**
 * The history of a thing: what events say that was changed in a target, folded into its state. Pure: the same events give the same
 * history. Everything in it is what sources claim; a proof shows that they claimed it.
 */

import { sha256 } from '@noble/hashes/sha2.js'
import { toHex, utf8 } from './bytes.ts'
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonObject, type JsonValue } from './json.ts'
import { escapePointer, unescapePointer } from './pointer.ts'
import { sealedIn } from './sealed.ts'
import { printTime } from './time.ts'

/** What an event needs to be part of a history. */
export type HistoryEvent = Pick<ParsedEvent, 'id' | 'source' | 'stream' | 'seq' | 'time' | 'fields'> & {
  /** Place of its batch in the log. */
  readonly logIndex: number
  /** How many of its digests may be of fields that are not shown. */
  readonly hidden: number
}

/** A target of events. */
export type HistoryTarget = { readonly type: string; readonly id: string }

/** A `before` that is not what the history knew. `known`: undefined if nothing was there. */
export type Contradiction = {
  readonly path: string
  readonly known: JsonValue | undefined
  readonly before: JsonValue | undefined
  /** Id of the event that the history knew it from. */
  readonly since: string
}

/** One event of a history. */
export type HistoryStep<E extends HistoryEvent = HistoryEvent> = {
  readonly event: E
  /**
   * What it did to the target's state. `changed`: its changes were applied. `touched`: it has none, or is about another thing first.
   * `not_done`: its outcome is failure or denied. `unreadable`: it may have changed anything, for its changes are malformed or sealed, or its
   * targets, outcome or changes may be among fields that are not shown.
   */
  readonly effect: 'changed' | 'touched' | 'not_done' | 'unreadable'
  readonly contradictions: readonly Contradiction[]
}

/** Who set a member last, and when. */
export type Blame = {
  /** Id of the event. */
  readonly event: string
  /** Id of its actor; null: not shown. */
  readonly actor: string | null
  readonly time: number
  /** Id of a later event that may have changed it too, and does not show whether; null: none. */
  readonly doubt: string | null
}

/** A target's history up to some time. */
export type TargetHistory<E extends HistoryEvent = HistoryEvent> = {
  readonly target: HistoryTarget
  readonly steps: readonly HistoryStep<E>[]
  /** What the changes add up to; null if there are none, or if the target was removed. Members that no change names are not known. */
  readonly state: JsonValue
  /** By JSON pointer: of each value that a change has set and that no later one has replaced; oldest first. */
  readonly blame: ReadonlyMap<string, Blame>
  /** Id of the newest event that may have changed anything, and does not show what; null: there is none. */
  readonly doubt: string | null
}

/** Events with the time that a history counts them at: a clock that went back does not turn a stream around. */
function timed<E extends HistoryEvent>(events: readonly E[]): { event: E; time: number }[] {
  const byPlace = [...events].sort((a, b) => a.logIndex - b.logIndex || a.seq - b.seq)
  const latest = new Map<string, number>()
  const all = byPlace.map((event) => {
    const name = `${event.source}/${event.stream}`
    const time = Math.max(event.time, latest.get(name) ?? 0)
    latest.set(name, time)
    return { event, time }
  })
  return all.sort((a, b) => a.time - b.time)
}

/** Order of a history: by the recorders' clocks, but never against the order of a stream; then by place in the log. */
export const inHistoryOrder = <E extends HistoryEvent>(events: readonly E[]): E[] =>
  timed(events).map(({ event }) => event)

/** Whether an event names the target, or may name it among fields that are not shown. */
export const mayBeAbout = (event: Pick<HistoryEvent, 'fields' | 'hidden'>, target: HistoryTarget): boolean =>
  placeOf(event, target) !== -1 || hidesTargets(event)

/**
 * Folds events into the history of a target.
 * @param events in any order; those that neither name the target nor hide what they name are ignored
 * @param until only events recorded before this, ms since 1970; an event whose clock went back counts as recorded at the newest time
 * that its stream has in this history before it. Default: all
 */
export function historyOf<E extends HistoryEvent>(
  target: HistoryTarget,
  events: readonly E[],
  until: number = Number.POSITIVE_INFINITY,
): TargetHistory<E> {
  const state = new State()
  const steps: HistoryStep<E>[] = []
  // Whoever reads a history reads other events beside it, and not everybody the same.
  for (const { event, time } of timed(events.filter((each) => mayBeAbout(each, target)))) {
    if (time >= until) break
    steps.push(stepOf(event, placeOf(event, target), state))
  }
  return { target, steps, state: state.value ?? null, blame: state.blame(), doubt: state.doubt }
}

/** SHA-256, in hex, over the bytes of each event of a history and a line feed, in its order. */
export function historyHash(steps: readonly HistoryStep<HistoryEvent & Pick<ParsedEvent, 'token'>>[]): string {
  const hash = sha256.create()
  for (const { event } of steps) hash.update(utf8(`${event.token}\n`))
  return toHex(hash.digest())
}

/** What is different between two states; `before` or `after` is absent where there is nothing. */
export type StateChange = { readonly path: string; readonly before?: JsonValue; readonly after?: JsonValue }

/** What makes one state of a thing another: by members, and by index in lists. */
export function stateChanges(before: JsonValue | undefined, after: JsonValue | undefined, path = ''): StateChange[] {
  if (isSame(before, after)) return []
  const isList = Array.isArray(before) && Array.isArray(after)
  if (!isList && !(isObject(before) && isObject(after)))
    return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }]
  const [left, right] = [before as JsonObject, after as JsonObject]
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((name) =>
    stateChanges(memberOf(left, name), memberOf(right, name), `${path}/${escapePointer(name)}`),
  )
}

const memberOf = (holder: JsonObject, name: string): JsonValue | undefined =>
  Object.hasOwn(holder, name) ? holder[name] : undefined

/**
 * A history as plain JSON, which the command and the service share: `steps` with `effect` and `contradictions`, the `state`, who set
 * what (`blame`), the newest event that hides what it changed (`doubt`), and what is different from an earlier state (`difference`).
 */
export function historyJson(
  told: TargetHistory<HistoryEvent & Pick<ParsedEvent, 'token'>>,
  earlier: TargetHistory | null = null,
): JsonObject {
  return {
    target: { ...told.target },
    steps: told.steps.map(stepJson),
    state: told.state,
    blame: [...told.blame].map(([path, { event, actor, time, doubt }]) => ({
      ...{ path, event, actor, recordedAt: printTime(time), doubt },
    })),
    doubt: told.doubt,
    difference: earlier && differenceJson(earlier, told),
    sha256: historyHash(told.steps),
  }
}

/** Two states side by side, and whether either may lack what is not shown. */
export const differenceJson = (from: TargetHistory, to: TargetHistory): JsonObject => ({
  from: { state: from.state, events: from.steps.length, doubt: from.doubt },
  to: { state: to.state, events: to.steps.length, doubt: to.doubt },
  changes: stateChanges(from.state, to.state) as unknown as JsonObject[],
})

function stepJson({ event, effect, contradictions }: HistoryStep): JsonObject {
  const { id, source, stream, seq, logIndex, time, fields, hidden } = event
  return {
    ...{ id, source, stream, seq, logIndex, recordedAt: printTime(time), effect, hidden, fields },
    contradictions: contradictions.map(({ path, known, before, since }) => ({
      ...{ path, since },
      ...(known !== undefined && { known }),
      ...(before !== undefined && { before }),
    })),
  }
}

/** Which of the event's targets it is; -1: none. */
function placeOf({ fields: { targets } }: Pick<HistoryEvent, 'fields'>, { type, id }: HistoryTarget): number {
  if (!Array.isArray(targets)) return -1
  return targets.findIndex((each) => isObject(each) && each.type === type && each.id === id)
}

const hidesTargets = ({ fields, hidden }: Pick<HistoryEvent, 'fields' | 'hidden'>): boolean =>
  hidden > 0 && fields.targets === undefined

function stepOf<E extends HistoryEvent>(event: E, place: number, state: State): HistoryStep<E> {
  const { changes, outcome } = event.fields
  const plain = (effect: HistoryStep['effect']) => ({ event, effect, contradictions: [] })
  if (outcome === 'failure' || outcome === 'denied') return plain('not_done')
  // What an event changed, it changed in what it names first.
  if (place > 0) return plain('touched')
  const list = changes === undefined ? [] : readChanges(changes)
  const isHiding = event.hidden > 0 && (place === -1 || changes === undefined || outcome === undefined)
  if (isHiding || list === null) {
    state.doubt = event.id
    return plain('unreadable')
  }
  if (changes === undefined) return plain('touched')
  const contradictions: Contradiction[] = []
  for (const change of list) {
    const found = state.contradictionOf(change)
    if (found !== null) contradictions.push(found)
    state.apply(change, { event: event.id, actor: actorOf(event.fields.actor), time: event.time })
  }
  return { event, effect: 'changed', contradictions }
}

type ReadChange = {
  path: string
  names: readonly string[]
  before: JsonValue | undefined
  after: JsonValue | undefined
}

/** Null: they are malformed, or sealed. */
function readChanges(changes: JsonValue): ReadChange[] | null {
  if (!Array.isArray(changes) || sealedIn('changes', changes) !== null) return null
  const list: ReadChange[] = []
  for (const change of changes) {
    if (!isObject(change) || typeof change.path !== 'string') return null
    const names = namesOf(change.path)
    if (names === null) return null
    list.push({ path: pointerOf(names), names, before: change.before, after: change.after })
  }
  return list
}

/** Names in a JSON pointer; a path that is none is one name. */
function namesOf(path: string): string[] | null {
  if (path === '') return []
  if (path[0] !== '/') return [path]
  const names = path.slice(1).split('/')
  return /~(?![01])/.test(path) || names.length > MAX_NAMES ? null : names.map(unescapePointer)
}

/** No value of an event is nested deeper than 32 levels; a state that is made of them must not be much deeper. */
const MAX_NAMES = 64

const pointerOf = (names: readonly string[]): string => names.map((name) => `/${escapePointer(name)}`).join('')

function actorOf(actor: JsonValue | undefined): string | null {
  return isObject(actor) && typeof actor.id === 'string' && sealedIn('actor', actor) === null ? actor.id : null
}

type Setter = Omit<Blame, 'doubt'>

/** Who set what, by names. What stands deeper was set later. */
type Setters = { by: (Setter & { place: number; doubts: number }) | null; readonly inner: Map<string, Setters> }

const nobody = (): Setters => ({ by: null, inner: new Map() })

class State {
  /** Undefined: nothing is known, or it was removed. */
  value: JsonValue | undefined
  #setters = nobody()
  #changes = 0
  #doubt: string | null = null
  /** How many events may have changed anything. */
  #doubts = 0

  get doubt(): string | null {
    return this.#doubt
  }

  set doubt(event: string | null) {
    this.#doubt = event
    this.#doubts += 1
  }

  contradictionOf({ path, names, before }: ReadChange): Contradiction | null {
    // Only what a change has set is known, and only until something hides what it changed.
    const setter = this.#setterOf(names)
    if (setter === null || setter.doubts < this.#doubts) return null
    const known = this.#at(names)
    return isSame(known, before) ? null : { path, known, before, since: setter.event }
  }

  apply({ names, after }: ReadChange, setter: Setter): void {
    this.#set(names, after)
    const by = { ...setter, place: this.#changes++, doubts: this.#doubts }
    let holder: Setters | null = null
    let setters = this.#setters
    for (const name of names) {
      holder = setters
      setters = holder.inner.get(name) ?? nobody()
      holder.inner.set(name, setters)
    }
    const fresh = { ...nobody(), by }
    if (holder === null) this.#setters = fresh
    else holder.inner.set(names.at(-1)!, fresh)
  }

  blame(): Map<string, Blame> {
    const found: { path: string; by: NonNullable<Setters['by']> }[] = []
    const look = ({ by, inner }: Setters, path: string) => {
      if (by !== null) found.push({ path, by })
      for (const [name, setters] of inner) look(setters, `${path}/${escapePointer(name)}`)
    }
    look(this.#setters, '')
    const inOrder = found.sort((a, b) => a.by.place - b.by.place)
    return new Map(
      inOrder.map(({ path, by: { event, actor, time, doubts } }) => [
        path,
        { event, actor, time, doubt: doubts < this.#doubts ? this.#doubt : null },
      ]),
    )
  }

  /** Who set this value, or the nearest that holds it; null: nobody. */
  #setterOf(names: readonly string[]): Setters['by'] {
    let setters: Setters | undefined = this.#setters
    let by = setters.by
    for (const name of names) {
      setters = setters.inner.get(name)
      if (setters === undefined) break
      by = setters.by ?? by
    }
    return by
  }

  #at(names: readonly string[]): JsonValue | undefined {
    let value: JsonValue | undefined = this.value
    for (const name of names) {
      if (Array.isArray(value)) value = value[indexOf(name, value.length)]
      else if (isObject(value) && Object.hasOwn(value, name)) value = value[name]
      else return undefined
    }
    return value
  }

  #set(names: readonly string[], after: JsonValue | undefined): void {
    if (names.length === 0) {
      this.value = after === undefined ? undefined : structuredClone(after)
      return
    }
    if (!isContainer(this.value)) this.value = {}
    let holder: JsonObject | JsonValue[] = this.value as JsonObject | JsonValue[]
    for (const name of names.slice(0, -1)) {
      const inner: JsonValue | undefined = get(holder, name)
      const next = isContainer(inner) ? inner : {}
      if (next !== inner) put(holder, name, next)
      holder = next
    }
    put(holder, names.at(-1)!, after === undefined ? undefined : structuredClone(after))
  }
}

const isContainer = (value: JsonValue | undefined): value is JsonObject | JsonValue[] =>
  Array.isArray(value) || isObject(value)

/** The index that a name means; beyond the end if it means none. */
const indexOf = (name: string, length: number): number => (/^(0|[1-9]\d{0,8})$/.test(name) ? Number(name) : length)

const get = (holder: JsonObject | JsonValue[], name: string): JsonValue | undefined =>
  Array.isArray(holder) ? holder[indexOf(name, holder.length)] : Object.hasOwn(holder, name) ? holder[name] : undefined

/** Undefined removes. An element that is removed from the middle of an array lets the others move up, as in JSON Patch (RFC 6902). */
function put(holder: JsonObject | JsonValue[], name: string, value: JsonValue | undefined): void {
  if (!Array.isArray(holder)) {
    if (value === undefined) delete holder[name]
    else Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true })
    return
  }
  const at = Math.min(indexOf(name, holder.length), holder.length)
  if (value === undefined) holder.splice(at, 1)
  else holder[at] = value
}

/** Whether two values are the same JSON; the order of members does not count. */
function isSame(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true
  if (Array.isArray(a) || Array.isArray(b))
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, i) => isSame(each, b[i]))
  if (!isObject(a) || !isObject(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  )
}
