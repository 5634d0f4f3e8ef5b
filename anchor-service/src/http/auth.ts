import { hash, timingSafeEqual } from 'node:crypto'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { countGuesses, type Guesses, unlimitedGuesses } from './guesses.ts'
import { keepSessions, type Role, type Sessions, type Tokens } from './session.ts'

export type { Tokens }

/** The tokens, the sessions that they opened, and how often each address gave a wrong token. */
export type AccessControl = Tokens & { sessions: Sessions; guesses: Guesses }

/** @param rateLimit 0: wrong tokens are not counted either */
export function openAccess(tokens: Tokens, ledger: Ledger, rateLimit: number): AccessControl {
  const guesses = rateLimit > 0 ? countGuesses() : unlimitedGuesses
  return { ...tokens, sessions: keepSessions(tokens, ledger), guesses }
}

const digest = (text: string) => hash('sha256', text, 'buffer')

/** The service's own tokens do not change, and every request is compared with them. */
const digests = new WeakMap<Tokens, { [role in Role]: Buffer }>()

function digestsOf(tokens: Tokens): { [role in Role]: Buffer } {
  const { admin, reader, eraser } = tokens
  const known = digests.get(tokens) ?? { admin: digest(admin), reader: digest(reader), eraser: digest(eraser) }
  digests.set(tokens, known)
  return known
}

/**
 * The role that a token gives; null if it is none of the tokens. Digests are compared, in constant time, so that the time reveals
 * neither content nor length of a token.
 */
export function roleOf(tokens: Tokens, given: string): Role | null {
  const mine = digest(given)
  const { admin, reader, eraser } = digestsOf(tokens)
  const isAdmin = timingSafeEqual(mine, admin)
  const isReader = timingSafeEqual(mine, reader)
  const isEraser = timingSafeEqual(mine, eraser)
  return isAdmin ? 'admin' : isReader ? 'reader' : isEraser ? 'eraser' : null
}

/**
 * The role that the token or session of a request has; null if the request has neither, or its session has ended.
 * @throws Refusal unauthorized | rate_limited if the token is wrong
 */
export async function readRole(access: AccessControl, request: FastifyRequest): Promise<Role | null> {
  const { authorization } = request.headers
  if (authorization === undefined) return (await access.sessions.of(request))?.role ?? null
  const given = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  return access.guesses.judge(normalizeIP(request.ip), given === undefined ? null : roleOf(access, given))
}

/**
 * A hook that admits only bearers of a token, or of a console session that a token opened, and sets the role. The administrator may
 * do what the reader may, and nothing that takes the eraser's token.
 */
export function requireToken(access: AccessControl, ...roles: readonly Role[]) {
  const admitted: readonly Role[] = roles.includes('reader') ? [...roles, 'admin'] : roles
  return async (request: FastifyRequest): Promise<void> => {
    const mine = await readRole(access, request)
    if (mine === null) throw new Refusal('unauthorized')
    if (!admitted.includes(mine)) throw new Refusal('forbidden')
    request.role = mine
  }
}

/** Who asks, for events of the system stream; only behind `requireToken`. */
export const actorOf = ({ role }: FastifyRequest) => ({ type: 'role', id: role! })

declare module 'fastify' {
  interface FastifyRequest {
    /** The role of the token or session; null if the route asks for none. */
    role: Role | null
  }
}
