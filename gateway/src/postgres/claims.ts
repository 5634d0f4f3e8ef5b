// What a session has said of itself in settings, and what of it a rollback takes back, as the server does it.
import type { SettingSet, StatementEffect } from './effects/index.ts'

/** By the names of settings: `killick.actor`, `killick.reason`. Null: it says nothing any more. */
export type Said = Readonly<Record<string, string | null>>

/** What holds at one moment. */
export type SessionClaims = {
  readonly said: Said
  /** What will hold behind the transaction, if it is committed: without SET LOCAL. */
  readonly kept: Said
  /** What held at the transaction's beginning, which has no name, and at its savepoints since something was said. Empty: nothing was. */
  readonly marks: readonly { readonly name: string | null; readonly said: Said; readonly kept: Said }[]
}

export const NOTHING_SAID: SessionClaims = { said: {}, kept: {}, marks: [] }

/** Savepoints of one transaction that are remembered; of more, the newest takes the place of the last. */
const MAX_MARKS = 1_000

/** What holds behind a statement that succeeds. */
export function claimsAfter(claims: SessionClaims, effect: StatementEffect): SessionClaims {
  const { kind, set, alsoSets = [], transaction, savepoint, discardsAll } = effect
  switch (transaction) {
    case 'commit':
    case 'prepare':
      return committed(claims)
    case 'rollback':
      return rolledBack(claims)
    // Before something is said in the transaction there is nothing to go back to but its beginning.
    case 'savepoint':
      return claims.marks.length === 0 ? claims : marked(claims, savepoint ?? '')
    case 'release': {
      const at = markOf(claims, savepoint)
      const { length } = claims.marks
      if (length === 0 || (at === 0 && length > MAX_MARKS)) return claims
      // One of before anything was said takes all with it that are remembered; their names may be those of older ones.
      return { ...claims, marks: claims.marks.slice(0, Math.max(1, at)) }
    }
    case 'rollback_to': {
      const at = markOf(claims, savepoint)
      const mark = claims.marks[at]
      return mark === undefined ? claims : { said: mark.said, kept: mark.kept, marks: claims.marks.slice(0, at + 1) }
    }
  }
  if (discardsAll) return saying(claims, { name: 'all', value: null })
  // ALTER SYSTEM is for later sessions.
  if (set === undefined || kind === 'system') return claims
  return [set, ...alsoSets].filter(({ name }) => NAMES.has(name)).reduce(saying, claims)
}

/** What holds once the session sets something; `all`: once it has everything as at its beginning. */
export function saying(claims: SessionClaims, { name, value, isLocal }: SettingSet): SessionClaims {
  const added = (said: Said): Said => (name === 'all' ? {} : { ...said, [name]: value === '' ? null : value })
  const { said, kept, marks } = claims.marks.length > 0 ? claims : marked(claims, null)
  // What is not for the transaction only outlives it, also behind what is.
  return { said: added(said), kept: isLocal ? kept : added(kept), marks }
}

/** What holds once the transaction is committed. */
export function committed(claims: SessionClaims): SessionClaims {
  return claims.marks.length === 0 ? claims : { said: claims.kept, kept: claims.kept, marks: [] }
}

/** What holds once everything in the transaction is undone. */
export function rolledBack(claims: SessionClaims): SessionClaims {
  const first = claims.marks[0]
  return first === undefined ? claims : { said: first.said, kept: first.kept, marks: [] }
}

const NAMES: ReadonlySet<string> = new Set(['all', 'killick.actor', 'killick.reason'])

function marked({ said, kept, marks }: SessionClaims, name: string | null): SessionClaims {
  return { said, kept, marks: [...marks.slice(0, MAX_MARKS), { name, said, kept }] }
}

/** The place of the newest savepoint of that name, or of the transaction's beginning. */
const markOf = ({ marks }: SessionClaims, name = ''): number =>
  Math.max(
    0,
    marks.findLastIndex((mark) => mark.name === name),
  )
