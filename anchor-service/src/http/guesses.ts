import { Refusal } from '../errors.ts'
import { RateStore } from './rate-store.ts'

/** Wrong tokens per minute and address (IPv6: /64), at the console and as bearer alike. */
const MAX_WRONG = 20
const WINDOW_MS = 60_000
/** Addresses that are remembered for a right token; beyond that number the oldest are forgotten. */
const MAX_KNOWN = 10_000

export type Guesses = {
  /**
   * @param role the role of the given token, with its person if it has one; null: the token is wrong
   * @param detail what to say about a wrong token
   * @throws Refusal unauthorized; rate_limited, which does not tell right from wrong
   */
  judge<T extends string>(address: string, role: T | null, detail?: string): T
}

/**
 * Counts wrong tokens by address. Beyond the limit a right token is refused like a wrong one, or guessing could go on. A token that
 * the address gave before is exempt: one program with a stale token must not lock out all others behind the same address.
 */
export function countGuesses(): Guesses {
  const wrong = new RateStore()
  const known = new Map<string, Set<string>>()

  function remember(address: string, role: string): void {
    const roles = known.get(address) ?? new Set()
    known.delete(address)
    known.set(address, roles.add(role))
    if (known.size > MAX_KNOWN) known.delete(known.keys().next().value!)
  }

  return {
    judge(address, role, detail) {
      const isKnown = role !== null && known.get(address)?.has(role) === true
      if (!isKnown && wrong.read(address) >= MAX_WRONG)
        throw new Refusal('rate_limited', 'Too many wrong tokens came from this address.')
      if (role === null) {
        wrong.incr(address, () => {}, WINDOW_MS)
        throw new Refusal('unauthorized', detail)
      }
      remember(address, role)
      return role
    },
  }
}

/** Judges without counting, where the operator has set no limits. */
export const unlimitedGuesses: Guesses = {
  judge(_address, role, detail) {
    if (role === null) throw new Refusal('unauthorized', detail)
    return role
  },
}
