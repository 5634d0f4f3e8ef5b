// One connection's life: from the questions before it begins to the moment it breaks or is told to stop.
import type { AuditLog } from '@killick/sdk'
import type pg from 'pg'
import { codeOf } from '../sessions/recording.ts'
import type { ChangesConfig } from './config.ts'
import { type ServerFacts, tableFacts } from './database.ts'
import { ChangeDelivery } from './delivery.ts'
import type { ChangesEvents } from './events.ts'
import type { Notes } from './notes.ts'
import { PgoutputReader, type Relation } from './pgoutput.ts'
import { describe } from './relations.ts'
import { Replication } from './replication.ts'
import { tableOf } from './table.ts'
import { type KnownTable, Transactions } from './transactions.ts'

/** Least and most time between two words to the server, ms. */
const [MIN_STATUS_MS, MAX_STATUS_MS] = [100, 10_000]
/** How often the server hears what is durable now, ms. */
const CONFIRM_MS = 500
/** Parts of the time in which this thread works, above which it counts as busy, and below which it no longer does. */
const [BUSY, RESTED] = [0.9, 0.3]

export type CaptureParts = {
  readonly config: ChangesConfig
  readonly log: AuditLog
  readonly notes: Notes
  readonly events: ChangesEvents
  /** For questions about tables. */
  readonly client: pg.Client
  readonly server: ServerFacts
  /** From where on its slot has what is committed. */
  readonly slotFrom: bigint
  /** Whether an attempt before this one failed to record. */
  readonly isCautious: boolean
}

/** SQLSTATE, and which part of the server says so: a slot that was dropped is an undefined object too. */
const UNREADABLE = [
  { code: '42704', by: /^get_publication_oid$/, why: 'publication_was_missing' },
  { code: '58P01', by: /^(WalSndSegmentOpen|CheckXLogRemoved)$/, why: 'log_missing' },
] as const

/** The server cannot read on: something was committed while there was no publication (from PostgreSQL 18 on it leaves that out), or its log is gone. */
export class UnreadableStream extends Error {
  readonly why: 'publication_was_missing' | 'log_missing'

  constructor(why: UnreadableStream['why'], cause: Error) {
    super(cause.message, { cause })
    this.why = why
  }
}

/** Why the stream has ended. */
function reasonOf(error: Error & { routine?: string }): Error {
  const found = UNREADABLE.find(({ code, by }) => code === codeOf(error) && by.test(error.routine ?? ''))
  return found === undefined ? error : new UnreadableStream(found.why, error)
}

type Received = { bytes: Buffer; lsn: bigint } | { end: bigint; isAsked: boolean }

/** Reads one slot, records, and tells the server what is durable. */
export class Capture {
  readonly delivery: ChangeDelivery
  readonly transactions: Transactions
  /** Rejects when the connection has ended or something could not be recorded; never resolves. */
  readonly ended: Promise<never>
  readonly #parts: CaptureParts
  readonly #reader = new PgoutputReader()
  readonly #tables = new WeakMap<Relation, KnownTable>()
  readonly #queue: Received[] = []
  readonly #fail: (error: unknown) => void
  #replication!: Replication
  #isPumping = false
  #isClosed = false
  /** Everything before it was sent to us. */
  #received = 0n
  #timer: NodeJS.Timeout | undefined
  #utilization = performance.eventLoopUtilization()
  #confirming: Promise<void> | null = null

  private constructor(parts: CaptureParts) {
    this.#parts = parts
    const { log, notes, config } = parts
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    this.ended = promise
    this.#fail = reject
    this.delivery = new ChangeDelivery(log, notes, config.limits.spoolBytes, parts.isCautious)
    this.transactions = new Transactions({
      ...{ config, encoding: parts.server.encoding, events: parts.events, delivery: this.delivery, notes },
      sentFrom: parts.slotFrom,
      tables: { get: (relation) => this.#tables.get(relation), load: (relation) => this.#load(relation) },
    })
  }

  /** @throws the error of the connection or the server */
  static async begin(parts: CaptureParts): Promise<Capture> {
    const capture = new Capture(parts)
    const { config, notes, server } = parts
    const patience = server.walSenderTimeoutMs === 0 ? MAX_STATUS_MS : server.walSenderTimeoutMs / 4
    const statusMs = Math.max(MIN_STATUS_MS, Math.min(MAX_STATUS_MS, patience))
    capture.#replication = await Replication.connect(config.database)
    capture.#replication.ended.catch((error) => capture.#fail(reasonOf(error)))
    const events = {
      data: (bytes: Buffer, lsn: bigint) => capture.#receive({ bytes, lsn }),
      keepalive: (end: bigint, isAsked: boolean) => capture.#receive({ end, isAsked }),
    }
    try {
      const { slot, publication } = config
      // All that the slot has: what was recorded is left out, and shows that this is the log that was read before. Behind a gap the way
      // begins where that was said to end.
      const { epoch, commit } = notes.place
      const from = epoch > 1 && commit === 0n ? notes.confirmed : 0n
      await capture.#replication.start({ slot, publication, from, statusMs }, events)
    } catch (error) {
      await capture.#replication.close()
      throw error
    }
    capture.#timer = setInterval(() => {
      capture.#look()
      void capture.#confirm()
    }, CONFIRM_MS)
    return capture
  }

  /** Whether this thread has more to do than it can. What is grouped costs a sixth, so it is busy until it has little to do. */
  #look(): void {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization)
    this.#utilization = now
    this.transactions.isBusy = utilization > (this.transactions.isBusy ? RESTED : BUSY)
  }

  /** Stops reading, waits for what is under way, and tells the server of it. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#replication.pause()
    this.#queue.length = 0
    this.delivery.abandon()
    await this.delivery.quiet()
    await this.#confirm()
    await this.#replication.close()
  }

  #receive(received: Received): void {
    if (this.#isClosed) return
    if (this.#isPumping) {
      // The socket is paused; this came in the same piece, whose memory is used again.
      this.#queue.push('bytes' in received ? { ...received, bytes: Buffer.from(received.bytes) } : received)
      return
    }
    try {
      const asking = this.#take(received)
      if (asking !== undefined || this.delivery.isFull) this.#pump(asking)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Goes on when there is room, or when a question is answered; until then nothing is read. */
  async #pump(asking: Promise<void> | undefined): Promise<void> {
    this.#isPumping = true
    this.#replication.pause()
    try {
      await asking
      for (;;) {
        if (this.delivery.isFull) await this.delivery.room()
        const next = this.#queue.shift()
        if (next === undefined) break
        await this.#take(next)
      }
      this.#isPumping = false
      if (!this.#isClosed) this.#replication.resume()
    } catch (error) {
      this.#fail(error)
    }
  }

  #take(received: Received): Promise<void> | undefined {
    if ('bytes' in received) {
      const { bytes, lsn } = received
      return this.transactions.take(this.#reader.read(bytes), lsn, bytes.length)
    }
    this.transactions.passed(received.end)
    this.#received = received.end
    // A server that is being stopped waits for this.
    if (received.isAsked) void this.#confirm()
    return
  }

  async #load(relation: Relation): Promise<void> {
    const { client, config } = this.#parts
    const asked = relation.columns.map(({ typeOid, typeMod }) => ({ oid: typeOid, mod: typeMod }))
    const { primaryKey, types } = await tableFacts(client, relation.oid, asked)
    const table = tableOf(relation, primaryKey, config.exclude, config.redaction)
    this.#tables.set(relation, { table, described: describe(relation, table.id, types) })
  }

  /** Takes down what is durable, and then tells the server. */
  #confirm(): Promise<void> {
    this.#confirming ??= this.#confirmNow()
      .catch(this.#fail)
      .finally(() => {
        this.#confirming = null
      })
    return this.#confirming
  }

  async #confirmNow(): Promise<void> {
    const { notes, slotFrom } = this.#parts
    const isIdle = this.delivery.underWay === 0 && !this.transactions.isOpen && this.#queue.length === 0
    const all = isIdle && this.delivery.failure === null ? this.#received : 0n
    const durable = this.delivery.end > all ? this.delivery.end : all
    // While the server reads its log again it may be at a lower place than its slot, which some versions then move back.
    const reached = durable > slotFrom ? durable : slotFrom
    const lsn = this.transactions.isSure ? reached : 0n
    if (lsn > notes.confirmed) await notes.confirm(lsn)
    this.#replication.confirm(lsn)
    // Where nothing more comes, nobody asks for room, and nobody else would notice.
    if (this.delivery.failure !== null) throw this.delivery.failure
  }
}
