import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors.ts'

export type Tokens = { admin: string; reader: string }
export type Role = keyof Tokens

const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * A hook that lets only bearers of a token in; the admin's token also reads. Digests are compared, in constant time, so
 * neither content nor length of a token can be told from the time it takes.
 */
export function requireToken(tokens: Tokens, role: Role) {
  const admin = digest(tokens.admin)
  const reader = digest(tokens.reader)
  return async (request: FastifyRequest): Promise<void> => {
    const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (given === undefined) throw new Refusal('unauthorized')
    const mine = digest(given)
    const isAdmin = timingSafeEqual(mine, admin)
    const isReader = timingSafeEqual(mine, reader)
    if (!isAdmin && !isReader) throw new Refusal('unauthorized')
    if (role === 'admin' && !isAdmin) throw new Refusal('forbidden')
  }
}
