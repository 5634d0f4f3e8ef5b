import { createHash, randomBytes } from 'node:crypto'
import { Refusal } from '../errors.ts'
import type { Role } from './session.ts'

/** 256 bits: nobody guesses one. */
const SECRET_BYTES = 32
/** Long enough to click what a terminal prints. */
const OPEN_MS = 10 * 60_000
/** Links that are remembered, used ones too; beyond that number the oldest are forgotten. */
const MAX_LINKS = 1_000

export type SignInLinks = {
  /** @returns what the link carries, which is shown only now: its hash is kept. */
  make(role: Role): { secret: string; until: Date }
  /**
   * The role that a link signs in with; null: it was not made here, or its time is over.
   * @throws Refusal sign_in_used
   */
  use(secret: string): Role | null
  /** What was used has signed nobody in. */
  giveBack(secret: string): void
}

const hashOf = (secret: string) => createHash('sha256').update(secret).digest('base64url')

/**
 * Links that sign in once. This process alone knows them, so that no other can be made to take one again; a restart ends them.
 * @param passed - ms of a clock that nobody sets
 */
export function keepSignInLinks(passed: () => number = () => performance.now(), now = Date.now): SignInLinks {
  const links = new Map<string, { role: Role; until: number; isUsed: boolean }>()
  return {
    make(role) {
      const secret = randomBytes(SECRET_BYTES).toString('base64url')
      links.set(hashOf(secret), { role, until: passed() + OPEN_MS, isUsed: false })
      if (links.size > MAX_LINKS) links.delete(links.keys().next().value!)
      return { secret, until: new Date(now() + OPEN_MS) }
    },
    use(secret) {
      const link = links.get(hashOf(secret))
      if (link === undefined) return null
      if (link.isUsed) throw new Refusal('sign_in_used')
      if (link.until <= passed()) return null
      link.isUsed = true
      return link.role
    },
    giveBack(secret) {
      const link = links.get(hashOf(secret))
      if (link !== undefined) link.isUsed = false
    },
  }
}
