// Connections that became no session: each is recorded, and of a flood the number.
import { randomUUID } from 'node:crypto'
import type { JsonObject } from '@killick/sdk/core'
import type { SessionRecording } from '../sessions/recording.ts'
import type { Visitor } from './door.ts'
import type { Identity, PostgresFacts } from './events.ts'
import type { PostgresMetrics } from './metrics.ts'

/** In each minute so many have events of their own; whoever can connect could fill the spool otherwise. */
const MAX_EACH_MINUTE = 100
const MINUTE_MS = 60_000

type RecordingOf = (id: string, identity: Identity) => SessionRecording<PostgresFacts>

export class RefusedConnections {
  readonly #recordingOf: RecordingOf
  readonly #metrics: PostgresMetrics
  #inMinute = 0
  readonly #uncounted = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #underWay = new Set<Promise<unknown>>()

  constructor(recordingOf: RecordingOf, metrics: PostgresMetrics) {
    this.#recordingOf = recordingOf
    this.#metrics = metrics
  }

  /** A connection that was not let through to the server. */
  note(
    { address, packet }: { address: string; packet?: Visitor['packet'] },
    known: { why: string; code?: string },
  ): void {
    const parameters: Readonly<Record<string, string>> = packet?.kind === 'startup' ? packet.parameters : {}
    const { user = '', database = user } = parameters
    this.take(
      randomUUID(),
      { user, database, address },
      {
        action: 'session.refused',
        outcome: 'failure',
        known: { kind: 'denial', state: 'refused', code: 'postgres_message_invalid', ...known },
      },
    )
  }

  take(id: string, identity: Identity, facts: PostgresFacts): void {
    const { code, sqlstate } = facts.known as { code?: string; sqlstate?: string }
    const reason = code ?? sqlstate ?? 'gone'
    this.#metrics.refusedConnections.inc({ reason: code ?? (sqlstate === undefined ? 'gone' : 'server') })
    if (this.#hasRoom(reason)) this.#record(id, identity, facts)
  }

  /**
   * Whether a request to cancel that names no session here may have an event of its own, and so go on. Anybody can send one, so they share
   * the minute with connections that are refused; one too many is refused itself, and counted.
   */
  admitsCancel(): boolean {
    const isAdmitted = this.#hasRoom('cancel')
    if (!isAdmitted) this.#metrics.refusedConnections.inc({ reason: 'cancel' })
    return isAdmitted
  }

  /** Whether this minute has room for one more event; if not, it is counted for the one that tells of all. */
  #hasRoom(reason: string): boolean {
    this.#timer ??= setTimeout(() => this.#minuteEnds(), MINUTE_MS).unref()
    this.#inMinute += 1
    if (this.#inMinute <= MAX_EACH_MINUTE) return true
    this.#uncounted.set(reason, (this.#uncounted.get(reason) ?? 0) + 1)
    return false
  }

  async close(): Promise<void> {
    this.#minuteEnds()
    await Promise.all(this.#underWay)
  }

  #minuteEnds(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#inMinute = 0
    if (this.#uncounted.size === 0) return
    const counts: JsonObject = Object.fromEntries([...this.#uncounted].slice(0, 100))
    this.#uncounted.clear()
    this.#record(
      randomUUID(),
      { user: '', database: '', address: 'many' },
      {
        action: 'sessions.refused',
        outcome: 'failure',
        known: { kind: 'denial', state: 'refused', counts },
      },
    )
  }

  #record(id: string, identity: Identity, facts: PostgresFacts): void {
    const recorded = this.#recordingOf(id, identity)
      .record(facts)
      .catch(() => {})
    this.#underWay.add(recorded)
    recorded.then(() => this.#underWay.delete(recorded))
  }
}
