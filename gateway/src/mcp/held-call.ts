// One call that waits for a person: asked about, decided once, and passed on only when the decision is durable.
import type { EventInput } from '@killick/sdk'
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { disclosed } from '../sessions/disclosed.ts'
import { redactJsonTexts } from '../sessions/json-texts.ts'
import type { ApprovalDesk, AskedPerson, Decision, WantedCall } from './approval-desk.ts'
import type { McpConfig } from './config.ts'
import type { McpEvents, McpFacts } from './events.ts'
import type { Passage } from './message.ts'

type HeldParts = {
  readonly desk: ApprovalDesk
  readonly config: McpConfig
  readonly events: McpEvents
  readonly tool: string
  readonly arguments: JsonValue
  readonly rule: string
  readonly bytes: number
  readonly session: string
  /** Records what was decided. @throws if that could not be recorded */
  record(facts: Pick<McpFacts, 'actor' | 'outcome' | 'known'>): Promise<void>
  approved(): Passage
  denied(why: string, verdict: string): Passage
}

const WHY = {
  denied: 'A person has denied it.',
  timed_out: 'Nobody has decided about it in time.',
  too_many: 'Too many calls wait for a person.',
} as const

/** What has come of it, as the page tells it. */
const TOLD = {
  approved: 'Approved and recorded. The call goes on to the server.',
  denied: 'Denied and recorded. The server will not see the call.',
  approvedOnly: 'Approved, but that could not be recorded. The call goes on to the server.',
  deniedOnly: 'Denied, but that could not be recorded. The server will not see the call.',
  gone: 'The call was taken back in the meantime. The server will not see it.',
  lost: 'The decision could not be recorded, so the server will not see the call.',
} as const

/** Has a life: from `begin` until it is decided or withdrawn. */
export class HeldCall {
  /** Whether its end is recorded elsewhere: it was cancelled, or its session has ended. */
  isGone = false
  readonly #parts: HeldParts
  readonly #since = performance.now()
  #asked: AskedPerson | null = null
  #resolve: (passage: Passage) => void = () => {}

  constructor(parts: HeldParts) {
    this.#parts = parts
  }

  /** Asks a person. @returns what becomes of it @throws in strict mode, if the decision could not be recorded */
  begin(): Promise<Passage> {
    return new Promise((resolve, reject) => {
      if (this.isGone) return resolve(this.#nothing())
      this.#resolve = resolve
      const { desk, events, config, tool, rule, session, bytes } = this.#parts
      const call = { tool, rule, session, bytes, agent: events.agent, server: events.serverName }
      this.#asked = desk.ask({
        ...call,
        ...this.#shown(),
        decide: (decision) => this.#decide(decision, config.mode === 'strict', reject),
      })
      if (this.#asked !== null) {
        // So that the console can lead there. Who has the link can look, and decides with a key.
        const { link, until } = this.#asked
        this.#parts.record({ known: { verdict: 'waits', until, link } }).catch(() => {})
        return
      }
      this.#record('too_many', null).catch(() => {})
      resolve(this.#parts.denied(WHY.too_many, 'too_many'))
    })
  }

  /** It is not to be passed on any more, and its outcome is recorded by whoever says so. */
  withdraw(): void {
    if (this.isGone) return
    this.isGone = true
    this.#asked?.takeBack()
    this.#record('withdrawn', null).catch(() => {})
    this.#resolve(this.#nothing())
  }

  async #decide({ verdict, by }: Decision, isStrict: boolean, fail: (error: unknown) => void): Promise<string> {
    let isRecorded = true
    try {
      await this.#record(verdict, by)
    } catch (error) {
      isRecorded = false
      if (isStrict && verdict === 'approved' && !this.isGone) {
        fail(error)
        return TOLD.lost
      }
    }
    if (this.isGone) return TOLD.gone
    // From here on it is an open request like any other, or none.
    if (verdict === 'approved') this.#resolve(this.#parts.approved())
    else this.#resolve(this.#parts.denied(WHY[verdict], verdict))
    if (verdict === 'approved') return isRecorded ? TOLD.approved : TOLD.approvedOnly
    return isRecorded ? TOLD.denied : TOLD.deniedOnly
  }

  #record(verdict: string, by: Decision['by']): Promise<void> {
    const waitedMs = Math.round(performance.now() - this.#since)
    const known: JsonObject = { verdict, waitedMs, ...(by && { vouchedBy: 'key', credential: by.credential }) }
    return this.#parts.record({
      ...(by && { actor: { type: 'user', id: by.name } }),
      outcome: verdict === 'approved' ? 'success' : 'denied',
      known,
    })
  }

  /** The arguments without secrets: the page is behind a link that stands in a log. Of what is too large for an event their hash, and the whole on request. */
  #shown(): Pick<WantedCall, 'arguments' | 'whole'> {
    const { config, arguments: args } = this.#parts
    const found = disclosed(args, config.limits.discloseBytes)
    if ('value' in found) return { arguments: this.#redacted(found.value), whole: null }
    // Read by a person, it must be what the server will see, to the last level.
    const isExact = found.omitted.why === 'size' && 'value' in disclosed(args, Number.POSITIVE_INFINITY)
    let text: string | undefined
    const whole = () => (text ??= JSON.stringify(this.#redacted(args)))
    return { arguments: { omitted: found.omitted }, whole: isExact ? whole : null }
  }

  #redacted(args: JsonValue): JsonValue {
    const actor = { type: 'agent', id: 'agent' }
    const { event } = this.#parts.config.redaction.redactEvent({
      action: 'mcp.tools.call',
      actor,
      arguments: redactJsonTexts(args, ['arguments'], this.#parts.config.redaction, []),
    } as EventInput)
    return (event as { arguments?: JsonValue }).arguments ?? null
  }

  #nothing(): Passage {
    return { isPassed: false, answer: Buffer.alloc(0) }
  }
}
