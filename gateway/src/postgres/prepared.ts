// Prepared statements and portals of one session.
import { GivenNames, type UNCERTAIN } from './names.ts'
import type { SqlText } from './sql-text.ts'

/** A statement that was given a name, by the protocol or by PREPARE; both use the same names. */
export type Prepared = { readonly statement: SqlText; readonly name: string }

/** A statement with its parameters, ready to be executed. */
export type Portal = {
  readonly name: string
  /** Null: it was prepared where this session did not see it. */
  readonly prepared: Prepared | null
  readonly preparedName: string
  readonly parameters: readonly (Buffer | null)[]
  /** Formats as Bind has them: none, one for all, or one for each. */
  readonly formats: readonly number[]
  /** Why its statement may do something else than when it was prepared, as it was when it was bound. */
  readonly why: readonly string[]
  /** `cursors` of the session when it was bound. */
  readonly cursors: number
  /** Whether it was executed before. */
  isBegun: boolean
}

export class PreparedNames {
  readonly statements = new GivenNames<Prepared>()
  readonly portals = new GivenNames<Portal>()
  /** Counts the syncs that were sent. */
  segment = 0
  /** Counts statements that may have given the name of a portal to a cursor of theirs: to the server both are one. */
  cursors = 0

  /** @param isDoubted whether something has run that may have given it, or another one, that name */
  statement(name: string, isDoubted: boolean): Prepared | undefined | typeof UNCERTAIN {
    return this.statements.meaning(name, this.segment, isDoubted && name !== '')
  }

  portal(name: string): Portal | undefined | typeof UNCERTAIN {
    return this.portals.meaning(name, this.segment, this.cursors > 0 && name !== '')
  }

  /** What CommandComplete says about names that a statement gives up. */
  completed(tag: string): void {
    if (tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL') this.statements.clear()
  }
}
