// From facts to durable events: what could not be recorded is counted and said.
import type { Recorded } from '@killick/sdk'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import type { RecordedEvent, RecorderKind } from './event.ts'
import type { OpenIntents } from './open-intents.ts'

/** What records: an audit log. */
export type Sink = { record(event: RecordedEvent): Promise<Recorded> }

/** What there must be in the facts of any event. */
type Facts = { action: string; known?: JsonObject | undefined }

/** How long an outcome may wait to be written together with what comes next, ms. */
const DUE_MS = 5

/** Lines about the same code that are said; the others are only counted. */
const MAX_SAID = 5

/** Records the events of one session, in the order of the calls. */
export class SessionRecording<F extends Facts> {
  /** Events that could not be recorded. */
  unrecorded = 0
  readonly #kind: RecorderKind
  readonly #sink: Sink
  readonly #make: (facts: F) => RecordedEvent
  readonly #open: OpenIntents
  readonly #say: (text: string) => void
  readonly #session: string
  readonly #said = new Map<string, number>()
  /** What is not durable yet, and not lost. */
  readonly #underWay = new Set<Promise<unknown>>()
  #dueTimer: NodeJS.Timeout | undefined
  /** Outcomes that wait for their turn, in their order. */
  readonly #due: (() => void)[] = []

  /**
   * @param parts `make` makes the event of some facts; `say` tells people something, a line on stderr; `session` is the session's id, which
   *   `make` must put into the event's context
   */
  constructor(parts: {
    kind: RecorderKind
    sink: Sink
    make: (facts: F) => RecordedEvent
    open: OpenIntents
    say: (text: string) => void
    session: string
  }) {
    this.#kind = parts.kind
    this.#sink = parts.sink
    this.#make = parts.make
    this.#open = parts.open
    this.#say = parts.say
    this.#session = parts.session
  }

  /** Resolves when the event is durable. @throws KillickError, KitError, or an error of the file system: nothing was recorded */
  record(facts: F): Promise<Recorded> {
    this.#recordDue()
    return this.#after(this.#record(facts), facts)
  }

  /** Records something whose end is recorded later, such as an intent. It is remembered on disk until then. @throws as `record` */
  begin(facts: F): Promise<Recorded> {
    this.#recordDue()
    return this.#after(this.#record({ ...facts, known: { ...facts.known, isOpen: true } }, true), facts)
  }

  /**
   * Records the end of what was begun, soon and once that is durable; null: its beginning was not recorded. Never rejects: a loss is
   * counted and said.
   */
  async end(begun: Promise<Recorded | null>, facts: F): Promise<void> {
    const ended = begun.then(async (intent) => {
      await this.#whenDue(() => this.#record({ ...facts, known: { ...facts.known, intent: intent?.id ?? null } }))
      if (intent !== null) this.#open.ended(intent.id)
    })
    await this.#after(ended, facts).catch(() => {})
  }

  /**
   * Records the ends of several things in one event, in the same way. @param factsOf from the ids of what was begun, in its order, null where
   * the beginning was not recorded; `known.outcomes` must be a list whose elements have those ids as `intent`
   */
  async endAll(
    begun: readonly Promise<Recorded | null>[],
    factsOf: (intents: readonly (string | null)[]) => F,
  ): Promise<void> {
    let action = ''
    const ended = Promise.all(begun).then(async (intents) => {
      const ids = intents.map((intent) => intent?.id ?? null)
      const facts = factsOf(ids)
      action = facts.action
      await this.#record(facts)
      for (const id of ids) if (id !== null) this.#open.ended(id)
    })
    await this.#after(ended, { action }).catch(() => {})
  }

  /** Resolves when everything recorded so far is durable, or lost and counted. */
  async settled(): Promise<void> {
    this.#recordDue()
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
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
    const done = recorded.then(
      () => {},
      (error) => this.#lost(action, error),
    )
    this.#underWay.add(done)
    done.then(() => this.#underWay.delete(done))
    return recorded
  }

  async #record(facts: F, isOpen = false): Promise<Recorded> {
    const event = this.#make(facts)
    const recorded = await this.#sink.record(event)
    if (isOpen) this.#begun(recorded, event)
    return recorded
  }

  #begun({ id }: Recorded, { action, actor, targets }: RecordedEvent): void {
    this.#open.begun({
      ...{ event: id, action, session: this.#session },
      ...{ actor: actor as unknown as JsonObject, targets: (targets ?? []) as unknown as JsonObject[] },
    })
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
