// From facts to durable events: what could not be recorded is counted and said.
import type { Recorded } from '@killick/sdk'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import type { McpEvent, McpEvents, McpFacts } from '../mcp/events.ts'
import type { Begun, OpenRequests } from './open-intents.ts'

/** What records: an audit log. */
export type McpSink = { record(event: McpEvent): Promise<Recorded> }

/** How long an outcome may wait to be written together with what comes next, ms. */
const DUE_MS = 5

/** Lines about the same code that are said; the others are only counted. */
const MAX_SAID = 5

/** Records the events of one session, in the order of the calls. */
export class McpRecording {
  /** Events that could not be recorded. */
  unrecorded = 0
  readonly #sink: McpSink
  readonly #events: McpEvents
  readonly #open: OpenRequests
  readonly #say: (text: string) => void
  readonly #session: string
  readonly #server: string
  readonly #said = new Map<string, number>()
  /** What is not durable yet, and not lost. */
  readonly #underWay = new Set<Promise<unknown>>()
  #dueTimer: NodeJS.Timeout | undefined
  /** Outcomes that wait for their turn, in their order. */
  readonly #due: (() => void)[] = []

  constructor(parts: {
    sink: McpSink
    events: McpEvents
    open: OpenRequests
    say: (text: string) => void
    session: string
    server: string
  }) {
    this.#sink = parts.sink
    this.#events = parts.events
    this.#open = parts.open
    this.#say = parts.say
    this.#session = parts.session
    this.#server = parts.server
  }

  /** Resolves when the event is durable. @throws KillickError, KitError, or an error of the file system: nothing was recorded */
  record(facts: McpFacts): Promise<Recorded> {
    this.#recordDue()
    return this.#after(this.#record(facts), facts)
  }

  /** Records something whose end is recorded later. It is remembered on disk until then. */
  begin(facts: McpFacts): Promise<Recorded> {
    this.#recordDue()
    const known: JsonObject = { ...facts.known, isOpen: true, server: this.#server }
    return this.#after(this.#record({ ...facts, known }, true), facts)
  }

  /** Records the end of what was begun, soon and once that is durable; null: its beginning was not recorded. */
  async end(begun: Promise<Recorded | null>, facts: McpFacts): Promise<void> {
    const ended = begun.then(async (intent) => {
      await this.#whenDue(() => this.#record({ ...facts, known: { ...facts.known, intent: intent?.id ?? null } }))
      if (intent !== null) this.#open.ended(intent.id)
    })
    await this.#after(ended, facts).catch(() => {})
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

  #after<T>(recorded: Promise<T>, { action }: McpFacts): Promise<T> {
    const done = recorded.then(
      () => {},
      (error) => this.#lost(action, error),
    )
    this.#underWay.add(done)
    done.then(() => this.#underWay.delete(done))
    return recorded
  }

  async #record(facts: McpFacts, isOpen = false): Promise<Recorded> {
    const event = this.#events.make(facts)
    const recorded = await this.#sink.record(event)
    if (isOpen) this.#open.begun(this.#begun(recorded, event))
    return recorded
  }

  #begun({ id }: Recorded, { action, actor, targets }: McpEvent): Begun {
    return {
      ...{ event: id, action, session: this.#session, server: this.#server },
      ...{ actor: actor as JsonObject, targets: (targets ?? []) as unknown as JsonObject[] },
    }
  }

  #lost(action: string, error: unknown): void {
    this.unrecorded += 1
    const code = codeOf(error)
    const times = (this.#said.get(code) ?? 0) + 1
    this.#said.set(code, times)
    if (times <= MAX_SAID) this.#say(`not recorded (${code}), mcp.${action}: ${(error as Error).message}`)
  }
}

/** The stable code of an error; `internal` for one that has none. */
export function codeOf(error: unknown): string {
  const { code } = error as { code?: JsonValue }
  return typeof code === 'string' ? code : 'internal'
}
