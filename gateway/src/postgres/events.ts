// The events of a session: what every one of them says of who is connected to what.
import type { JsonObject, JsonValue } from '@killick/sdk/core'
import { shortened } from '../sessions/disclosed.ts'
import type { EventFacts, Thing } from '../sessions/event.ts'
import { claimsAfter, committed, NOTHING_SAID, rolledBack, type SessionClaims, saying } from './claims.ts'
import type { PostgresConfig } from './config.ts'
import type { StatementEffect } from './effects/index.ts'

/** Who acts and why, as the session had said it at some moment. */
export type Who = { readonly actor: EventFacts['actor']; readonly context: JsonObject }

/** What an event is made of. */
export type PostgresFacts = Omit<EventFacts, 'actor' | 'targets' | 'fields' | 'context' | 'circumstances'> & {
  /** Beside the database and the session. */
  targets?: readonly Thing[] | undefined
  /** The text of a statement, or what stands for one that is too long. */
  statement?: JsonValue | undefined
  parameters?: JsonValue | undefined
  /** What the server says of a failure. */
  error?: JsonValue | undefined
  /** Default: as the session says now. */
  who?: Who | undefined
}

/** Who is connected, as the first packet says; user and database are empty where nobody could read it. */
export type Identity = {
  readonly user: string
  readonly database: string
  /** The client's address and port. */
  readonly address: string
}

/** What is no failed transaction any more. */
const ENDS_FAILURE: ReadonlySet<string> = new Set(['commit', 'prepare', 'rollback', 'rollback_to'])

/** Makes the events of one session. */
export class PostgresEvents {
  readonly #config: PostgresConfig
  readonly #identity: Identity
  #who!: Who
  #application = ''
  /** As the server has it by its answers. */
  #held: SessionClaims = NOTHING_SAID
  /** As the server will have it once it has answered all that was asked for: what is asked next is asked by this. */
  #claims: SessionClaims = NOTHING_SAID
  /** What was asked for and changes that, without answers so far; each with its number. */
  #pending: { readonly number: number; readonly effects: readonly StatementEffect[] }[] = []
  #asked = 0
  /** Whether the transaction has failed, as far as the server has said, and nothing that was asked for since ends that. */
  #isFailed = false
  /** Whether something that ends that was asked for in the segment that goes on. */
  #endsFailure = false
  /** For each end of a segment that the server has not answered: how much was asked for by then. */
  #segments: number[] = []

  constructor(config: PostgresConfig, identity: Identity) {
    this.#config = config
    this.#identity = identity
    this.#refresh()
  }

  /** What the session calls itself: `application_name`. */
  set application(name: string) {
    this.#application = name
    this.#refresh()
  }

  /** On whose behalf the session says it acts: `killick.actor`. */
  get claimedActor(): string | null {
    return this.#claims.said['killick.actor'] ?? null
  }

  /** Why, as the session says: `killick.reason`. */
  get reason(): string | null {
    return this.#claims.said['killick.reason'] ?? null
  }

  /** The first packet sets something. */
  begins(name: string, value: string): void {
    if (name === 'killick.actor' || name === 'killick.reason')
      this.#held = committed(saying(this.#held, { name, value }))
    this.settled()
  }

  /** The session has asked for statements that do this. @returns takes it back */
  asked(effects: readonly StatementEffect[]): () => void {
    const before = this.#claims
    const wasFailed = this.#isFailed
    let claims = before
    for (const effect of effects) {
      // COMMIT of what has failed is ROLLBACK.
      const isUndone = this.#isFailed && (effect.transaction === 'commit' || effect.transaction === 'prepare')
      claims = isUndone ? rolledBack(claims) : claimsAfter(claims, effect)
      if (effect.transaction === undefined || !ENDS_FAILURE.has(effect.transaction)) continue
      this.#isFailed = false
      this.#endsFailure = true
    }
    if (claims === before) return () => {}
    this.#asked += 1
    const pending = { number: this.#asked, effects }
    // Where no other segment has answers to come, they come together, and the first of them stands for all: a client need not sync.
    if (this.#segments.length > 0 || this.#pending.length === 0) this.#pending.push(pending)
    this.#expect(claims)
    return () => {
      this.#pending = this.#pending.filter((each) => each !== pending)
      this.#isFailed = wasFailed
      this.#expect(before)
    }
  }

  /** What the session asks for next is looked at though something before it has failed. */
  segmentEnds(): void {
    this.#segments.push(this.#asked)
    this.#endsFailure = false
  }

  /** Whether what becomes of these depends on answers that have not come yet: whether something has failed, before a COMMIT of what was said. */
  isUncertainOf(effects: readonly StatementEffect[]): boolean {
    if (this.#segments.length === 0 || this.#claims.marks.length === 0) return false
    return effects.some(({ transaction }) => transaction === 'commit' || transaction === 'prepare')
  }

  /** Whether who asks next depends on answers that have not come yet. Within a segment nothing is looked at behind what fails. */
  get isUncertain(): boolean {
    const ended = this.#segments.at(-1)
    return ended !== undefined && this.#pending.length > 0 && this.#pending[0]!.number <= ended
  }

  /** The server says that a statement has succeeded which does this. */
  succeeded(effects: readonly StatementEffect[]): void {
    this.#held = effects.reduce(claimsAfter, this.#held)
  }

  /** The server says that no transaction is open any more. */
  transactionEnded(isCommitted: boolean): void {
    this.#held = isCommitted ? committed(this.#held) : rolledBack(this.#held)
  }

  /** Segments have their answers: what failed in them, or was undone, is not said. */
  segmentsEnded(count: number, isFailed: boolean): void {
    this.#isFailed = isFailed && !this.#endsFailure
    const answered = this.#segments.splice(0, count).at(-1) ?? 0
    if (this.#pending.length === 0) return
    this.#pending = this.#pending.filter(({ number }) => number > answered)
    this.#expect(this.#pending.reduce((claims, { effects }) => effects.reduce(claimsAfter, claims), this.#held))
  }

  /** Everything that was asked for has its answer. */
  settled(): void {
    this.#pending = []
    this.#segments = []
    this.#expect(this.#held)
  }

  #expect(claims: SessionClaims): void {
    const { claimedActor, reason } = this
    this.#claims = claims
    if (this.claimedActor !== claimedActor || this.reason !== reason) this.#refresh()
  }

  /** Who acts and why, as the session says now; another object once it says something else. */
  get who(): Who {
    return this.#who
  }

  #actor(): EventFacts['actor'] {
    const { actor, claimedActor } = this.#config
    const user = shortened(this.#identity.user)
    if (actor !== null) return { ...(actor as EventFacts['actor']), databaseUser: user }
    if (claimedActor === 'actor' && this.claimedActor !== null)
      return { type: 'claimed-user', id: shortened(this.claimedActor), databaseUser: user, vouchedBy: 'session' }
    if (this.#identity.user === '') return { type: 'database-client', id: this.#identity.address }
    return { type: 'database-user', id: user }
  }

  /** What an event says, with what every event of the session says. */
  facts({ targets = [], statement, parameters, error, who = this.#who, ...facts }: PostgresFacts): EventFacts {
    return {
      ...facts,
      ...who,
      targets:
        this.#identity.database === '' ? targets : [...targets, { type: 'database', id: this.#identity.database }],
      fields: { statement, parameters, error },
      // What goes into a column of JSON is a text here.
      hasJsonTexts: true,
    }
  }

  /** What the client says of itself stands in the context, where the rules look into it. */
  #refresh(): void {
    const context: JsonObject = {
      ...(this.#application !== '' && { application: shortened(this.#application) }),
      ...(this.claimedActor !== null && { claimedActor: { id: shortened(this.claimedActor), vouchedBy: 'session' } }),
      ...(this.reason !== null && { reason: shortened(this.reason, 2_000) }),
      address: this.#identity.address,
    }
    this.#who = { actor: this.#actor(), context }
  }
}
