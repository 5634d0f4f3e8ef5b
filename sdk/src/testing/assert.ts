import { AssertionError } from 'node:assert'
import { KillickError } from '../core/errors.ts'
import { isOwnField } from '../core/fields.ts'
import { knownOptions } from '../core/options.ts'
import { type ExpectedEvent, explain, find, list, note, rest } from './matching.ts'
import { declaredIn, type TestEvent, type TestLog } from './test-log.ts'

/** How many events must fit. */
export type RecordedOptions = {
  /** Exactly so many; default: at least one. */
  times?: number
}

/** The outcome of a question about a log. */
export type Answered = { readonly pass: boolean; readonly message: string; readonly events: readonly TestEvent[] }

/** What `open` is, if it is no test log: said before anything is compared with it. */
function demandLog(log: TestLog): void {
  if (typeof log?.events !== 'function' || typeof log.record !== 'function')
    throw new KillickError('option_invalid', 'This is not a log that openTestLog has opened', { option: 'log' })
}

/** What is asked of an event beside its fields. */
const BESIDE = ['target', 'id', 'seq', 'time', 'leafHash', 'token']

/** A misspelt name fits no event, so that `not.toHaveRecorded` would pass whatever was recorded. */
function demandNames(log: TestLog, expected: ExpectedEvent): void {
  const declared = declaredIn(log)
  for (const name of Object.keys(expected)) {
    if (declared === null || BESIDE.includes(name) || !isOwnField(name) || declared.has(name)) continue
    throw new KillickError('option_invalid', `No event of this log can have ${name}: it is no field, nor declared`, {
      option: name,
    })
  }
}

/** @param isWanted whether the test wants it recorded; else nothing is noted as found */
export function ask(log: TestLog, expected: ExpectedEvent, options: RecordedOptions, isWanted = true): Answered {
  demandLog(log)
  demandNames(log, expected)
  const { times } = knownOptions(options, { times: true })
  if (times !== undefined && (!Number.isSafeInteger(times) || times < 0))
    throw new KillickError('option_invalid', 'Option times must be a number from 0', { option: 'times' })
  const events = find(log, expected)
  const pass = times === undefined ? events.length > 0 : events.length === times
  if (pass && isWanted) note(log, events)
  if (pass) return { pass, events, message: `Such an event was recorded:\n${list(events)}` }
  if (events.length === 0) return { pass, events, message: explain(log, expected) }
  return { pass, events, message: `${events.length} such events were recorded, not ${times}:\n${list(events)}` }
}

export function askForRest(log: TestLog): Answered {
  demandLog(log)
  const events = rest(log)
  if (events.length > 0) return { pass: false, events, message: `More was recorded:\n${list(events)}` }
  return { pass: true, events, message: 'Nothing was recorded but what this test has asked for' }
}

/**
 * Demands that an event was recorded. Await what records first.
 * @returns the first that fits
 * @throws AssertionError which says what is nearest to it, and what was recorded
 * @example
 * assertRecorded(log, { action: 'invoice.refund', target: 'invoice/42', outcome: 'denied', metadata: { amount: 12 } })
 */
export function assertRecorded(log: TestLog, expected: ExpectedEvent, options: RecordedOptions = {}): TestEvent {
  const { pass, message, events } = ask(log, expected, options)
  if (!pass)
    throw new AssertionError({
      message,
      actual: log.events(),
      expected,
      operator: 'assertRecorded',
      stackStartFn: assertRecorded,
    })
  return events[0]!
}

/**
 * Demands that nothing was recorded but what `assertRecorded` or `toHaveRecorded` has found; since `log.clear()`.
 * @throws AssertionError which lists what else was
 */
export function assertNothingElse(log: TestLog): void {
  const { pass, message, events } = askForRest(log)
  if (!pass)
    throw new AssertionError({
      message,
      actual: events,
      expected: [],
      operator: 'assertNothingElse',
      stackStartFn: assertNothingElse,
    })
}
