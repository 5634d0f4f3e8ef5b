// A history in words.
import type { BundleVerdict } from '../../bundle/index.ts'
import type { ParsedEvent } from '../../core/event.ts'
import {
  type Contradiction,
  type HistoryStep,
  historyHash,
  stateChanges,
  type TargetHistory,
} from '../../core/history.ts'
import { isObject, type JsonValue } from '../../core/json.ts'
import { sealedIn } from '../../core/sealed.ts'
import { printTime } from '../../core/time.ts'
import { completenessLines, genuineLines } from '../bundle/words.ts'
import { count, own, type Printed, paint, type Text, text } from '../terminal.ts'

/** An event with its place in the log, and how many of its digests show no field. */
export type LoggedEvent = ParsedEvent & { readonly logIndex: number; readonly hidden: number }

type ToldHistory = {
  readonly told: TargetHistory<LoggedEvent>
  /** Its state at an earlier time, to compare with. */
  readonly earlier: TargetHistory<LoggedEvent> | null
  /** Events that the service holds in an altered form, and that are left out. */
  readonly altered: number
  readonly verdict: BundleVerdict | null
}

const SHOWN = 100

/** A value on one line, not longer than people read. */
function short(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  const words = JSON.stringify(value)
  return words.length > SHOWN ? `${words.slice(0, SHOWN)}…` : words
}

export function* historyLines({ told, earlier, altered, verdict }: ToldHistory): Generator<Text> {
  const { target, steps, state, blame } = told
  const sources = new Set(steps.map(({ event }) => event.source))
  yield text`${paint('bold', `${target.type} ${target.id}`)}: ${count(steps.length, 'event')} of ${count(sources.size, 'source')}`
  yield own('')
  for (const [i, step] of steps.entries()) yield* stepLines(step, i + 1)
  if (steps.length > 0) yield own('')
  if (blame.size > 0) {
    yield own('Its state, as far as changes tell it, and who set it:')
    for (const [path, by] of blame)
      yield text`  ${path || '(all of it)'}  ${short(valueAt(state, path))}  ${paint('dim', `by ${by.actor ?? NOT_SHOWN} at ${printTime(by.time)}, event ${by.event}`)}${by.doubt === null ? '' : paint('yellow', ' (may have changed since)')}`
    yield own('')
  } else yield own('No event changes it.\n')
  if (earlier !== null) yield* differenceLines(earlier, told)
  const odd = steps.reduce((sum, { contradictions }) => sum + contradictions.length, 0)
  if (odd > 0)
    yield paint(
      'red',
      `${count(odd, 'contradiction')}: an event says that something was what no event before it had made it.`,
    )
  if (altered > 0)
    yield paint(
      'red',
      `${count(altered, 'event')} of this target ${altered === 1 ? 'was' : 'were'} altered in the ledger, and ${altered === 1 ? 'is' : 'are'} left out.`,
    )
  const unread = steps.filter(({ effect }) => effect === 'unreadable').length
  if (unread > 0) yield paint('yellow', `${count(unread, 'event')} may hold changes that are not shown.`)
  if (verdict === null)
    yield own(
      'That these are all events of it is the service’s word; those that a policy has dropped, or whose targets are sealed, were erased or have expired, are not found.',
    )
  else for (const line of [...genuineLines(verdict), ...completenessLines(verdict.completeness, verdict)]) yield line
  yield text`SHA-256 of its events: ${historyHash(steps)}`
}

const NOT_SHOWN = 'somebody who is not shown'

const EFFECTS = { changed: 'reset', touched: 'dim', not_done: 'red', unreadable: 'yellow' } as const

function* stepLines({ event, effect, contradictions }: HistoryStep<LoggedEvent>, number: number): Generator<Text> {
  const { id, source, time, fields } = event
  const isShown = isObject(fields.actor) && sealedIn('actor', fields.actor) === null
  const actor = isShown ? String((fields.actor as { id: unknown }).id) : NOT_SHOWN
  const outcome = effect === 'not_done' ? ` ${fields.outcome}` : effect === 'unreadable' ? ' changes not shown' : ''
  yield text`${number}  ${printTime(time)}  ${paint(EFFECTS[effect], `${fields.action ?? 'an action that is not shown'}${outcome}`)}  by ${actor}  ${paint('dim', `${source}, event ${id}`)}`
  if (effect === 'changed' && Array.isArray(fields.changes))
    for (const change of fields.changes)
      if (isObject(change))
        yield text`     ${String(change.path) || '(all of it)'}  ${short(change.before)} → ${short(change.after)}`
  for (const each of contradictions) yield contradictionLine(each)
}

const contradictionLine = ({ path, known, before, since }: Contradiction): Text =>
  text`     ${paint('red', '!')} ${path || '(all of it)'} was ${short(known)} since event ${since}; this one says that it was ${short(before)}`

function* differenceLines(earlier: TargetHistory, told: TargetHistory): Generator<Printed & Text> {
  // A state is null where there is nothing.
  const changes = stateChanges(earlier.state ?? undefined, told.state ?? undefined)
  yield changes.length === 0 ? own('Nothing is different from then.') : own('What is different from then:')
  for (const { path, before, after } of changes)
    yield text`  ${path || '(all of it)'}  ${short(before)} → ${short(after)}`
  yield own('')
}

/** The value at a JSON pointer. */
function valueAt(state: JsonValue, pointer: string): JsonValue | undefined {
  let value: JsonValue | undefined = state
  for (const name of pointer.split('/').slice(1)) {
    const key = name.replaceAll('~1', '/').replaceAll('~0', '~')
    value = Array.isArray(value)
      ? value[Number(key)]
      : isObject(value) && Object.hasOwn(value, key)
        ? value[key]
        : undefined
  }
  return value
}
