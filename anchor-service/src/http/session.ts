/**
 * Sessions of the console. The cookie carries the role, the hour it ends and the session's id, under a MAC whose key comes
 * from the tokens: every process of the service knows it, and changing a token ends all sessions. Ending a session is an event
 * of the system stream, which every process reads.
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type {} from '@fastify/cookie'
import { SYSTEM } from '@killick/sdk/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { EventPlace } from '../ledger/read/events.ts'
import { searchEvents } from '../ledger/read/search.ts'

/** The roles: the reader's token reads, the administrator's also registers, the eraser's orders erasures and does nothing else. */
export type Tokens = {
  admin: string
  reader: string
  /** Null where erasures take two people: then each has a token of their own. */
  eraser: string | null
  erasers: readonly NamedToken[]
}
/** The token for erasures of one person. */
export type NamedToken = { readonly name: string; readonly token: string }
export type Role = 'admin' | 'reader' | 'eraser'
/** The roles that may open a session of the console. */
export type SessionRole = Exclude<Role, 'eraser'>

export type Session = {
  role: SessionRole
  /** 128 random bits, base64url. It is not a secret: it opens nothing without the MAC. */
  id: string
  /** When it ends by itself, ms. */
  ends: number
}

const SESSION_COOKIE = 'killick_session'
/** Eight hours: a day's work. */
export const SESSION_SECONDS = 8 * 60 * 60
/** How long another process may take to learn that a session was ended, ms. */
const NEWS_MS = 1_000
/** How long a request waits until it is known which sessions were ended, ms. People look at a console, and of a database that is silent it should say so. */
const PATIENCE_MS = 5_000
/** How far the clocks of two processes may differ, ms. */
const SKEW_MS = 60_000
/** A clock that goes back by more was set; timers and clocks drift less from one look to the next. ms */
const STEP_MS = 1_000
const PAGE = 500

const macOf = (tokens: Pick<Tokens, SessionRole>, text: string) =>
  createHmac('sha256', `killick session ${tokens.admin} ${tokens.reader}`).update(text).digest()

export function newSession(role: SessionRole, now = Date.now()): Session {
  const ends = (Math.floor(now / 1000) + SESSION_SECONDS) * 1000
  return { role, id: randomBytes(16).toString('base64url'), ends }
}

export function sealSession(tokens: Pick<Tokens, SessionRole>, { role, id, ends }: Session): string {
  const text = `${role}.${ends / 1000}.${id}`
  return `${text}.${macOf(tokens, text).toString('base64url')}`
}

/**
 * A session that is genuine and has not expired, or null. It may have been ended before its time. One that ends later than any that
 * begins now was begun while the clock was ahead.
 */
export function openSession(tokens: Pick<Tokens, SessionRole>, cookie: string, now = Date.now()): Session | null {
  const match = /^((admin|reader)\.(\d{1,12})\.([\w-]{22}))\.([\w-]{43})$/.exec(cookie)
  if (match === null) return null
  const [, text, role, ends, id, mac] = match
  const isGenuine = timingSafeEqual(macOf(tokens, text!), Buffer.from(mac!, 'base64url'))
  const session = { role: role as SessionRole, id: id!, ends: Number(ends) * 1000 }
  const isNow = session.ends > now && session.ends <= now + SESSION_SECONDS * 1000 + SKEW_MS
  return isGenuine && isNow ? session : null
}

/** Gives the browser its cookie, or with null takes it away. No script sees it, and no other site can make a browser send it. */
export function setCookie(reply: FastifyReply, session: string | null, isHttps: boolean): void {
  const maxAge = session === null ? 0 : SESSION_SECONDS
  const guards = { httpOnly: true, sameSite: 'strict', secure: isHttps } as const
  reply.setCookie(SESSION_COOKIE, session ?? '', { path: '/', maxAge, ...guards })
}

/**
 * The session whose cookie the request carries. A browser also adds the cookie to requests that other sites cause, so a request
 * that changes something must also carry a header that no other site can make it send.
 */
export function sessionOf(request: FastifyRequest, tokens: Tokens): Session | null {
  const cookie = request.cookies[SESSION_COOKIE]
  if (cookie === undefined) return null
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (!isRead && request.headers['x-killick-console'] !== '1') return null
  const site = request.headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return null
  return openSession(tokens, cookie)
}

export type Sessions = {
  /**
   * The session of a request, unless it was ended, by this process or, up to a second ago, by another.
   * @throws Refusal unavailable, if the database does not tell in time
   */
  of(request: FastifyRequest): Promise<Session | null>
  /** Records that somebody has signed in, and with what. */
  begin(session: Session, ip: string, by: 'token' | 'link'): Promise<void>
  /** Ends the session at once, and records it, so that it stays ended everywhere. */
  end(session: Session): Promise<void>
}

/** @param patienceMs how long a request waits for the database */
export function keepSessions(tokens: Tokens, ledger: Ledger, patienceMs = PATIENCE_MS): Sessions {
  /** Ids of ended sessions, and when each would have expired; after that it can be forgotten. */
  const ended = new Map<string, number>()
  let readAt = Number.NEGATIVE_INFINITY
  let newest = 0
  let lastOffset = Number.POSITIVE_INFINITY
  let reading: Promise<void> | null = null

  /** While the clock was ahead, ends seemed too old to matter: once it is set back, all that may matter are read again. */
  function noticeClock(): void {
    const offset = Date.now() - performance.now()
    if (offset < lastOffset - STEP_MS) newest = Date.now() - SESSION_SECONDS * 1000
    lastOffset = offset
  }

  async function readEnded(): Promise<void> {
    const started = performance.now()
    noticeClock()
    const from = new Date(newest - SKEW_MS)
    const query = { source: SYSTEM.source, action: 'console.logout', from, limit: PAGE }
    for (let before: EventPlace | undefined; ; ) {
      const page = await searchEvents(ledger.db, { ...query, before })
      for (const event of page.events) {
        if ('error' in event) continue
        const time = Date.parse(event.recordedAt)
        newest = Math.max(newest, Math.min(time, Date.now()))
        for (const { id } of (event.fields.targets ?? []) as { id: string }[])
          ended.set(id, time + SESSION_SECONDS * 1000 + SKEW_MS)
      }
      if (page.next === null) break
      before = page.next
    }
    for (const [id, until] of ended) if (until < Date.now()) ended.delete(id)
    readAt = started
  }

  async function catchUp(): Promise<void> {
    if (performance.now() - readAt < NEWS_MS) return
    reading ??= readEnded().finally(() => {
      reading = null
    })
    const over = new AbortController()
    const late = sleep(patienceMs, undefined, { signal: over.signal }).then(() => {
      throw new Refusal('unavailable')
    })
    await Promise.race([reading, late]).finally(() => over.abort())
  }

  const record = (action: string, { role, id }: Session, more: object = {}) =>
    ledger.record({ action, actor: { type: 'role', id: role }, targets: [{ type: 'session', id }], ...more })

  return {
    async of(request) {
      const session = sessionOf(request, tokens)
      if (session === null) return null
      await catchUp()
      return ended.has(session.id) ? null : session
    },
    async begin(session, ip, by) {
      await record('console.login', session, { context: { ip }, ...(by === 'link' && { metadata: { by } }) })
    },
    async end(session) {
      ended.set(session.id, session.ends + SKEW_MS)
      await record('console.logout', session)
    },
  }
}
