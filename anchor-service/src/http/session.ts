/**
 * Sessions of the console. The cookie carries the role and the hour it ends, under a MAC whose key comes from the tokens:
 * no table, every process of the service knows it, and changing a token ends all sessions.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

/** Who may ask: the reader's token reads, the administrator's also registers. */
export type Tokens = { admin: string; reader: string }
export type Role = keyof Tokens

export const SESSION_COOKIE = 'killick_session'
/** Eight hours: a day's work. */
export const SESSION_SECONDS = 8 * 60 * 60

const macOf = (tokens: Tokens, text: string) =>
  createHmac('sha256', `killick session ${tokens.admin} ${tokens.reader}`).update(text).digest()

export function sealSession(tokens: Tokens, role: Role, now = Date.now()): string {
  const text = `${role}.${Math.floor(now / 1000) + SESSION_SECONDS}`
  return `${text}.${macOf(tokens, text).toString('base64url')}`
}

/** The role of a session that is genuine and not over, or null. */
export function openSession(tokens: Tokens, cookie: string, now = Date.now()): Role | null {
  const match = /^((admin|reader)\.(\d{1,12}))\.([\w-]{43})$/.exec(cookie)
  if (match === null) return null
  const [, text, role, ends, mac] = match
  const isGenuine = timingSafeEqual(macOf(tokens, text!), Buffer.from(mac!, 'base64url'))
  return isGenuine && Number(ends) * 1000 > now ? (role as Role) : null
}

/** `Set-Cookie` for a session, or with null for its end. */
export function cookieFor(session: string | null, isHttps: boolean): string {
  const age = session === null ? 0 : SESSION_SECONDS
  const secure = isHttps ? '; Secure' : ''
  return `${SESSION_COOKIE}=${session ?? ''}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Strict${secure}`
}

/**
 * The role of the request's session. A browser adds the cookie whoever made it ask, so a request that changes something
 * must also carry a header that no other site can make it send.
 */
export function sessionRole(request: FastifyRequest, tokens: Tokens): Role | null {
  const cookie = new RegExp(`(?:^|; *)${SESSION_COOKIE}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1]
  if (cookie === undefined) return null
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (!isRead && request.headers['x-killick-console'] !== '1') return null
  const site = request.headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return null
  return openSession(tokens, cookie)
}
