// What must be known of a session before its first step is told: whose it is, and which intents have no outcome.
import { readStep, type SessionStep } from '../../words/index.ts'
import { placeOf, type SessionRow } from './rows.ts'

/** Steps of a session in one stream. `first`, `last`: places in the stream. */
export type StreamPart = {
  readonly source: string
  readonly stream: string
  first: number
  last: number
  steps: number
  /** Times of the oldest and the newest step, by the recorder's clock, ms since 1970; null: no step can be read. */
  from: number | null
  to: number | null
}

/** The event as words read it. */
export const stepOf = ({ event, hidden }: Extract<SessionRow, { event: object }>): SessionStep =>
  readStep({ id: event.id, fields: event.fields, missing: hidden })

/** Takes rows in any order. */
export class Scan {
  readonly #parts = new Map<string, StreamPart>()
  /** Intents without an outcome so far, and outcomes without an intent so far. */
  readonly #open = new Set<string>()
  readonly #closed = new Set<string>()
  /** Events that cannot be read, of which not even the stream is known. */
  unplaced = 0
  /** Whether an event names the session: of those whose targets are not shown only the service says so. */
  isNamed = false
  hasBegun = false
  hasEnded = false

  take(row: SessionRow): void {
    const place = placeOf(row)
    if (place === null) this.unplaced += 1
    else this.#place(place, row.event?.time ?? null)
    if (row.event === null) return
    this.isNamed ||= row.event.fields.targets !== undefined
    const { begins, ends, opens, closes } = stepOf(row)
    this.hasBegun ||= begins
    this.hasEnded ||= ends
    if (opens !== null && !this.#closed.delete(opens)) this.#open.add(opens)
    for (const each of closes) if (!this.#open.delete(each)) this.#closed.add(each)
  }

  /** Whether there is an outcome of what a step opens. */
  hasOutcome({ opens }: SessionStep): boolean {
    return opens !== null && !this.#open.has(opens)
  }

  /** By source, then by stream. */
  parts(): StreamPart[] {
    const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
    return [...this.#parts.values()].sort((a, b) => order(a.source, b.source) || order(a.stream, b.stream))
  }

  #place({ source, stream, seq }: { source: string; stream: string; seq: number }, time: number | null): void {
    const key = `${source}/${stream}`
    const part = this.#parts.get(key) ?? { source, stream, first: seq, last: seq, steps: 0, from: null, to: null }
    this.#parts.set(key, part)
    part.steps += 1
    if (seq <= part.first) [part.first, part.from] = [seq, time ?? part.from]
    if (seq >= part.last) [part.last, part.to] = [seq, time ?? part.to]
  }
}
