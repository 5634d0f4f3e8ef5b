/**
 * The history of a thing: what events say that was changed in a target, folded into its state. Pure: the same events give the same
 * history. Everything in it is what sources claim; a proof shows that they claimed it.
 */
import type { ParsedEvent } from './event.ts'
import { isObject, type JsonObject, type JsonValue } from './json.ts'
import { escapePointer, unescapePointer } from './pointer.ts'

/** What an event needs to be part of a history. */
export type HistoryEvent = Pick<
  ParsedEvent,
  'id' | 'source' | 'stream' | 'seq' | 'time' | 'fields' | 'fieldCount' | 'disclosures'
> & {
  /** Place of its batch in the log. */
  readonly logIndex: number
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
   * `not_done`: its outcome is failure or denied. `unreadable`: its changes are malformed, or may be among fields that are not shown, so what is known may be out of date.
   */
  readonly effect: 'changed' | 'touched' | 'not_done' | 'unreadable'
  readonly contradictions: readonly Contradiction[]
}

/** Who set a member last, and when. */
export type Blame = { readonly event: string; readonly actor: string; readonly time: number }

/** A target's history up to some time. */
export type TargetHistory<E extends HistoryEvent = HistoryEvent> = {
  readonly target: HistoryTarget
  readonly steps: readonly HistoryStep<E>[]
  /** What the changes add up to; null if there are none, or if the target was removed. Members that no change names are not known. */
  readonly state: JsonValue
  /** By JSON pointer: of each value that a change has set and that no later one has replaced. */
  readonly blame: ReadonlyMap<string, Blame>
}

/** Order of a history: by the recorders' clocks, but never against the order of a stream; then by place in the log. */
export function inHistoryOrder<E extends HistoryEvent>(events: readonly E[]): E[] {
  const byPlace = [...events].sort((a, b) => a.logIndex - b.logIndex || a.seq - b.seq)
  const latest = new Map<string, number>()
  const timed = byPlace.map((event) => {
    const name = `${event.source}/${event.stream}`
    // A clock that went back does not turn a stream around.
    const time = Math.max(event.time, latest.get(name) ?? 0)
    latest.set(name, time)
    return { event, time }
  })
  return timed.sort((a, b) => a.time - b.time).map(({ event }) => event)
}

/**
 * Folds events into the history of a target.
 * @param events in any order; those that do not name the target are ignored
 * @param until only events recorded before this, ms since 1970. Default: all
 */
export function historyOf<E extends HistoryEvent>(
  target: HistoryTarget,
  events: readonly E[],
  until: number = Number.POSITIVE_INFINITY,
): TargetHistory<E> {
  const state = new State()
  const steps: HistoryStep<E>[] = []
  for (const event of inHistoryOrder(events)) {
    if (event.time >= until) continue
    const place = placeOf(event, target)
    if (place === -1) continue
    steps.push(stepOf(event, place, state))
  }
  return { target, steps, state: state.value ?? null, blame: state.blame }
}

/** Which of the event's targets it is; -1: none. */
function placeOf({ fields: { targets } }: HistoryEvent, { type, id }: HistoryTarget): number {
  if (!Array.isArray(targets)) return -1
  return targets.findIndex((each) => isObject(each) && each.type === type && each.id === id)
}

function stepOf<E extends HistoryEvent>(event: E, place: number, state: State): HistoryStep<E> {
  const { changes, outcome, action } = event.fields
  if (outcome === 'failure' || outcome === 'denied') return { event, effect: 'not_done', contradictions: [] }
  // What an event changed, it changed in what it names first.
  if (place > 0) return { event, effect: 'touched', contradictions: [] }
  if (changes === undefined) {
    const isHiding = event.disclosures.length < event.fieldCount
    return { event, effect: isHiding ? 'unreadable' : 'touched', contradictions: [] }
  }
  const list = readChanges(changes)
  if (list === null) return { event, effect: 'unreadable', contradictions: [] }
  const by: Blame = { event: event.id, actor: actorOf(event.fields.actor) ?? `${action}`, time: event.time }
  const contradictions: Contradiction[] = []
  for (const change of list) {
    const found = state.contradictionOf(change)
    if (found !== null) contradictions.push(found)
    state.apply(change, by)
  }
  return { event, effect: 'changed', contradictions }
}

type ReadChange = {
  path: string
  names: readonly string[]
  before: JsonValue | undefined
  after: JsonValue | undefined
}

/** Null: they are malformed. */
function readChanges(changes: JsonValue): ReadChange[] | null {
  if (!Array.isArray(changes)) return null
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
  return /~(?![01])/.test(path) ? null : path.slice(1).split('/').map(unescapePointer)
}

const pointerOf = (names: readonly string[]): string => names.map((name) => `/${escapePointer(name)}`).join('')

function actorOf(actor: JsonValue | undefined): string | null {
  return isObject(actor) && typeof actor.id === 'string' ? actor.id : null
}

class State {
  /** Undefined: nothing is known, or it was removed. */
  value: JsonValue | undefined
  readonly blame = new Map<string, Blame>()

  contradictionOf({ path, names, before }: ReadChange): Contradiction | null {
    // Only what a change has set is known.
    const since = this.#knownSince(names)
    if (since === null) return null
    const known = this.#at(names)
    return isSame(known, before) ? null : { path, known, before, since }
  }

  apply({ path, names, after }: ReadChange, by: Blame): void {
    for (const known of this.blame.keys()) if (known === path || known.startsWith(`${path}/`)) this.blame.delete(known)
    this.#set(names, after)
    this.blame.set(path, by)
  }

  /** Id of the newest event that has set this value, a part of it, or what holds it; null: none. */
  #knownSince(names: readonly string[]): string | null {
    for (let length = names.length; length >= 0; length--) {
      const found = this.blame.get(pointerOf(names.slice(0, length)))
      if (found) return found.event
    }
    return null
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
