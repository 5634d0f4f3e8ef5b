// Which events fit what a test expects.
import { inspect, isDeepStrictEqual } from 'node:util'
import type { TestEvent, TestLog } from './test-log.ts'

/** A matcher of vitest's or jest's own, such as `expect.any(Number)`. */
type Asymmetric = { asymmetricMatch(actual: unknown): boolean }

/** A text, one that a regular expression finds, or whatever a matcher takes. */
type ExpectedText = string | RegExp | Asymmetric
/** `type/id`, the type alone, or some members. */
type ExpectedParty =
  | string
  | Asymmetric
  | { readonly type?: ExpectedText; readonly id?: ExpectedText; readonly [member: string]: unknown }

/**
 * What an event must have. What is not named may be anything; `undefined` must be absent. Of an object some members are enough, an array
 * must have all; a regular expression fits a text that it finds, `expect.any(…)` and the like what they take.
 */
export type ExpectedEvent = {
  readonly action?: ExpectedText
  readonly actor?: ExpectedParty
  /** At least one of the targets. */
  readonly target?: ExpectedParty
  /** All targets, in order. */
  readonly targets?: readonly ExpectedParty[]
  readonly [field: string]: unknown
}

/** Whether a value is as expected. */
export function fits(actual: unknown, expected: unknown): boolean {
  if (expected instanceof RegExp) return typeof actual === 'string' && new RegExp(expected).test(actual)
  if (isAsymmetric(expected)) return expected.asymmetricMatch(actual)
  if (Array.isArray(expected))
    return (
      Array.isArray(actual) && actual.length === expected.length && expected.every((item, i) => fits(actual[i], item))
    )
  if (typeof expected !== 'object' || expected === null || expected instanceof Date)
    return isDeepStrictEqual(actual, expected)
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return false
  return Object.entries(expected).every(([name, value]) => fits((actual as Record<string, unknown>)[name], value))
}

const isAsymmetric = (value: unknown): value is Asymmetric =>
  typeof (value as Asymmetric | null)?.asymmetricMatch === 'function'

function partyFits(party: TestEvent['actor'], expected: unknown): boolean {
  if (typeof expected !== 'string') return fits(party, expected)
  return expected === `${party.type}/${party.id}` || expected === party.type
}

/** The members in which an event is not as expected. */
export function misfits(event: TestEvent, expected: ExpectedEvent): string[] {
  return Object.entries(expected)
    .filter(([name, value]) => {
      if (name === 'actor') return !partyFits(event.actor, value)
      if (name === 'target') return !event.targets.some((target) => partyFits(target, value))
      if (name === 'targets' && Array.isArray(value))
        return value.length !== event.targets.length || !value.every((item, i) => partyFits(event.targets[i]!, item))
      return !fits(event[name], value)
    })
    .map(([name]) => name)
}

/** Tokens of the events that tests have asked for and found. */
const found = new WeakMap<TestLog, Set<string>>()

const foundIn = (log: TestLog): Set<string> => {
  const known = found.get(log) ?? new Set()
  found.set(log, known)
  return known
}

/** The events that fit. */
export const find = (log: TestLog, expected: ExpectedEvent): TestEvent[] =>
  log.events().filter((event) => misfits(event, expected).length === 0)

/** Notes that a test has asked for these events. */
export function note(log: TestLog, events: readonly TestEvent[]): void {
  const known = foundIn(log)
  for (const { token } of events) known.add(token)
}

/** The events that no test has asked for. */
export const rest = (log: TestLog): TestEvent[] => log.events().filter(({ token }) => !foundIn(log).has(token))

const MOST_SHOWN = 10

const print = (value: unknown): string => inspect(value, { depth: 6, breakLength: 100, sorted: true })

/** One line for each event. */
export function list(events: readonly TestEvent[]): string {
  if (events.length === 0) return '  (none)'
  const lines = events.slice(0, MOST_SHOWN).map(({ seq, action, actor, targets, outcome }) => {
    const on = targets.map(({ type, id }) => `${type}/${id}`).join(', ')
    return `  ${seq}: ${action} by ${actor.type}/${actor.id}${on && ` on ${on}`}${outcome ? ` (${outcome})` : ''}`
  })
  if (events.length > MOST_SHOWN) lines.push(`  … and ${events.length - MOST_SHOWN} more`)
  return lines.join('\n')
}

/** Why no event is as expected: what was expected, what is nearest to it, and what there is. */
export function explain(log: TestLog, expected: ExpectedEvent): string {
  const events = log.events()
  const nearest = events
    .map((event) => ({ event, in: misfits(event, expected) }))
    .sort((a, b) => a.in.length - b.in.length)[0]
  const differs = nearest?.in.filter((name) => name !== 'action' || nearest.in.length < Object.keys(expected).length)
  const lines = [`No event like this was recorded:`, `  ${print(expected).replaceAll('\n', '\n  ')}`]
  if (nearest && differs!.length > 0 && nearest.in.length < Object.keys(expected).length) {
    lines.push(`Nearest is event ${nearest.event.seq}, which differs in:`)
    for (const name of differs!) {
      const actual = name === 'target' ? nearest.event.targets : nearest.event[name]
      lines.push(`  ${name}: ${print(actual).replaceAll('\n', '\n  ')}`)
    }
  }
  return [...lines, `Recorded, ${events.length}:`, list(events)].join('\n')
}
