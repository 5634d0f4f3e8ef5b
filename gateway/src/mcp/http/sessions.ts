// Which session a request over HTTP belongs to: the one that its header names, or, since the stateless revision knows none, everything that
// one client asks until it has been silent for a while.
import { createHash, randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import type { SessionRecorder } from '../../sessions/recorder.ts'
import { SessionRecording } from '../../sessions/recording.ts'
import type { ApprovalDesk } from '../approval-desk.ts'
import type { McpConfig } from '../config.ts'
import { type Implementation, McpEvents, type McpFacts } from '../events.ts'
import type { Message } from '../message.ts'
import { McpSession, type SessionEnd } from '../session.ts'
import { ToolMemory } from '../tool-memory.ts'

/** A session over HTTP. */
export type HttpSession = {
  readonly session: McpSession
  /** Whether the server keeps it, under an id in a header. Else each answer comes with its request, and never later. */
  isKept: boolean
  /** Hashes of the tokens with which the server takes its id. Whoever else has the id is another client until the server takes it from them. */
  readonly tokens: Set<string>
  /** Sessions that a new token of its client began, in which something is still under way: what the server asks there is answered with that token. */
  readonly beside: Set<HttpSession>
  /** The session that it is beside; null: none. */
  main: HttpSession | null
  /** Exchanges under way. */
  busy: number
  /** When the last one ended, ms of `performance.now()`. */
  since: number
}

/** Tokens of a session that are known, the newest: clients get another one from time to time. */
const MAX_TOKENS = 100

/** All sessions of a recorder. Has a life: ends those that are silent. */
export class HttpSessions {
  readonly #config: McpConfig
  readonly #name: string
  readonly #recorder: SessionRecorder
  readonly #memory: ToolMemory
  readonly #desk: ApprovalDesk | null
  readonly #say: (text: string) => void
  /** By key; a session that is beginning has none yet. */
  readonly #known = new Map<string, Promise<HttpSession>>()
  readonly #ending = new Set<Promise<unknown>>()
  /** Sessions in which nothing new is asked, and something is still to be answered. */
  readonly #replaced = new Map<HttpSession, SessionEnd['by']>()
  readonly #timer: NodeJS.Timeout

  constructor(
    config: McpConfig,
    name: string,
    recorder: SessionRecorder,
    desk: ApprovalDesk | null,
    say: (text: string) => void,
  ) {
    this.#desk = desk
    this.#config = config
    this.#name = name
    this.#recorder = recorder
    this.#memory = new ToolMemory(config.state, name)
    this.#say = say
    this.#timer = setInterval(
      () => this.#endSilent(),
      Math.max(100, Math.min(10_000, config.limits.idleMs / 2)),
    ).unref()
  }

  /** The session that a request belongs to; it begins one if there is none. @throws in strict mode, if that cannot be recorded */
  async of(req: IncomingMessage, messages: readonly Message[]): Promise<HttpSession> {
    const id = idIn(req)
    const main = id === null ? null : await this.#used(idKey(id))
    if (main?.tokens.has(tokenOf(req))) return [...main.beside].find((each) => isAnswerIn(each, messages)) ?? main
    // What begins a session has no id yet. It gets a session of its own; `bind` gives it a name.
    if (id === null && messages.some((each) => each.kind === 'request' && each.method === 'initialize'))
      return this.#begin(req, { isKept: false, isResumed: false })
    const key = id === null ? clientKey(req, messages) : ownKey(id, req)
    const known = this.#used(key)
    if (known !== null) return known
    const begun = this.#begin(req, { isKept: id !== null, isResumed: id !== null })
    this.#bind(key, begun)
    begun.catch(() => this.#known.delete(key))
    return begun
  }

  /**
   * The server has taken the id of a request from whoever sent it: from now on what they ask belongs to its session. Where its answer names
   * another, it has not looked at that id, and begun a session of their own.
   */
  vouched(req: IncomingMessage, kept: HttpSession, reply: IncomingMessage): void {
    const id = idIn(req)
    if (id === null || (idIn(reply) ?? id) !== id || kept.tokens.has(tokenOf(req))) return
    this.#known.delete(ownKey(id, req))
    const main = this.#known.get(idKey(id))
    if (main === undefined) {
      addToken(kept, req)
      this.#bind(idKey(id), Promise.resolve(kept))
      return
    }
    main
      .then((each) => {
        addToken(each, req)
        if (each === kept) return
        each.beside.add(kept)
        kept.main = each
        this.#replace(kept, 'client')
      })
      .catch(() => {})
  }

  /** The server has given an id to the session that a request began, or none: then it goes on as that of its client. */
  bind(req: IncomingMessage, begun: HttpSession, id: string | null): void {
    begun.isKept = id !== null
    addToken(begun, req)
    const key = id === null ? clientKey(req, []) : idKey(id)
    const before = this.#known.get(key)
    this.#bind(key, Promise.resolve(begun))
    before
      ?.then((other) => {
        if (other === begun) return
        // Requests without an id that come after it may still be those of the client before.
        if (id === null && (other.session.isShared || !isSame(other.session.client, begun.session.client)))
          begun.session.share()
        this.#replace(other, 'client')
      })
      .catch(() => {})
  }

  /** Something begins that belongs to it. */
  enter(kept: HttpSession): void {
    kept.busy += 1
  }

  /** That has ended. */
  leave(kept: HttpSession): void {
    kept.busy -= 1
    kept.since = performance.now()
    const by = this.#replaced.get(kept)
    if (by !== undefined && kept.busy === 0) this.#replace(kept, by)
  }

  /** Ends the session of an id, which the client has ended, once what is under way has its answer. */
  drop(id: string): void {
    const known = this.#known.get(idKey(id))
    this.#known.delete(idKey(id))
    known?.then((each) => this.#replace(each, 'client')).catch(() => {})
  }

  /** The server has refused a request: a session whose id it does not know ends, and so does that of a stranger, and no other. */
  refused(req: IncomingMessage, kept: HttpSession, status: number): void {
    const id = idIn(req)
    const isTaken = kept.tokens.has(tokenOf(req))
    if (id === null || !(status === 404 || (!isTaken && (status === 401 || status === 403)))) return
    this.#known.delete(isTaken ? idKey(id) : ownKey(id, req))
    this.#replace(kept, 'server')
  }

  /** Ends all, and resolves when everything is durable, or lost and counted. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    const left = [...this.#known.values()]
    this.#known.clear()
    for (const session of this.#replaced.keys()) this.#end(session, 'signal')
    for (const session of await Promise.allSettled(left))
      if (session.status === 'fulfilled') this.#end(session.value, 'signal')
    await Promise.allSettled(this.#ending)
  }

  async #begin(
    req: IncomingMessage,
    { isKept, isResumed }: { isKept: boolean; isResumed: boolean },
  ): Promise<HttpSession> {
    const id = randomUUID()
    const events = new McpEvents(this.#name, this.#config)
    const sink = this.#recorder
    const recording = new SessionRecording<McpFacts>({
      ...{ kind: 'mcp', sink, say: this.#say, session: id },
      make: (facts) => events.facts(facts),
    })
    const session = new McpSession({
      ...{ config: this.#config, events, recording, memory: this.#memory, framing: 'body' },
      ...{ desk: this.#desk, say: this.#say },
    })
    const told: JsonObject = {
      ...{ url: this.#name, transport: 'http', address: req.socket.remoteAddress ?? null },
      ...(isResumed && { isResumed }),
    }
    await session.begin(told)
    return { session, isKept, tokens: new Set(), beside: new Set(), main: null, busy: 0, since: performance.now() }
  }

  /** The session of a key, which goes to the end of the line of those that are used; null: there is none. */
  #used(key: string): Promise<HttpSession> | null {
    const known = this.#known.get(key)
    if (known === undefined) return null
    this.#known.delete(key)
    this.#known.set(key, known)
    return known
  }

  #bind(key: string, session: Promise<HttpSession>): void {
    this.#known.delete(key)
    this.#known.set(key, session)
    if (this.#known.size <= this.#config.limits.sessions) return
    // The one that has been used least lately.
    const [oldest] = this.#known
    this.#known.delete(oldest![0])
    oldest![1].then((each) => this.#replace(each, 'idle')).catch(() => {})
  }

  /** Ends a session that no request finds any more, once what is under way has its answer. */
  #replace(session: HttpSession, by: SessionEnd['by']): void {
    if (session.busy > 0) {
      this.#replaced.set(session, by)
      return
    }
    this.#replaced.delete(session)
    this.#end(session, by)
  }

  #endSilent(): void {
    const before = performance.now() - this.#config.limits.idleMs
    for (const [key, promise] of this.#known)
      promise.then(
        (each) => {
          if (each.busy > 0 || each.since > before || !this.#known.delete(key)) return
          this.#end(each, 'idle')
        },
        () => {},
      )
  }

  #end(kept: HttpSession, by: SessionEnd['by']): Promise<unknown> {
    const { session, main } = kept
    main?.beside.delete(kept)
    const ended = session.end({ by, code: null, signal: null })
    this.#ending.add(ended)
    return ended.finally(() => this.#ending.delete(ended))
  }
}

/** The id of the server's session that a request names. Some clients send an empty one until they have been given one. */
export function idIn({ headers }: IncomingMessage): string | null {
  const id = headers['mcp-session-id']
  return typeof id === 'string' && id !== '' ? id : null
}

const isSame = (one: Implementation | null, other: Implementation | null): boolean =>
  one?.name === other?.name && one?.version === other?.version

const isAnswerIn = ({ session }: HttpSession, messages: readonly Message[]): boolean =>
  messages.length > 0 && messages.every((each) => each.kind === 'answer' && session.isAskedByServer(each.id))

const idKey = (id: string): string => `id ${id}`

/** Of who has an id, and no token with which the server has taken it so far. */
const ownKey = (id: string, req: IncomingMessage): string => `${tokenOf(req)} ${id}`

/** Schemes whose credentials are the same in each request. Others sign it, as that of AWS does: of those only the scheme counts. */
const STAYS = /^(?:bearer|basic|dpop) /i

function tokenOf({ headers: { authorization = '' } }: IncomingMessage): string {
  const token = STAYS.test(authorization) ? authorization : authorization.split(' ', 1)[0]!
  return createHash('sha256').update(token).digest('base64url')
}

function addToken({ tokens }: HttpSession, req: IncomingMessage): void {
  tokens.add(tokenOf(req))
  const [oldest] = tokens
  if (tokens.size > MAX_TOKENS) tokens.delete(oldest!)
}

/** One client, as far as that can be told: where it connects from, what it calls itself, and with whose token. Never recorded. */
function clientKey({ socket, headers }: IncomingMessage, messages: readonly Message[]): string {
  const [first] = messages
  const params = first === undefined || first.kind === 'answer' ? {} : first.params
  const client = member(params._meta, 'io.modelcontextprotocol/clientInfo')
  const parts = [socket.remoteAddress, member(client, 'name'), member(client, 'version'), headers.authorization]
  return `client ${createHash('sha256')
    .update(JSON.stringify(parts.map((each) => each ?? null)))
    .digest('base64url')}`
}

const member = (value: JsonValue | undefined, name: string): JsonValue | undefined =>
  isObject(value) ? value[name] : undefined
