// What is looked at beside the stream, again and again: how far the slot is behind, and what is published.
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '@killick/sdk/core'
import type pg from 'pg'
import { hashOf } from '../sessions/disclosed.ts'
import type { ChangesConfig } from './config.ts'
import { isWaitedFor, lagOf, publicationFacts, unpublishedTables } from './database.ts'
import type { Notes } from './notes.ts'
import { checkPublication } from './preflight.ts'
import { differences } from './relations.ts'

/** Members of a list that an event names; of more it says how many. And bytes of JSON for them. */
const [MAX_LISTED, MAX_JSON] = [300, 64_000]

type Parts = {
  readonly config: ChangesConfig
  readonly notes: Notes
  readonly say: (text: string) => void
  readonly record: (action: string, known: JsonObject, more?: object) => Promise<void>
}

/** SQLSTATE. And how long a look at the publication may wait for a table that somebody has for themselves, ms. */
const [LOCK_NOT_AVAILABLE, LOCK_MS] = ['55P03', 500]

/** Looks at lag and publication while a connection lasts. */
export class Watch {
  /** Bytes that the slot holds back; null: not asked yet. */
  lagBytes: number | null = null
  readonly #parts: Parts
  #isBehind = false
  #isWaitedFor = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Until it is aborted. @throws the error of the database, ChangesError if the publication is gone or publishes less */
  async run(client: pg.Client, signal: AbortSignal): Promise<void> {
    const { limits, publication } = this.#parts.config
    await client.query(`set lock_timeout = ${LOCK_MS}`)
    while (!signal.aborted) {
      await this.#lag(client)
      await this.#standby(client)
      await sleep(limits.lookMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      await this.#look(client, publication).catch(laterIfLocked)
    }
  }

  /** Records that something else is published than when it was last looked at. */
  async publication(client: pg.Client, facts: JsonObject | null): Promise<void> {
    const { notes, record, config } = this.#parts
    if (JSON.stringify(facts) === JSON.stringify(notes.publication)) return
    const described = facts ?? {}
    const changes = differences(notes.publication ?? {}, described)
    const left = facts === null ? [] : await unpublishedTables(client, config.publication)
    const isListed = changes.length <= MAX_LISTED && JSON.stringify(changes).length <= MAX_JSON
    const known = {
      ...{ kind: 'publication', publication: config.publication, isFirst: notes.publication === null },
      ...(!isListed && { omitted: { why: 'size', changes: changes.length, ...hashOf(JSON.stringify(changes)) } }),
      // What no event will ever tell of.
      notRecorded: left.slice(0, MAX_LISTED),
      ...(left.length > MAX_LISTED && { notRecordedCount: left.length }),
    }
    await record('publication', known, isListed ? { changes } : {})
    notes.note({ publication: described })
    checkPublication(facts, config)
  }

  async #standby(client: pg.Client): Promise<void> {
    const { config, say } = this.#parts
    const before = this.#isWaitedFor
    this.#isWaitedFor = await isWaitedFor(client, config.slot)
    if (this.#isWaitedFor && !before)
      say(
        'the database takes this recorder for a synchronous standby: commits wait for it. Name the standbys that are meant in synchronous_standby_names, without *',
      )
  }

  async #look(client: pg.Client, publication: string): Promise<void> {
    await this.publication(client, await publicationFacts(client, publication))
  }

  async #lag(client: pg.Client): Promise<void> {
    const { config, say } = this.#parts
    const lag = await lagOf(client, config.slot)
    if (lag === null) return
    this.lagBytes = lag
    const isBehind = lag > config.limits.lagBytes
    if (isBehind === this.#isBehind) return
    this.#isBehind = isBehind
    if (isBehind)
      say(
        `the slot holds back ${lag} bytes of the database's log, more than limits.lagBytes (${config.limits.lagBytes}); its disk may fill`,
      )
    else say(`the slot holds back ${lag} bytes of the database's log, within limits.lagBytes again`)
  }
}

/** PostgreSQL opens each table that is published: one that a migration holds is looked at once it lets go, and recording goes on meanwhile. */
function laterIfLocked(error: Error & { code?: string }): void {
  if (error.code !== LOCK_NOT_AVAILABLE) throw error
}
