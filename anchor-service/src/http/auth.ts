import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'
import { type Role, sessionRole, type Tokens } from './session.ts'

export type { Tokens }

const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * Whose token it is; the admin's also reads. Digests are compared, in constant time, so neither content nor length of a
 * token can be told from the time it takes.
 */
export function roleOf(tokens: Tokens, given: string): Role | null {
  const mine = digest(given)
  const isAdmin = timingSafeEqual(mine, digest(tokens.admin))
  const isReader = timingSafeEqual(mine, digest(tokens.reader))
  return isAdmin ? 'admin' : isReader ? 'reader' : null
}

/** A hook that lets in only bearers of a token, and sessions of the console that one was opened with; it says which. */
export function requireToken(tokens: Tokens, role: Role) {
  return async (request: FastifyRequest): Promise<void> => {
    const { authorization } = request.headers
    const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    const mine =
      given !== undefined ? roleOf(tokens, given) : authorization === undefined ? sessionRole(request, tokens) : null
    if (mine === null) throw new Refusal('unauthorized')
    if (role === 'admin' && mine !== 'admin') throw new Refusal('forbidden')
    request.role = mine
  }
}

/** Who asks, for events of the system stream; only behind `requireToken`. */
export const actorOf = ({ role }: FastifyRequest) => ({ type: 'role', id: role! })

declare module 'fastify' {
  interface FastifyRequest {
    /** What the token or the session is good for; null where none is asked for. */
    role: Role | null
  }
}
