// What a client has asked for and has no end yet.

import type { Durable } from '../sessions/recording.ts'
import type { CopyMeter } from './copy-meter.ts'
import type { StatementEffect } from './effects/index.ts'
import type { PostgresFacts, Who } from './events.ts'
import type { ServerError } from './messages.ts'
import type { GivenNames, Naming } from './names.ts'
import type { Prepared } from './prepared.ts'
import type { SqlText } from './sql-text.ts'
import type { SessionTransaction } from './transactions.ts'

/** What became of one statement of a text. */
export type Result = {
  /** As CommandComplete has it, such as `UPDATE 3`; null where the server gave none. */
  readonly tag: string | null
  readonly rows: number | null
  readonly transaction: SessionTransaction
}

/** What only reads, and may share an event with others. */
export type ObservedRead = {
  readonly text: string
  readonly parameters: PostgresFacts['parameters']
  readonly effects: readonly StatementEffect[]
  /** What its intent says if it has one after all. */
  readonly intent: () => PostgresFacts
}

/** One thing that a client asked for: a text, a prepared statement with its parameters, or a call of a function. */
export type Work = {
  readonly action: 'statement' | 'function'
  readonly statement: SqlText | null
  /** What its statements do, each before the prepared one that it executes. Empty: it goes on with what an earlier one has begun. */
  readonly effects: readonly StatementEffect[]
  /** Who asked for it: by the time of its outcome the session may have said something else. */
  readonly who: Who
  /** The intent, once it is durable; null if it could not be recorded. */
  begun: Promise<Durable | null>
  /** In observe mode, of what only reads: it has no intent of its own, and is recorded together with how it ended. Else null. */
  readonly observed: ObservedRead | null
  /** When the server was sent it, on the clock of `performance.now()`. */
  sent: number
  ended: number
  readonly results: Result[]
  /** What it has failed with; where `state` is `unknown`, what something between the server and here has said in the place of an answer. */
  error: ServerError | null
  /** The data of each COPY in the text, of the first ones. */
  readonly copies: CopyMeter[]
  /** Of the other ones that are complete. */
  readonly moreCopies: { count: number; bytes: number }
  /** Data that came before the server asked for it, of each COPY in the text: the client need not wait. Null: none. */
  early: CopyMeter[] | null
  /** `skipped`: the server did not look at it, because something before it failed. `not_sent`: the client was gone before. `unknown`: its answer was lost. */
  state: 'asked' | 'answered' | 'suspended' | 'skipped' | 'not_sent' | 'unknown'
  transaction: SessionTransaction | null
  /** GivenNames that its statements give or give up when they are complete, by the number of the statement. */
  readonly prepares: ReadonlyMap<number, Naming<Prepared>>
}

/** Something that is asked for now. Written out, member by member: it is made for each statement. */
export function newWork(
  { action, statement, effects }: Pick<Work, 'action' | 'statement' | 'effects'>,
  who: Who,
  prepares: Work['prepares'],
  observed: Work['observed'],
  begun: Work['begun'],
): Work {
  return {
    action,
    statement,
    effects,
    who,
    begun,
    observed,
    sent: 0,
    ended: 0,
    results: [],
    error: null,
    copies: [],
    moreCopies: { count: 0, bytes: 0 },
    early: null,
    state: 'asked',
    transaction: null,
    prepares,
  }
}

/** A message that the server was sent, until it has answered it. */
export type Op = {
  readonly kind: 'startup' | 'query' | 'function' | 'parse' | 'bind' | 'describe' | 'close' | 'execute' | 'sync'
  work: Work | null
  /** Of a step before an execution, whose intent holds it: that. If the step fails, the execution has. */
  part?: Work
  /** What the client gets in the place of the error that the server gives. */
  refusal: Buffer | null
  /** What it gives a name, or takes one from. */
  readonly naming: { confirm(): void; drop(): void } | null
}

/** A name that was asked for, together with where. */
export function pending<T>(names: GivenNames<T>, naming: Naming<T>): NonNullable<Op['naming']> {
  return { confirm: () => names.confirm(naming), drop: () => names.drop(naming) }
}

/** What may commit a part of what it does before it fails: procedures, and what works through tables one by one or in steps. */
const IN_PARTS: ReadonlySet<string> = new Set(['call', 'do', 'maintenance', 'unparsed', 'other'])

/** Whether the server lets it commit by itself. Of several statements in one text, and of a function, it does not. */
export function mayCommitParts({ action, statement }: Pick<Work, 'action' | 'statement'>): boolean {
  if (statement === null) return action === 'statement'
  const [effect, ...more] = statement.effects
  if (effect === undefined || more.length > 0 || effect.unknownWhy.includes('view')) return false
  const { kind, kinds = [kind], unknownWhy } = effect
  return (
    kinds.some((each) => IN_PARTS.has(each)) ||
    unknownWhy.includes('server') ||
    (kinds.includes('ddl') && /\bconcurrently\b/i.test(statement.text))
  )
}
