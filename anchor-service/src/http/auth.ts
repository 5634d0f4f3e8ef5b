import { hash, timingSafeEqual } from 'node:crypto'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { countGuesses, type Guesses, unlimitedGuesses } from './guesses.ts'
import { keepSessions, type NamedToken, type Role, type Sessions, type Tokens } from './session.ts'

export type { NamedToken, Tokens }

/** The tokens, the sessions that they opened, and how often each address gave a wrong token. */
export type AccessControl = Tokens & { sessions: Sessions; guesses: Guesses }

/** @param rateLimit 0: wrong tokens are not counted either */
export function openAccess(tokens: Tokens, ledger: Ledger, rateLimit: number): AccessControl {
  const guesses = rateLimit > 0 ? countGuesses() : unlimitedGuesses
  return { ...tokens, sessions: keepSessions(tokens, ledger), guesses }
}

const digest = (text: string) => hash('sha256', text, 'buffer')

/** What a token is: a role, and whose of those for erasures that have names. */
type Bearer = { role: Role; person: string | null }
type Known = Bearer & { digest: Buffer }

/** The service's own tokens do not change, and every request is compared with them. */
const digests = new WeakMap<Tokens, readonly Known[]>()

function digestsOf(tokens: Tokens): readonly Known[] {
  const { admin, reader, eraser, erasers } = tokens
  const of = (role: Role, token: string, person: string | null = null) => ({ role, person, digest: digest(token) })
  const known = digests.get(tokens) ?? [
    ...[of('admin', admin), of('reader', reader), ...(eraser === null ? [] : [of('eraser', eraser)])],
    ...erasers.map(({ name, token }) => of('eraser', token, name)),
  ]
  digests.set(tokens, known)
  return known
}

/**
 * What a token gives; null if it is none of the tokens. Digests are compared, in constant time, so that the time reveals neither
 * content nor length of a token.
 */
export function bearerOf(tokens: Tokens, given: string): Bearer | null {
  const mine = digest(given)
  const [found = null] = digestsOf(tokens).filter((known) => timingSafeEqual(mine, known.digest))
  return found && { role: found.role, person: found.person }
}

/** Judges what a request gave as a token. @throws Refusal unauthorized | rate_limited if it is wrong */
export function judge({ guesses }: AccessControl, ip: string, given: Bearer | null, detail?: string): Bearer {
  const name = given && (given.person === null ? given.role : `${given.role} ${given.person}`)
  guesses.judge(normalizeIP(ip), name, detail)
  return given!
}

/**
 * The role that the token or session of a request has; null if the request has neither, or its session has ended.
 * @throws Refusal unauthorized | rate_limited if the token is wrong
 */
export const readRole = async (access: AccessControl, request: FastifyRequest): Promise<Role | null> =>
  (await readBearer(access, request))?.role ?? null

async function readBearer(access: AccessControl, request: FastifyRequest): Promise<Bearer | null> {
  const { authorization } = request.headers
  if (authorization === undefined) {
    const session = await access.sessions.of(request)
    return session && { role: session.role, person: null }
  }
  const given = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  return judge(access, request.ip, given === undefined ? null : bearerOf(access, given))
}

/**
 * A hook that admits only bearers of a token, or of a console session that a token opened, and sets the role. The administrator may
 * do what the reader may, and nothing that takes the eraser's token.
 */
export function requireToken(access: AccessControl, ...roles: readonly Role[]) {
  const admitted: readonly Role[] = roles.includes('reader') ? [...roles, 'admin'] : roles
  return async (request: FastifyRequest): Promise<void> => {
    const mine = await readBearer(access, request)
    if (mine === null) throw new Refusal('unauthorized')
    if (!admitted.includes(mine.role)) throw new Refusal('forbidden')
    request.role = mine.role
    request.person = mine.person
  }
}

/** Who asks, for events of the system stream; only behind `requireToken`. */
export const actorOf = ({ role, person }: FastifyRequest) =>
  person === null ? { type: 'role', id: role! } : { type: role!, id: person }

declare module 'fastify' {
  interface FastifyRequest {
    /** The role of the token or session; null if the route asks for none. */
    role: Role | null
    /** Whose token for erasures it is, where those have names. */
    person: string | null
  }
}
