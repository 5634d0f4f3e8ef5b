// The events of the recorder: rows, whole transactions, what applications say in them, and what became of tables.
import type { Change, EventInput } from '@killick/sdk'
import type { JsonObject, JsonValue, Party, RecordableObject } from '@killick/sdk/core'
import type { Removal } from '@killick/sdk/kit'
import { shortened } from '../sessions/disclosed.ts'
import { listOf } from '../sessions/event.ts'
import { isJsonText, redactJsonTexts } from '../sessions/json-texts.ts'
import type { ChangesConfig } from './config.ts'
import { printLsn } from './lsn.ts'
import type { RowFacts } from './rows.ts'

/** A transaction as its begin describes it. */
export type CommittedTransaction = {
  readonly commitLsn: bigint
  /** The same as text: the transaction's name. */
  readonly id: string
  /** With microseconds. */
  readonly committedAt: string
  /** To the millisecond. */
  readonly occurredAt: string
  readonly xid: number
}

/** What the application has said of a transaction: who acts, and in which circumstances; or that it is left out, being too large. */
export type Joined = { readonly actor: JsonObject | null; readonly context: JsonObject; readonly isOmitted?: true }

/** The place of an event's first and last change in the transaction, from 1, and how many it has; null: too many to know yet. */
export type ChangeSpan = { readonly first: number; readonly last: number; readonly of: number | null }

type Target = { type: string; id: string }

/** Most bytes of JSON for what was said, without what rules remove: what stands for a value may be far longer than that. */
const MAX_JOINED = 48 << 10
/** Most bytes of JSON for the fields of an event, which become a third more. */
const MAX_JSON = 170_000
/** The same where fields are sealed, which makes a third more of them before. */
const MAX_SEALED_JSON = 130_000

/** Makes the events of one recorder. */
export class ChangesEvents {
  readonly #config: ChangesConfig
  readonly #database: string
  readonly #nobody: Joined = { actor: null, context: {} }
  readonly #session: string
  /** Which of the recorder's ways through the log: it begins another one after a gap. */
  epoch = 1

  /** @param database its name @param session id of the recorder's run */
  constructor(config: ChangesConfig, database: string, session: string) {
    this.#config = config
    this.#database = database
    this.#session = session
  }

  /** What was said, without what rules remove from it. */
  joined(told: Joined): Joined {
    const { event } = this.#config.redaction.redactEvent({ action: '', ...(told as object) } as EventInput)
    const joined = { actor: told.actor && (event.actor as unknown as JsonObject), context: event.context as JsonObject }
    return bytesOf(joined) <= MAX_JOINED ? joined : { ...this.#nobody, isOmitted: true }
  }

  row(
    facts: RowFacts,
    lsn: bigint,
    transaction: CommittedTransaction,
    span: ChangeSpan,
    joined: Joined | null,
  ): EventInput {
    const { operation, table, row, formerRow, changes, notes } = facts
    const targets = [row, formerRow].flatMap((id): Target[] => (id === null ? [] : [{ type: 'row', id }]))
    return this.#made(`changes.${operation}`, transaction, joined, {
      targets: [...targets, { type: 'table', id: table.id }],
      ...(changes.length > 0 && { changes }),
      known: {
        kind: 'row',
        lsn: printLsn(lsn),
        ...this.#place(transaction, span),
        relation: { oid: table.relation.oid, identity: table.relation.identity },
        ...notes,
      },
    })
  }

  /**
   * Several rows in one event. A change's path begins with the number of its row in `metadata.changes.rows`, which names table and row by
   * their number in `targets`.
   */
  rows(
    rows: readonly RowFacts[],
    transaction: CommittedTransaction,
    span: ChangeSpan,
    joined: Joined | null,
  ): EventInput {
    const targets = new Map<string, Target & { at: number }>()
    const add = (type: string, id: string): number => {
      const known = targets.get(`${type} ${id}`) ?? { type, id, at: targets.size }
      targets.set(`${type} ${id}`, known)
      return known.at
    }
    const changes: Change[] = []
    const told: JsonObject[] = []
    for (const [i, { operation, table, row, formerRow, changes: own, notes }] of rows.entries()) {
      const target = row === null ? null : add('row', row)
      if (formerRow !== null) add('row', formerRow)
      const ofTable = add('table', table.id)
      for (const change of own) changes.push({ ...change, path: `/${i}${change.path}` })
      told.push({ operation, table: ofTable, ...(target !== null && { row: target }), ...notes })
    }
    return this.#made('changes.transaction', transaction, joined, {
      targets: [...targets.values()].map(({ type, id }) => ({ type, id })),
      ...(changes.length > 0 && { changes }),
      known: { kind: 'transaction', ...this.#place(transaction, span), rows: told },
    })
  }

  /** Something else of a transaction: `truncate`, `relation`, `commit`, `message.invalid`. */
  other(
    action: string,
    facts: { targets: readonly Target[]; changes?: readonly Change[]; known: JsonObject },
    transaction: CommittedTransaction,
    span: ChangeSpan,
    joined: Joined | null,
  ): EventInput {
    const known = { ...facts.known, ...this.#place(transaction, span) }
    return this.#made(`changes.${action}`, transaction, joined, { ...facts, known })
  }

  /** What an application has recorded in its transaction. @param event checked @returns null if it does not fit, without what rules remove */
  said(event: EventInput, lsn: bigint, transaction: CommittedTransaction, span: ChangeSpan): EventInput | null {
    const { event: left, removals } = this.#config.redaction.redactEvent(event)
    const targets = [...(left.targets ?? [])]
    if (targets.length < 1000) targets.push({ type: 'transaction', id: transaction.id })
    const said: EventInput = {
      occurredAt: transaction.occurredAt,
      ...left,
      targets,
      ...this.#context((left.context ?? {}) as JsonObject),
      metadata: {
        ...left.metadata,
        changes: { kind: 'message', lsn: printLsn(lsn), vouchedBy: 'application', ...this.#place(transaction, span) },
        ...(removals.length > 0 && { redactions: listOf(removals) as RecordableObject[string] }),
      },
    }
    // Its numbers may be longer than they were written, and the list of what was removed longer than the message.
    return this.#fits(said) ? said : null
  }

  /** Something that belongs to no transaction: the recorder's start and end, the publication, a gap. */
  ofSession(
    action: string,
    facts: { targets?: readonly Target[]; changes?: readonly Change[]; outcome?: 'failure'; known: JsonObject },
  ): EventInput {
    const { targets = [], changes, outcome, known } = facts
    return {
      action: `changes.${action}`,
      actor: this.#actor(null),
      targets: [
        { type: 'database', id: shortened(this.#database) },
        ...targets,
        { type: 'session', id: this.#session },
      ],
      ...(outcome && { outcome }),
      context: { ...(this.#config.context as RecordableObject), session: this.#session },
      ...(changes && { changes }),
      metadata: { changes: { ...(known as RecordableObject), database: this.#database } },
    }
  }

  #made(
    action: string,
    transaction: CommittedTransaction,
    joined: Joined | null,
    { targets, changes, known }: { targets: readonly Target[]; changes?: readonly Change[]; known: JsonObject },
  ): EventInput {
    const { context } = joined ?? this.#nobody
    const inTexts: Removal[] = []
    const { event, removals: others } = this.#config.redaction.redactEvent({
      targets,
      ...(changes && { changes: this.#withoutSecrets(changes, inTexts) }),
    } as unknown as EventInput)
    const removals = [...inTexts, ...others]
    const made: EventInput = {
      action,
      actor: this.#actor(joined),
      targets: [...event.targets!, { type: 'transaction', id: transaction.id }],
      outcome: 'success',
      ...this.#context(context),
      ...(event.changes && { changes: event.changes }),
      occurredAt: transaction.occurredAt,
      metadata: {
        changes: {
          ...(known as RecordableObject),
          ...(joined && (joined.isOmitted ? { contextOmitted: { why: 'size' } } : { contextBy: 'application' })),
        },
        ...(removals.length > 0 && { redactions: listOf(removals) as RecordableObject[string] }),
      },
    }
    // What stands for removed values, and what was said, come to changes that fit by themselves.
    if (changes === undefined || this.#fits(made)) return made
    return this.#made(action, transaction, joined, { targets, known: { ...known, omitted: { why: 'size' } } })
  }

  /** Rules have looked into the columns of JSON, which come as texts. */
  #withoutSecrets(changes: readonly Change[], removals: Removal[]): readonly Change[] {
    if (!changes.some(({ before, after }) => isJsonText(before) || isJsonText(after))) return changes
    const looked = redactJsonTexts(changes as unknown as JsonValue, ['changes'], this.#config.redaction, removals)
    return looked as unknown as readonly Change[]
  }

  /** An event that does not fit would be the end of the recorder. */
  #fits(event: EventInput): boolean {
    return bytesOf(event) <= (this.#config.sealed === null ? MAX_JSON : MAX_SEALED_JSON)
  }

  /** What the configuration says is not the application's to change. */
  #context(said: JsonObject): { context?: RecordableObject } {
    const context = { ...(said as RecordableObject), ...(this.#config.context as RecordableObject) }
    return Object.keys(context).length > 0 ? { context } : {}
  }

  #actor(joined: Joined | null): Party {
    return (joined?.actor ?? this.#config.actor ?? { type: 'database', id: shortened(this.#database) }) as Party
  }

  #place({ id, committedAt, xid }: CommittedTransaction, { first, last, of }: ChangeSpan): JsonObject {
    return {
      ...{ database: this.#database, epoch: this.epoch, commitLsn: id, committedAt, xid },
      ...(first === last ? { index: last } : { first, index: last }),
      ...(of !== null && { of }),
    }
  }
}

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
