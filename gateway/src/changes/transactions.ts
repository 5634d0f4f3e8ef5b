// The stream as transactions: what of it is new, which events it becomes, and in which order.
import type { EventInput } from '@killick/sdk'
import { hashOf } from '../sessions/disclosed.ts'
import type { ChangesConfig } from './config.ts'
import type { ChangeDelivery } from './delivery.ts'
import { ChangesError } from './errors.ts'
import type { ChangeSpan, ChangesEvents, CommittedTransaction, Joined } from './events.ts'
import { printLsn, printMicros } from './lsn.ts'
import { CONTEXT_PREFIX, EVENT_PREFIX, type Invalid, readMessage } from './messages.ts'
import type { Notes, Place } from './notes.ts'
import type { Relation, RowMessage, StreamMessage } from './pgoutput.ts'
import { changesOf, type Described, isSame } from './relations.ts'
import { type RowFacts, rowFacts } from './rows.ts'
import type { Table } from './table.ts'

/** Changes that are held until the commit, so that each event can say how many there are; and their size in the stream. */
const [MAX_HELD, MAX_HELD_BYTES] = [500, 1 << 20]
/** Rows in one event, and their weight. */
const [MAX_ROWS, MAX_ROWS_WEIGHT] = [250, 16_000]
/** What an event weighs beside its changes, and what a row of a group does. */
const [EVENT_WEIGHT, ROW_WEIGHT] = [1_000, 60]
/** Most bytes of JSON by which a table is described. */
const MAX_DESCRIPTION = 60_000
/** Tables that the event of one TRUNCATE names. */
const MAX_TABLES = 900

/** What one change becomes once it is known how many there are. */
type Item = { readonly index: number; readonly weight: number; readonly joined: Joined | null } & (
  | { readonly row: RowFacts; readonly lsn: bigint }
  | { readonly make: (span: ChangeSpan) => EventInput; readonly relation?: Described }
)

type Open = CommittedTransaction & {
  /** Changes so far, recorded before or not, and their size. */
  count: number
  bytes: number
  /** What the application has said so far, and the same without what rules remove. */
  said: Joined | null
  joined: Joined | null
  held: Item[]
  /** Rows by operation and table. */
  readonly counts: Map<string, number>
}

/** The log lacks what was recorded of it, so it is not the log that was read: its disk was put back, or a server of another history is there. */
export class OtherHistory extends Error {}

export type KnownTable = { readonly table: Table; readonly described: Described }

/** What the transactions of one connection need. */
export type TransactionParts = {
  readonly config: ChangesConfig
  /** Of the database. */
  readonly encoding: string
  readonly events: ChangesEvents
  readonly delivery: ChangeDelivery
  readonly notes: Notes
  /** From where on the server sends what is committed. */
  readonly sentFrom: bigint
  /** What is known of a table; where it is undefined, `load` asks. */
  readonly tables: { get(relation: Relation): KnownTable | undefined; load(relation: Relation): Promise<void> }
}

/** Takes the messages of one connection in their order. */
export class Transactions {
  /** When the last transaction was committed, as its server says, ms since 1970. */
  committedMs: number | null = null
  /** Whether to record an event for each row would be too slow just now; with `group: auto` the rows of a transaction then share events. */
  isBusy = false
  readonly #parts: TransactionParts
  /** How far everything was durable when the connection began. */
  readonly #start: Place
  /** Whether the newest transaction that was recorded must come once more before others: the server knows less than was recorded. */
  #isAwaiting: boolean
  #open: Open | null = null

  constructor(parts: TransactionParts) {
    this.#parts = parts
    this.#start = parts.notes.place
    this.#isAwaiting = this.#start.commit > 0n && parts.sentFrom <= this.#start.commit
  }

  /** Whether this is the log that was read before, as far as can be told. Before that the server is told nothing. */
  get isSure(): boolean {
    return !this.#isAwaiting
  }

  /** Everything before `end` has come. @throws OtherHistory */
  passed(end: bigint): void {
    if (this.#isAwaiting && end > this.#start.commit) this.#lacks()
  }

  #lacks(): never {
    throw new OtherHistory(
      `the database's log lacks the newest transaction that was recorded of it, at ${printLsn(this.#start.commit)}`,
    )
  }

  /** Something that was committed comes. @throws OtherHistory */
  #meets(commit: bigint, committedAt?: string): void {
    if (!this.#isAwaiting || commit < this.#start.commit) return
    const isOther = this.#start.committedAt !== undefined && this.#start.committedAt !== committedAt
    if (commit > this.#start.commit || isOther) this.#lacks()
    this.#isAwaiting = false
  }

  /** Whether a transaction has begun and not ended. */
  get isOpen(): boolean {
    return this.#open !== null
  }

  /**
   * Takes a message.
   * @param lsn its place @param bytes its size
   * @returns a promise if something must be asked first: nothing else may be passed until it resolves
   */
  take(message: StreamMessage, lsn: bigint, bytes: number): Promise<void> | undefined {
    switch (message.kind) {
      case 'begin':
        return void this.#begin(message)
      case 'commit':
        return void this.#commit(message.endLsn)
      case 'none':
        return
      case 'message':
        return void this.#message(message, lsn)
      case 'truncate':
        return this.#whenKnown(message.relations, () => this.#truncate(message, lsn, bytes))
      default:
        return this.#whenKnown([message.relation], () => this.#row(message, lsn, bytes))
    }
  }

  #whenKnown(relations: readonly Relation[], then: () => void): Promise<void> | undefined {
    const { tables } = this.#parts
    const unknown = relations.filter((relation) => tables.get(relation) === undefined)
    if (unknown.length > 0) return Promise.all(unknown.map((relation) => tables.load(relation))).then(then)
    then()
    return
  }

  #begin({ commitLsn, micros, xid }: Extract<StreamMessage, { kind: 'begin' }>): void {
    const committedAt = printMicros(micros)
    this.#meets(commitLsn, committedAt)
    this.committedMs = Number(micros / 1000n)
    this.#open = {
      ...{ commitLsn, id: printLsn(commitLsn), committedAt, occurredAt: `${committedAt.slice(0, 23)}Z`, xid },
      ...{ count: 0, bytes: 0, said: null, joined: null, held: [], counts: new Map() },
    }
  }

  #commit(endLsn: bigint): void {
    const open = this.#inTransaction()
    const { count, counts } = open
    if (isLong(open)) {
      // What could not say how many there are is followed by an event that does.
      this.#flush(open, null)
      open.count += 1
      const known = { kind: 'commit', changes: count, counts: Object.fromEntries([...counts].slice(0, MAX_TABLES)) }
      const make = (span: ChangeSpan) =>
        this.#parts.events.other('commit', { targets: [], known }, open, span, open.joined)
      if (this.#isNew(open)) open.held.push({ index: open.count, weight: EVENT_WEIGHT, joined: null, make })
    }
    this.#flush(open, count)
    this.#parts.delivery.ended(endLsn)
    this.#open = null
  }

  #row(message: RowMessage, lsn: bigint, bytes: number): void {
    const open = this.#inTransaction()
    const known = this.#parts.tables.get(message.relation)!
    counted(open, `${message.kind} ${known.table.id}`)
    if (!this.#counts(open, bytes)) return
    this.#notice(open, known)
    const row = rowFacts(message, known.table, this.#parts.config.limits.discloseBytes)
    this.#hold(open, { index: open.count, weight: row.weight, joined: open.joined, row, lsn })
  }

  #truncate(
    { relations, cascade, restart }: Extract<StreamMessage, { kind: 'truncate' }>,
    lsn: bigint,
    bytes: number,
  ): void {
    const open = this.#inTransaction()
    const tables = relations.map((relation) => this.#parts.tables.get(relation)!)
    for (const { table } of tables) counted(open, `truncate ${table.id}`)
    if (!this.#counts(open, bytes)) return
    for (const known of tables) this.#notice(open, known)
    const { joined } = open
    const targets = tables.slice(0, MAX_TABLES).map(({ table }) => ({ type: 'table', id: table.id }))
    const known = { kind: 'truncate', lsn: printLsn(lsn), cascade, restartIdentity: restart, tables: tables.length }
    const make = (span: ChangeSpan) => this.#parts.events.other('truncate', { targets, known }, open, span, joined)
    this.#hold(open, { index: open.count, weight: EVENT_WEIGHT + 100 * targets.length, joined, make })
  }

  #message({ isTransactional, prefix, content }: Extract<StreamMessage, { kind: 'message' }>, lsn: bigint): void {
    if (prefix !== EVENT_PREFIX && prefix !== CONTEXT_PREFIX) return
    if (!isTransactional) {
      this.#loose(prefix, content, lsn)
      return
    }
    const open = this.#inTransaction()
    const found = readMessage(prefix, content, open.said, this.#parts.encoding)
    if ('joined' in found) {
      open.said = found.joined
      open.joined = this.#parts.events.joined(found.joined)
      return
    }
    if (!this.#counts(open, content.length)) return
    const { joined } = open
    const make = (span: ChangeSpan): EventInput => {
      const said = 'event' in found ? this.#parts.events.said(found.event, lsn, open, span) : null
      if (said !== null) return said
      const why = 'invalid' in found ? found.invalid : { why: 'too_large' }
      const known = { kind: 'message', lsn: printLsn(lsn), ...refused(prefix, content, why) }
      return this.#parts.events.other('message.invalid', { targets: [], known }, open, span, joined)
    }
    this.#hold(open, { index: open.count, weight: EVENT_WEIGHT + 2 * content.length, joined, make })
  }

  /** A message that is tied to no commit: what it says may never have been done, so it is not taken for an event. */
  #loose(prefix: string, content: Buffer, lsn: bigint): void {
    const { events, delivery } = this.#parts
    // The server tells where it ends. There a commit may begin, and a slot that has it stands there: so its own place is before.
    const commit = lsn - 1n
    this.#meets(commit)
    const place: Place = { epoch: events.epoch, commit, index: 1 }
    if (this.#isOld(commit, 1)) return
    const known = {
      ...{ kind: 'message', lsn: printLsn(lsn), ...refused(prefix, content, { why: 'not_transactional' }) },
      ...{ epoch: place.epoch, commitLsn: printLsn(commit), index: 1 },
    }
    delivery.push(events.ofSession('message.invalid', { known }), { place }, EVENT_WEIGHT)
  }

  /** Counts one more change. @returns whether it is to be recorded */
  #counts(open: Open, bytes: number): boolean {
    open.count += 1
    open.bytes += bytes
    return this.#isNew(open)
  }

  #isNew({ commitLsn, count }: Open): boolean {
    return !this.#isOld(commitLsn, count)
  }

  /** Whether a change was recorded by an earlier connection or process. */
  #isOld(commit: bigint, index: number): boolean {
    return commit < this.#start.commit || (commit === this.#start.commit && index <= this.#start.index)
  }

  /**
   * Records that a table is described otherwise than when a row of it was last recorded. Only where such a row is recorded: a stream that
   * is sent again describes tables as they were.
   */
  #notice(open: Open, { table, described }: KnownTable): void {
    const { notes, events } = this.#parts
    const last = this.#noticed.get(described.oid) ?? (notes.relations.get(described.oid) as Described | undefined)
    if (last === described || isSame(last, described)) return
    this.#noticed.set(described.oid, described)
    const changes = changesOf(last, described)
    const text = JSON.stringify([changes, described])
    const facts = {
      targets: [{ type: 'table', id: table.id }],
      ...(text.length <= MAX_DESCRIPTION && { changes }),
      known: {
        ...{ kind: 'relation', isFirst: last === undefined },
        ...(text.length <= MAX_DESCRIPTION ? { described } : { omitted: { why: 'size', ...hashOf(text) } }),
      },
    }
    const make = (span: ChangeSpan) => events.other('relation', facts, open, span, null)
    const weight = EVENT_WEIGHT + text.length
    // It stands before the change that it was noticed at, and is none itself.
    open.held.push({ index: open.count - 1, weight, joined: null, make, relation: described })
  }

  readonly #noticed = new Map<number, Described>()

  #hold(open: Open, item: Item): void {
    open.held.push(item)
    const isDue = isLong(open) && (!this.#isGrouped || open.held.length >= MAX_ROWS)
    if (isDue) this.#flush(open, null)
  }

  /** @param of how many changes there are; null: that is not known yet */
  #flush(open: Open, of: number | null): void {
    const { events, delivery } = this.#parts
    const isGrouped = this.#isGrouped
    const { held } = open
    open.held = []
    for (let i = 0; i < held.length; ) {
      const item = held[i]!
      const end = isGrouped && 'row' in item ? endOfGroup(held, i) : i + 1
      const last = held[end - 1]!
      const span: ChangeSpan = { first: item.index, last: last.index, of }
      const { commitLsn: commit, committedAt } = open
      const place: Place = { epoch: events.epoch, commit, index: last.index, committedAt }
      if ('make' in item) {
        const { relation } = item
        delivery.push(item.make(span), { place, ...(relation && { relation }) }, item.weight)
      } else {
        const group = held.slice(i, end).map((each) => (each as { row: RowFacts }).row)
        const weight = group.reduce((sum, each) => sum + each.weight, EVENT_WEIGHT)
        const event = !isGrouped
          ? events.row(item.row, item.lsn, open, span, item.joined)
          : events.rows(group, open, span, item.joined)
        delivery.push(event, { place }, weight)
      }
      i = end
    }
  }

  get #isGrouped(): boolean {
    const { group } = this.#parts.config
    return group === 'transaction' || (group === 'auto' && this.isBusy)
  }

  #inTransaction(): Open {
    if (this.#open === null)
      throw new ChangesError('changes_stream_invalid', 'The stream has a change outside of a transaction.')
    return this.#open
  }
}

/** Whether the changes so far are too many to be held until the commit. */
const isLong = ({ count, bytes }: Open): boolean => count > MAX_HELD || bytes > MAX_HELD_BYTES

/** Rows that follow each other, fit into one event and are done on behalf of the same. */
function endOfGroup(held: readonly Item[], from: number): number {
  const { joined } = held[from]!
  let weight = 0
  let end = from
  for (; end < held.length && end - from < MAX_ROWS; end++) {
    const item = held[end]!
    if (!('row' in item) || item.joined !== joined) break
    weight += item.weight + 2 * (item.row.row?.length ?? 0) + ROW_WEIGHT
    if (end > from && weight > MAX_ROWS_WEIGHT) break
  }
  return end
}

function counted({ counts }: Open, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

const refused = (prefix: string, content: Buffer, invalid: Invalid) => ({
  prefix,
  ...invalid,
  message: hashOf(content),
})
