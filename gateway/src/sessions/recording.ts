// From facts to durable events: what could not be recorded is counted and said.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import type { EventFacts, RecorderKind } from './event.ts'

/** An event that is durable. */
export type Durable = { readonly id: string }

/** One event to be recorded, and what it means for what is open. */
export type ToRecord = {
  /** Id of the session that it belongs to. */
  readonly session: string
  readonly facts: EventFacts
  /** It begins something whose end is recorded later, and is remembered on disk until then. */
  readonly isOpen: boolean
  /** Ids of the events whose end it is. */
  readonly ends: readonly string[]
}

/** What records. Rejects with a KillickError, a KitError, or an error of the file system: then nothing was recorded. */
export type Sink = { record(it: ToRecord): Promise<Durable> }

/** What there must be in the facts of any event. */
type Facts = { action: string; known?: JsonObject | undefined }

/** How long an outcome may wait to be written together with what comes next, ms. */
const DUE_MS = 5

/** Ms to the next of the moments, `everyMs` apart, at which all sessions record what has waited: then the disk writes it together. */
export const untilNext = (everyMs: number): number => everyMs - (performance.now() % everyMs)

/** Lines about the same code that are said; the others are only counted. */
const MAX_SAID = 5

/** Records the events of one session, in the order of the calls. */
export class SessionRecording<F extends Facts> {
  /** Events that could not be recorded. */
  unrecorded = 0
  readonly #kind: RecorderKind
  readonly #sink: Sink
  readonly #make: (facts: F) => EventFacts
  readonly #say: (text: string) => void
  /** The session's id. */
  readonly session: string
  readonly #said = new Map<string, number>()
  /** How many events are not durable yet, and not lost. */
  #underWay = 0
  #whenSettled: (() => void)[] = []
  #dueTimer: NodeJS.Timeout | undefined
  /** Outcomes that wait for their turn, in their order. */
  readonly #due: (() => void)[] = []

  /**
   * @param parts `make` adds to some facts what every event of the session says; `say` tells people something, a line on stderr; `session`
   *   is the session's id
   */
  constructor(parts: {
    kind: RecorderKind
    sink: Sink
    make: (facts: F) => EventFacts
    say: (text: string) => void
    session: string
  }) {
    this.#kind = parts.kind
    this.#sink = parts.sink
    this.#make = parts.make
    this.#say = parts.say
    this.session = parts.session
  }

  /** Resolves when the event is durable. @throws KillickError, KitError, or an error of the file system: nothing was recorded */
  record(facts: F): Promise<Durable> {
    this.#recordDue()
    return this.#after(this.#record(facts), facts)
  }

  /** Records something whose end is recorded later, such as an intent. It is remembered on disk until then. @throws as `record` */
  begin(facts: F): Promise<Durable> {
    this.#recordDue()
    return this.#after(this.#record({ ...facts, known: { ...facts.known, isOpen: true } }, true), facts)
  }

  /**
   * Records the end of what was begun, soon and once that is durable; null: its beginning was not recorded. Never rejects: a loss is
   * counted and said.
   */
  async end(begun: Promise<Durable | null>, facts: F): Promise<void> {
    const ended = begun.then(async (intent) => {
      const known = { ...facts.known, intent: intent?.id ?? null }
      await this.#whenDue(() => this.#record({ ...facts, known }, false, intent === null ? [] : [intent.id]))
    })
    await this.#after(ended, facts).catch(() => {})
  }

  /**
   * Records the ends of several things in one event, in the same way. @param factsOf from the ids of what was begun, in its order, null where
   * the beginning was not recorded; `known.outcomes` must be a list whose elements have those ids as `intent`
   */
  async endAll(
    begun: readonly Promise<Durable | null>[],
    factsOf: (intents: readonly (string | null)[]) => F,
  ): Promise<void> {
    let action = ''
    const ended = Promise.all(begun).then(async (intents) => {
      const ids = intents.map((intent) => intent?.id ?? null)
      const facts = factsOf(ids)
      action = facts.action
      await this.#record(
        facts,
        false,
        ids.filter((id) => id !== null),
      )
    })
    await this.#after(ended, { action }).catch(() => {})
  }

  /** Resolves when everything recorded so far is durable, or lost and counted. */
  async settled(): Promise<void> {
    this.#recordDue()
    while (this.#underWay > 0) await new Promise<void>((resolve) => this.#whenSettled.push(resolve))
  }

  /** Nobody waits for an outcome. The next intent often comes at once, and the disk then writes both together. */
  #whenDue(record: () => Promise<unknown>): Promise<unknown> {
    this.#dueTimer ??= setTimeout(() => this.#recordDue(), DUE_MS)
    return new Promise((resolve) => this.#due.push(() => resolve(record())))
  }

  #recordDue(): void {
    clearTimeout(this.#dueTimer)
    this.#dueTimer = undefined
    for (const record of this.#due.splice(0)) record()
  }

  #after<T>(recorded: Promise<T>, { action }: Facts): Promise<T> {
    this.#underWay += 1
    recorded.then(
      () => this.#settle(),
      (error) => {
        this.#lost(action, error)
        this.#settle()
      },
    )
    return recorded
  }

  #settle(): void {
    this.#underWay -= 1
    if (this.#underWay === 0) for (const resolve of this.#whenSettled.splice(0)) resolve()
  }

  async #record(facts: F, isOpen = false, ends: readonly string[] = []): Promise<Durable> {
    return this.#sink.record({ session: this.session, facts: this.#make(facts), isOpen, ends })
  }

  #lost(action: string, error: unknown): void {
    this.unrecorded += 1
    const code = codeOf(error)
    const times = (this.#said.get(code) ?? 0) + 1
    this.#said.set(code, times)
    if (times <= MAX_SAID) this.#say(`not recorded (${code}), ${this.#kind}.${action}: ${(error as Error).message}`)
  }
}

/** The stable code of an error; `internal` for one that has none. */
export function codeOf(error: unknown): string {
  const { code } = error as { code?: JsonValue }
  return typeof code === 'string' ? code : 'internal'
}
