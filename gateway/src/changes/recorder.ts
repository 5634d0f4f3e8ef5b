// `killick-gateway changes run`: connects, records, and connects again, until it is told to stop or a gap is found.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type AuditLog, openAuditLog } from '@killick/sdk'
import { type JsonObject, KillickError } from '@killick/sdk/core'
import type pg from 'pg'
import { codeOf } from '../sessions/recording.ts'
import { Capture, UnreadableStream } from './capture.ts'
import type { ChangesConfig } from './config.ts'
import { connectTo, publicationFacts, type ServerFacts, serverFacts, slotFacts, timelineLeftAt } from './database.ts'
import { ChangesError } from './errors.ts'
import { ChangesEvents } from './events.ts'
import { settleGap } from './gap.ts'
import { printLsn } from './lsn.ts'
import { Notes } from './notes.ts'
import { checkPublication, checkServer, checkSlot, findGap, type LastStream } from './preflight.ts'
import { type ChangesSealing, openChangesSealing } from './sealing.ts'
import { OtherHistory } from './transactions.ts'
import { Watch } from './watch.ts'

/** How a recorder speaks, and what it may do this once. */
export type ChangesOptions = {
  /** Tells people something: a line on stderr. */
  readonly say: (text: string) => void
  /** Whether to go on behind a gap, this once. */
  readonly acceptGap?: boolean
}

/** The state of a recorder at one moment. */
export type ChangesStatus = {
  /** Whether the stream is open. */
  readonly isConnected: boolean
  /** Connected, not behind by more than `limits.lagBytes`, and the ledger does not contradict itself. */
  readonly isReady: boolean
  /** Bytes of the database's log that the slot holds back; null: not asked yet. */
  readonly lagBytes: number | null
  /** When the newest transaction that was read was committed, ms since 1970 by the database's clock. */
  readonly committedMs: number | null
  /** Events recorded since the start. */
  readonly recorded: number
  /** Times that the connection was made anew. */
  readonly reconnects: number
  /** Everything before it is durable, and the server knows. */
  readonly confirmed: string
  readonly log: AuditLog['status']
}

const FIRST_WAIT_MS = 200
const READABLE: LastStream = { isOther: false, unreadable: null }

/** Records the changes of one database. */
export class ChangesRecorder {
  /** Resolves when it was closed. @throws ChangesError, KillickError, or the database's error: why it cannot go on; it is closed then too */
  readonly ended: Promise<void>
  readonly #config: ChangesConfig
  readonly #options: ChangesOptions
  readonly #log: AuditLog
  readonly #sealing: ChangesSealing | null
  readonly #notes: Notes
  readonly #session = randomUUID()
  readonly #stop = new AbortController()
  #events: ChangesEvents | null = null
  #capture: Capture | null = null
  #watch: Watch | null = null
  #recordedBefore = 0
  #reconnects = -1
  #isAccepted: boolean
  #lastSaid = ''
  #isCautious = false
  /** Whether the last stream lacked what was recorded, and why the server could not read on. */
  #last: LastStream = READABLE

  private constructor(
    config: ChangesConfig,
    options: ChangesOptions,
    { log, notes, sealing }: { log: AuditLog; notes: Notes; sealing: ChangesSealing | null },
  ) {
    this.#sealing = sealing
    this.#config = config
    this.#options = options
    this.#log = log
    this.#notes = notes
    this.#isAccepted = options.acceptGap === true || config.onGap === 'accept'
    this.ended = this.#run()
    this.ended.catch(() => {})
  }

  /** @throws KillickError, e.g. `spool_locked`, `key_unsafe` */
  static async start(config: ChangesConfig, options: ChangesOptions): Promise<ChangesRecorder> {
    const notes = Notes.open(join(config.state, 'changes.ndjson'))
    const { promise: begun, resolve } = Promise.withResolvers<void>()
    const sealing = await openChangesSealing(config, options.say)
    const log = await openLog(config, { notes, begun, sealing }, options.say).catch(async (error) => {
      await sealing?.close()
      throw error
    })
    try {
      notes.begin()
      resolve()
    } catch (error) {
      await log.close({ timeoutMs: 0 })
      await sealing?.close()
      throw error
    }
    return new ChangesRecorder(config, options, { log, notes, sealing })
  }

  get status(): ChangesStatus {
    const log = this.#log.status
    const lagBytes = this.#watch?.lagBytes ?? null
    const isConnected = this.#capture !== null
    const isBehind = lagBytes !== null && lagBytes > this.#config.limits.lagBytes
    return {
      ...{ isConnected, lagBytes, log },
      isReady: isConnected && !isBehind && log.state !== 'halted' && log.state !== 'closed',
      committedMs: this.#capture?.transactions.committedMs ?? null,
      recorded: this.#recordedBefore + (this.#capture?.delivery.recorded ?? 0),
      reconnects: Math.max(0, this.#reconnects),
      confirmed: printLsn(this.#notes.confirmed),
    }
  }

  /** Stops reading, records its end, and gives the ledger `limits.drainMs`. @throws as `ended` */
  close(): Promise<void> {
    this.#stop.abort()
    return this.ended
  }

  async #run(): Promise<void> {
    try {
      let failures = 0
      while (!this.#stop.signal.aborted) {
        const before = this.status.recorded
        try {
          await this.#connection()
        } catch (error) {
          if (isFinal(error, this.#reconnects < 0)) throw error
          this.#isCautious = error instanceof KillickError
          if (error instanceof OtherHistory) this.#last = { ...this.#last, isOther: true }
          if (error instanceof UnreadableStream) this.#last = { ...this.#last, unreadable: error.why }
          failures = this.status.recorded > before ? 1 : failures + 1
          const ms = Math.min(this.#config.limits.reconnectMs, FIRST_WAIT_MS * 2 ** (failures - 1))
          this.#sayOnce(`${(error as Error).message}; it is tried again`)
          await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => {})
        }
      }
      await this.#record('session.end', {
        kind: 'session',
        recorded: this.status.recorded,
        confirmed: this.status.confirmed,
      })
    } finally {
      this.#stop.abort()
      const { pending } = await this.#log.close({ timeoutMs: this.#config.limits.drainMs })
      this.#notes.close()
      await this.#sealing?.close()
      if (pending > 0)
        this.#options.say(`${pending} ${pending === 1 ? 'event waits' : 'events wait'} in the spool for the ledger`)
    }
  }

  /** Until the connection breaks, which throws, or until it is told to stop. */
  async #connection(): Promise<void> {
    this.#sealing?.beginAnew()
    const over = new AbortController()
    const clients: pg.Client[] = []
    try {
      const client = await connectTo(this.#config.database)
      clients.push(client)
      const watching = await connectTo(this.#config.database)
      clients.push(watching)
      const prepared = await this.#prepare(client)
      const parts = { config: this.#config, log: this.#log, notes: this.#notes, events: this.#events!, client }
      const capture = await Capture.begin({ ...parts, ...prepared, isCautious: this.#isCautious })
      this.#capture = capture
      this.#reconnects += 1
      this.#lastSaid = ''
      const looked = this.#watch!.run(watching, AbortSignal.any([over.signal, this.#stop.signal]))
      // It ends when it is told to stop, and fails when the connection does.
      looked.catch(() => {})
      try {
        await Promise.race([capture.ended, looked])
      } finally {
        await capture.close()
        this.#sealing?.beginAnew()
        this.#recordedBefore += capture.delivery.recorded
        this.#capture = null
      }
    } finally {
      over.abort()
      await Promise.all(clients.map((each) => each.end().catch(() => {})))
    }
  }

  /** Everything that must be so before the stream begins. */
  async #prepare(client: pg.Client): Promise<{ server: ServerFacts; slotFrom: bigint }> {
    const [config, notes] = [this.#config, this.#notes]
    const server = await serverFacts(client)
    checkServer(server)
    const publication = await publicationFacts(client, config.publication)
    checkPublication(publication, config)
    const slot = await slotFacts(client, config.slot)
    checkSlot(slot, config, server, notes)
    const isFirst = this.#events === null
    this.#events ??= new ChangesEvents(config, server.database, this.#session)
    this.#events.epoch = notes.place.epoch
    this.#watch ??= new Watch({
      config,
      notes,
      say: this.#options.say,
      record: (action, known, more) => this.#record(action, known, more),
    })
    const gap = findGap(slot, server, notes, await this.#leftAt(server), this.#last)
    this.#last = READABLE
    if (gap !== null) {
      const record = (action: string, known: JsonObject, more?: object) => this.#record(action, known, more)
      await settleGap(gap, {
        config,
        notes,
        client,
        server,
        isAccepted: this.#isAccepted,
        record,
        say: this.#options.say,
      })
      this.#isAccepted = config.onGap === 'accept'
      this.#events.epoch = notes.place.epoch
    }
    if (notes.server === null && notes.confirmed === 0n) notes.confirmed = slot!.confirmedLsn!
    const { system, timeline, database } = server
    // Together with the place: a process that was killed between the two would leave a server of which everything was missed.
    notes.server = { system, timeline, database, slot: config.slot }
    notes.begin()
    if (isFirst) {
      const known = { version: server.version, system, timeline, slot: config.slot, publication: config.publication }
      await this.#record('session.start', {
        kind: 'session',
        ...known,
        from: printLsn(notes.confirmed),
        epoch: notes.place.epoch,
      })
    }
    await this.#watch.publication(client, publication)
    return { server, slotFrom: slot?.confirmedLsn ?? 0n }
  }

  /** Where the server left the timeline that was read before; null: it is still on it. */
  async #leftAt({ timeline, system }: ServerFacts): Promise<bigint | null> {
    const before = this.#notes.server
    if (before === null || before.system !== system || before.timeline === timeline) return null
    return timelineLeftAt(this.#config.database, before.timeline, timeline)
  }

  async #record(action: string, known: JsonObject, more: object = {}): Promise<void> {
    if (this.#events === null) return
    await this.#log.record(this.#events.ofSession(action, { known, ...more }))
  }

  #sayOnce(text: string): void {
    if (text !== this.#lastSaid) this.#options.say(text)
    this.#lastSaid = text
  }
}

/** What trying again does not mend. @param isFirst whether there was no connection yet */
function isFinal(error: unknown, isFirst: boolean): boolean {
  // A slot that is made anew waits for transactions of others. And while a standby takes over, what answers may not have been promoted yet.
  if (error instanceof ChangesError && error.code === 'changes_database_busy') return false
  if (error instanceof ChangesError) return isFirst || error.code !== 'changes_database_unsuitable'
  if (error instanceof KillickError) return error.code !== 'spool_disk_full'
  const code = codeOf(error)
  // Wrong password, no such database, no right: at the start nobody has ever seen it work.
  return isFirst && /^(28|3D|42)/.test(code)
}

async function openLog(
  config: ChangesConfig,
  { notes, begun, sealing }: { notes: Notes; begun: Promise<void>; sealing: ChangesSealing | null },
  say: ChangesOptions['say'],
): Promise<AuditLog> {
  let lastSaid = ''
  return openAuditLog({
    ...{ url: config.url, source: config.source, key: config.key, spool: config.spool, signEvents: config.signEvents },
    ...(config.logKey !== null && { logKey: config.logKey }),
    ...(sealing !== null && { sealing: sealing.sealer, sealed: [...config.sealed!.fields] as 'actor'[] }),
    // Room is looked at before anything is read; what is under way then fits.
    maxSpoolBytes: config.limits.spoolBytes + (64 << 20),
    onFound: (event) => notes.found(event),
    // An event may leave the spool once the ledger has it; by then it must be known elsewhere how far it had come.
    fetch: async (...request) => {
      await begun
      await nextTurn()
      await notes.sync()
      return fetch(...request)
    },
    onError: (error, during) => {
      if (during === 'record' || error.message === lastSaid) return
      lastSaid = error.message
      say(`not sent to the ledger so far: ${error.message}`)
    },
    onPin: (logKey) => say(`took the key of the log from the service; set logKey to pin it: ${logKey}`),
  })
}
