// One session between a client and the server, from the first packet to the end.
import type { Duplex } from 'node:stream'
import type { JsonObject } from '@killick/sdk/core'
import type { Durable, SessionRecording } from '../sessions/recording.ts'
import { Answering } from './answering.ts'
import { Asking, type Counts, notRecorded } from './asking.ts'
import { Authentication } from './authentication.ts'
import { ClientFrameReader } from './client-frames.ts'
import type { PostgresConfig } from './config.ts'
import type { Identity, PostgresEvents, PostgresFacts } from './events.ts'
import { Lane, LONG_MESSAGE } from './lane.ts'
import { letter, type OwnError, printError, readError } from './messages.ts'
import { Outcomes } from './outcomes.ts'
import { PreparedNames } from './prepared.ts'
import { ServerFrameReader } from './server-frames.ts'
import type { Reading } from './sql-text.ts'

/** What a session is made of. */
export type SessionParts = {
  readonly id: string
  readonly config: PostgresConfig
  readonly identity: Identity
  readonly events: PostgresEvents
  readonly recording: SessionRecording<PostgresFacts>
  readonly client: Duplex
  readonly server: Duplex
  /** The client's first packet, what it says beside user and database, and what it sets. */
  readonly startup: {
    readonly packet: Buffer
    readonly parameters: JsonObject
    readonly sets: readonly (readonly [string, string])[]
  }
  /** How each side is connected, for the first event. */
  readonly tls: JsonObject
  /** Whether both sides see the same certificate, so that channel binding holds through the relay. */
  readonly keepsBinding: boolean
  /** So many bytes more, or fewer, of messages are in memory. False: there is no room, and it was not asked for in any case. */
  readonly hold: (bytes: number, inAnyCase?: boolean) => boolean
  /** The session can be cancelled by these bytes, a process id and a secret. */
  readonly onCancelKey: (key: Buffer) => void
  /** A login that failed, or did not come to an end. */
  readonly onRefused: (facts: PostgresFacts) => void
}

/** Who has ended a session. */
export type EndedBy = 'client' | 'server' | 'relay'

const [PASSWORD, PARAMETER, KEY, ERROR, AUTHENTICATION, TERMINATE] = [...'pSKERX'].map(letter) as [
  number,
  number,
  number,
  number,
  number,
  number,
]

export class PostgresSession {
  readonly counts: Counts = { statements: 0, denied: 0, refused: 0, failed: 0 }
  /** Resolves when the session is over and everything is recorded, or lost and counted. */
  readonly ended: Promise<void>
  readonly #parts: SessionParts
  readonly #names = new PreparedNames()
  readonly #reading: Reading = {
    ...{ encoding: 'UTF8', serverEncoding: 'UTF8', isStandard: true, hasSearchPath: false, version: 14 },
    ...{ isUnsettled: true, doubts: 0 },
  }
  readonly #lane: Lane
  readonly #answering: Answering
  readonly #asking: Asking
  readonly #outcomes: Outcomes
  readonly #authentication: Authentication
  readonly #fromClient: ClientFrameReader
  readonly #fromServer: ServerFrameReader
  #stage: 'authentication' | 'open' | 'ended' = 'authentication'
  #start: Promise<Durable | null> = Promise.resolve(null)
  /** Takes messages that wait for answers which say what the names in them stand for, or who asks. False: it waits on. */
  #backlog: (() => boolean)[] = []
  /** What the server says while the session's start is not durable. */
  #heldBack: Buffer[] | null = null
  #isLaneOpen = true
  #error: { sqlstate: string; message: string } | null = null
  #resolveEnded: () => void
  readonly #authenticationTimer: NodeJS.Timeout

  constructor(parts: SessionParts) {
    this.#parts = parts
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    this.#resolveEnded = resolve
    const { config, events, recording, identity, client, server } = parts
    // Servers before version 18 do not tell their search_path.
    this.#reading.hasSearchPath = parts.startup.sets.some(([name]) => name === 'search_path')
    this.#outcomes = new Outcomes(recording)
    this.#authentication = new Authentication(parts.keepsBinding)
    this.#answering = new Answering(this.#names, {
      ended: (works) => this.#outcomes.take(works),
      failed: () => {
        this.counts.failed += 1
      },
      succeeded: (effects) => events.succeeded(effects),
      transactionEnded: (isCommitted) => events.transactionEnded(isCommitted),
      segmentsEnded: (count, isFailed) => events.segmentsEnded(count, isFailed),
      settled: () => {
        if (!this.#lane.isEmpty) return
        this.#reading.isUnsettled = false
        events.settled()
        if (!this.#answering.isInTransaction) this.#asking.settled()
      },
      lost: (why) => this.#end('relay', { code: 'postgres_session_lost', why }),
    })
    this.#lane = new Lane({
      write: (bytes) => writeAll(server, bytes, parts.hold),
      hold: (bytes) => parts.hold(bytes, true),
      sent: (op) => {
        this.#answering.sent(op)
        // What the server skips has no answer that could let go on what waits for it.
        if (this.#backlog.length > 0) queueMicrotask(() => this.#takeBacklog())
      },
      flow: (isOpen) => {
        this.#isLaneOpen = isOpen
        this.#flow()
      },
    })
    this.#asking = new Asking({
      ...{ config, events, recording, identity, names: this.#names, lane: this.#lane, answering: this.#answering },
      ...{ reading: this.#reading, counts: this.counts },
    })
    this.#fromClient = new ClientFrameReader(
      {
        message: (type, frame) => this.#asked(type, frame),
        copyData: (piece, data) => this.#copied(piece, data),
        skipped: (type, bytes, why) => this.#skipped(type, bytes, why),
        invalid: (why) => this.#end('relay', { code: 'postgres_message_invalid', why }),
        hold: (bytes) => parts.hold(bytes),
      },
      config.limits.statementBytes,
    )
    this.#fromServer = new ServerFrameReader({
      pass: (bytes) => this.#tell(bytes),
      drops: (type) => (this.#stage === 'authentication' ? type === AUTHENTICATION : this.#answering.drops(type)),
      message: (type, body) => this.#answered(type, body),
      copyData: (data) => this.#answering.copyData(data),
      invalid: () =>
        this.#end('relay', { code: 'postgres_session_lost', why: 'The server sent a length that no message has.' }),
    })
    this.#authenticationTimer = setTimeout(
      () => this.#end('relay', this.#authentication.isServersTurn ? SERVER_SILENT : CLIENT_SILENT),
      config.limits.authenticationMs,
    )
    client.on('drain', () => server.resume())
    server.on('drain', () => this.#lane.writable())
    client.on('error', () => {})
    server.on('error', () => {})
    client.on('data', (chunk: Buffer) => {
      this.#lane.collect(() => this.#fromClient.push(chunk))
      if (!this.#isLaneOpen) this.#flow()
    })
    server.on('data', (chunk: Buffer) => {
      this.#fromServer.push(chunk)
      if (this.#backlog.length > 0) this.#takeBacklog()
    })
    // What the client has asked for before it went is asked for all the same.
    client.on('end', () => this.#clientGone())
    client.on('close', () => {
      server.resume()
      this.#clientGone()
    })
    server.on('end', () => this.#end(this.#isClientGone ? 'client' : 'server'))
    server.on('close', () => this.#end(this.#isClientGone ? 'client' : 'server'))
    server.write(parts.startup.packet)
    client.resume()
  }

  /** Whether the session could be ended now without breaking anything off. */
  get isIdle(): boolean {
    return this.#answering.isIdle && this.#lane.isEmpty && !this.#answering.isInTransaction
  }

  /** Ends the session because the relay is being stopped. */
  stop(): void {
    this.#end('relay', { code: 'postgres_draining', why: 'Connect again, and the session can go on elsewhere.' })
  }

  #asked(type: number, frame: Buffer): void {
    if (this.#stage === 'authentication') this.#answersServer(type, frame)
    if (this.#stage !== 'open') return
    if (this.#backlog.length === 0 && this.#asking.take(type, frame)) return
    this.#backlog.push(() => this.#asking.take(type, frame))
    this.#flow()
  }

  #skipped(type: number, bytes: number, why: 'size' | 'memory'): void {
    const skip = () => {
      this.#asking.skipped(type, bytes, why)
      return true
    }
    if (this.#backlog.length > 0) this.#backlog.push(skip)
    else skip()
  }

  #answersServer(type: number, frame: Buffer): void {
    if (type === TERMINATE) this.#end('client')
    else if (type !== PASSWORD) this.#end('relay', NOT_AUTHENTICATED)
    else {
      this.#authentication.told(frame)
      this.#parts.server.write(frame)
    }
  }

  #copied(piece: Buffer, data: Buffer): void {
    if (this.#stage !== 'open') this.#end('relay', NOT_AUTHENTICATED)
    else if (this.#backlog.length > 0) this.#backlog.push(() => this.#passCopy(piece, data))
    else this.#passCopy(piece, data)
  }

  #passCopy(piece: Buffer, data: Buffer): true {
    this.#answering.copyInData(data)
    this.#lane.send(piece, null)
    return true
  }

  #takeBacklog(): void {
    this.#lane.collect(() => {
      // An answer may have ended the session. What is not asked for any more has no intent.
      while (this.#stage === 'open' && this.#backlog[0]?.()) this.#backlog.shift()
    })
    this.#flow()
    this.#asksNoMore()
  }

  #flow(): void {
    if (this.#stage === 'ended') return
    // What waits for more of the client must not wait where no more is read.
    if (!this.#isLaneOpen || this.#isClientGone) this.#asking.release()
    if (this.#isLaneOpen && this.#backlog.length === 0) this.#parts.client.resume()
    else this.#parts.client.pause()
  }

  #answered(type: number, body: Buffer): void {
    if (this.#stage === 'ended') return
    if (this.#stage === 'authentication') this.#authenticating(type, body)
    else if (type === PARAMETER) this.#parameter(body)
    else if (type === KEY) this.#parts.onCancelKey(Buffer.from(body))
    else {
      const instead = this.#answering.message(type, body)
      if (type === ERROR && this.#answering.isEnding) this.#lane.stop()
      if (instead !== null) this.#tell(instead)
    }
  }

  #authenticating(type: number, body: Buffer): void {
    if (type === ERROR) {
      const { sqlstate, message } = readError(body)
      this.#error = { sqlstate, message }
    }
    if (type !== AUTHENTICATION) return
    const { message, isLetIn } = this.#authentication.asked(body)
    if (isLetIn) this.#letIn()
    this.#tell(message)
  }

  /** The server has let the client in: from now on it can ask for something. */
  #letIn(): void {
    clearTimeout(this.#authenticationTimer)
    this.#stage = 'open'
    this.#answering.sent({ kind: 'startup', work: null, refusal: null, naming: null })
    const { recording, config, startup, tls, server } = this.#parts
    const start = recording.begin({
      action: 'session.start',
      told: { startup: startup.parameters },
      known: { kind: 'intent', authentication: this.#authentication.method, tls },
    })
    this.#start = start.catch(() => null)
    if (config.mode === 'observe') return
    this.#heldBack = []
    server.pause()
    start.then(
      () => this.#release(),
      (error) => {
        this.#heldBack = []
        this.#end('relay', notRecorded(error))
      },
    )
  }

  #release(): void {
    const held = this.#heldBack ?? []
    this.#heldBack = null
    if (this.#stage !== 'open') return
    for (const bytes of held) this.#tell(bytes)
    this.#parts.server.resume()
  }

  #parameter(body: Buffer): void {
    const [name, value] = body.toString('utf8').split('\0') as [string, string]
    if (name === 'client_encoding') this.#reading.encoding = value
    else if (name === 'server_encoding') this.#reading.serverEncoding = value
    else if (name === 'standard_conforming_strings') this.#reading.isStandard = value === 'on'
    else if (name === 'server_version') this.#reading.version = Number.parseInt(value, 10) || 14
    else if (name === 'search_path') this.#reading.hasSearchPath = value !== '"$user", public'
    else if (name === 'application_name') this.#parts.events.application = value.toWellFormed()
  }

  #tell(bytes: Buffer): void {
    const { client, server } = this.#parts
    if (this.#heldBack !== null) this.#heldBack.push(bytes)
    // Where nobody reads the answers any more, they must not stand in the way of the end.
    else if (client.destroyed || client.writableEnded) return
    else if (!client.write(bytes)) server.pause()
  }

  #isClientGone = false

  #clientGone(): void {
    if (this.#isClientGone || this.#stage === 'ended') return
    this.#isClientGone = true
    if (this.#stage === 'authentication') this.#end('client')
    else {
      this.#asking.release()
      this.#asksNoMore()
    }
  }

  /** The client has gone, and what it had asked for is on its way, also what waited for answers. */
  #asksNoMore(): void {
    if (this.#isClientGone && this.#backlog.length === 0) this.#lane.emptied().then(() => this.#parts.server.end())
  }

  #end(by: EndedBy, error?: OwnError): void {
    if (this.#stage === 'ended') return
    const isLetIn = this.#stage === 'open'
    this.#stage = 'ended'
    clearTimeout(this.#authenticationTimer)
    this.#fromClient.end()
    this.#fromServer.end()
    const { client, server } = this.#parts
    if (error !== undefined) client.write(printError(error, 'FATAL'))
    client.end()
    // Whatever the client still sends goes nowhere.
    client.resume()
    server.destroy()
    setTimeout(() => client.destroy(), LINGER_MS).unref()
    const ended = isLetIn ? this.#recordEnd(by, error) : this.#refused(by, error)
    ended.then(this.#resolveEnded, this.#resolveEnded)
  }

  async #recordEnd(by: EndedBy, error: OwnError | undefined): Promise<void> {
    const { recording, config } = this.#parts
    const { answered, open, transaction } = this.#answering.close()
    const unsent = this.#lane.abandon().flatMap(({ work }) => (work === null ? [] : [work]))
    for (const work of unsent) work.state = 'not_sent'
    this.#outcomes.take(answered)
    this.#outcomes.unanswered([...open, ...unsent], `session_ended_by_${by}`)
    this.#outcomes.flush()
    // It says what became of the last transaction: so it comes behind every outcome, also of intents that are not durable yet.
    if (config.mode === 'observe') await recording.settled()
    recording.end(this.#start, {
      action: 'session.end',
      known: {
        ...{ kind: 'outcome', by: this.#answering.isEnding ? 'server' : by, ...this.counts },
        ...(error !== undefined && { code: error.code }),
        ...(transaction !== null && { transaction: { id: transaction.id, state: transaction.state } }),
      },
    })
    await recording.settled()
  }

  async #refused(by: EndedBy, error: OwnError | undefined): Promise<void> {
    const code = error?.code ?? null
    this.#parts.onRefused({
      action: 'session.refused',
      outcome: 'failure',
      told: { startup: this.#parts.startup.parameters },
      ...(this.#error !== null && { error: { message: this.#error.message } }),
      known: {
        ...{ kind: 'denial', state: 'refused', by, tls: this.#parts.tls },
        ...(code !== null && { code }),
        ...(this.#error !== null && { sqlstate: this.#error.sqlstate }),
      },
    })
  }
}

const NOT_AUTHENTICATED: OwnError = { code: 'postgres_message_invalid', why: 'The client has not authenticated.' }
const CLIENT_SILENT: OwnError = { code: 'postgres_message_invalid', why: 'The client did not authenticate in time.' }
/** As a pooler does that waits for a connection of its own, or is paused. */
const SERVER_SILENT: OwnError = {
  code: 'postgres_server_unreachable',
  why: 'It did not answer the login in time.',
  hint: 'Try again later.',
}
/** How long a client has to read the last words, ms. */
export const LINGER_MS = 2_000

/** Long messages are given back once they are written, or cannot be. */
function writeAll(to: Duplex, bytes: readonly Buffer[], hold: SessionParts['hold']): boolean {
  const write = (each: Buffer): boolean =>
    each.length < LONG_MESSAGE ? to.write(each) : to.write(each, () => hold(-each.length))
  if (to.destroyed || to.writableEnded) {
    for (const { length } of bytes) if (length >= LONG_MESSAGE) hold(-length)
    return true
  }
  if (bytes.length === 1) return write(bytes[0]!)
  to.cork()
  let isOpen = true
  for (const each of bytes) isOpen = write(each)
  to.uncork()
  return isOpen
}
