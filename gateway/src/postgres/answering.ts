// What the server answers: which statement it is for, and what became of it.
import type { JsonObject } from '@killick/sdk/core'
import { CopyMeter } from './copy-meter.ts'
import type { StatementEffect } from './effects/index.ts'
import { letter, readError, type ServerError } from './messages.ts'
import type { PreparedNames } from './prepared.ts'
import { type SessionTransaction, SessionTransactions } from './transactions.ts'
import { mayCommitParts, type Op, type Work } from './work.ts'

/** What is told of the answers. */
export type AnsweringEnds = {
  /** The server has answered these, and said what became of their transaction, as far as it is known. */
  ended(works: readonly Work[]): void
  /** A statement has failed, which had not before. */
  failed(): void
  /** A statement has succeeded that does this. */
  succeeded(effects: readonly StatementEffect[]): void
  /** No transaction is open any more. */
  transactionEnded(isCommitted: boolean): void
  /** So many ends of segments have their answers, or get none. @param isFailed whether a transaction is open that has failed */
  segmentsEnded(count: number, isFailed: boolean): void
  /** The server is ready, and was sent nothing that it has not answered: what it has said of its settings holds. */
  settled(): void
  /** An answer that nothing was asked for. */
  lost(why: string): void
}

const [COMPLETE, ERROR, READY, EMPTY, SUSPENDED, PARSED, BOUND, CLOSED, COLUMNS, NO_DATA, FUNCTION_RESULT] = [
  ...'CEZIs123TnV',
].map(letter) as [number, number, number, number, number, number, number, number, number, number, number]
const [COPY_IN, COPY_OUT, COPY_BOTH] = [...'GHW'].map(letter) as [number, number, number]
const ENDS_SEGMENT = new Set<Op['kind']>(['query', 'function', 'sync', 'startup'])
/** Works that may wait for the end of their transaction without a sync. */
const MAX_WAITING = 256
/** SQLSTATE of a text of which nothing was executed. */
const SYNTAX_ERROR = '42601'
/** Of a text that cannot be looked into so many COPY may have data before the server asks for it. */
const MAX_EARLY = 64
/** COPY of one text whose data are hashed each by itself; of the others the bytes are counted. */
const MAX_COPIES = 20

export class Answering {
  readonly transactions = new SessionTransactions()
  /** Whether the server has said that it ends the session. */
  isEnding = false
  readonly #ends: AnsweringEnds
  readonly #names: PreparedNames
  #ops: Op[] = []
  /** Answered, while what becomes of their transaction is not. */
  #answered: Work[] = []
  /** The server skips what it is sent, up to a sync. */
  #isSkipping = false
  #copyIn: CopyMeter | null = null
  /** What was asked for last: data that comes before the server asks for any is for this. */
  #latest: Work | null = null
  /** Syncs since then, or since data of it have ended. */
  #syncs = 0
  #copyOut: CopyMeter | null = null

  constructor(names: PreparedNames, ends: AnsweringEnds) {
    this.#names = names
    this.#ends = ends
  }

  /** Whether the server takes data of COPY now. */
  get isCopyingIn(): boolean {
    return this.#copyIn !== null
  }

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.#ops.length === 0 && this.#answered.length === 0
  }

  /** Whether a transaction is open that the client has begun. */
  get isInTransaction(): boolean {
    return this.transactions.isOpen
  }

  /** What is known of the transaction of a statement before it is sent. */
  upcoming(): JsonObject {
    return this.isIdle ? { transaction: this.transactions.upcoming } : {}
  }

  /** The client has asked for this; it is sent once it may be. */
  asked(work: Work): void {
    this.#latest = work
    this.#syncs = 0
  }

  /** The client has asked for a sync, which the server ignores where it waits for data. */
  syncAsked(): void {
    this.#syncs += 1
  }

  /** The client's message was sent. */
  sent(op: Op): void {
    if (op.work !== null && op.work.error === null) op.work.sent = performance.now()
    if (this.#copyIn !== null) {
      if (op.kind === 'sync') return
      // What it was asked for has an outcome too.
      this.#ops.push(op)
      this.#lost('CopyInResponse, while the client has asked for more')
      return
    }
    if (this.#isSkipping) {
      if (op.kind !== 'sync') {
        this.#skip(op)
        return
      }
      this.#isSkipping = false
    }
    this.#ops.push(op)
  }

  /** Whether the client gets something else than this message. */
  drops(type: number): boolean {
    return type === ERROR && this.#ops[0]?.refusal !== undefined && this.#ops[0].refusal !== null
  }

  copyData(data: Buffer): void {
    this.#copyOut?.take(data)
  }

  copyInData(data: Buffer): void {
    ;(this.#copyIn ?? this.#early())?.take(data)
  }

  copyInEnds(): void {
    const meter = this.#copyIn ?? this.#early()
    if (meter !== null) {
      meter.isEnded = true
      meter.syncs = this.#syncs
      this.#syncs = 0
    }
    this.#copyIn = null
  }

  /** What counts data that the server has not asked for yet. */
  #early(): CopyMeter | null {
    if (this.#latest === null) return null
    this.#latest.early ??= []
    const { early, statement } = this.#latest
    const last = early.at(-1)
    if (last?.isEnded === false) return last
    // More than there can be of COPY in it are for nothing, and the server ignores them.
    if (early.length >= Math.max(MAX_EARLY, statement?.effects.length ?? 0)) return null
    const meter = new CopyMeter('in')
    early.push(meter)
    return meter
  }

  /** @returns what the client gets in the place of a message that was dropped */
  message(type: number, body: Buffer): Buffer | null {
    const op = this.#ops[0]
    switch (type) {
      case COMPLETE:
        this.#completed(op, body.toString('latin1', 0, body.length - 1))
        return null
      case EMPTY:
        if (op?.work) op.work.results.push({ tag: null, rows: 0, transaction: this.transactions.current })
        if (op?.kind === 'execute') this.#answeredBy(op, 'answered')
        else if (op?.kind !== 'query') this.#lost('EmptyQueryResponse')
        return null
      case SUSPENDED:
        if (op?.kind !== 'execute') return this.#lost('PortalSuspended')
        if (op.work) {
          op.work.transaction = this.transactions.current
          this.#ends.succeeded(op.work.effects)
        }
        this.#answeredBy(op, 'suspended')
        return null
      case ERROR:
        return this.#failed(op, body)
      case READY:
        this.#ready(op, String.fromCharCode(body[0] ?? 0))
        return null
      case PARSED:
        return this.#done(op, 'parse')
      case BOUND:
        return this.#done(op, 'bind')
      case CLOSED:
        return this.#done(op, 'close')
      case COLUMNS:
      case NO_DATA:
        if (op?.kind === 'describe') return this.#done(op, 'describe')
        return op?.kind === 'query' || op?.kind === 'execute' ? null : this.#lost('RowDescription')
      case FUNCTION_RESULT:
        if (op?.kind !== 'function') return this.#lost('FunctionCallResponse')
        if (op.work) this.#result(op.work, null, null)
        return null
      case COPY_IN:
      case COPY_OUT:
      case COPY_BOTH:
        this.#copies(op, type)
        return null
      default:
        return null
    }
  }

  /** The session is over. @returns what the server has answered and not, and the transaction that was open */
  close(): { answered: readonly Work[]; open: readonly Work[]; transaction: SessionTransaction | null } {
    const transaction = this.transactions.closed(
      this.#ops.every(({ work }) => work === null || work.error !== null),
      this.#ops.some(({ kind }) => kind === 'sync'),
    )
    const open = this.#ops.flatMap(({ work }) => (work === null ? [] : [work]))
    const answered = this.#answered
    this.#ops = []
    this.#answered = []
    return { answered, open, transaction }
  }

  #done(op: Op | undefined, kind: Op['kind']): null {
    if (op?.kind !== kind) return this.#lost(`the answer to ${kind}`)
    op.naming?.confirm()
    if (op.work !== null) op.work.transaction = this.transactions.current
    this.#answeredBy(op, 'answered')
    return null
  }

  #completed(op: Op | undefined, tag: string): void {
    if (op?.kind === 'startup') return
    if (op?.kind !== 'query' && op?.kind !== 'execute') return void this.#lost('CommandComplete')
    this.#copyIn = null
    this.#copyOut = null
    this.#names.completed(tag)
    if (op.work !== null) {
      copied(op.work)
      this.#result(op.work, tag, rowsOf(tag))
    }
    if (op.kind === 'execute') this.#answeredBy(op, 'answered')
  }

  #result(work: Work, tag: string | null, rows: number | null): void {
    const i = work.results.length
    const naming = work.prepares.get(i)
    if (naming !== undefined) this.#names.statements.confirm(naming)
    const effect = work.statement?.effects[i]
    if (mayCommitParts(work)) this.transactions.mayCommit()
    const transaction = this.transactions.completed(tag ?? '', effect?.transaction)
    work.transaction = transaction
    work.results.push({ tag, rows, transaction })
    // COMMIT too has this tag, where something in the transaction has failed.
    if (tag === 'ROLLBACK' && effect?.transaction !== 'rollback_to') {
      if (effect?.transaction !== undefined) this.#ends.transactionEnded(false)
      return
    }
    this.#ends.succeeded(effectsOfResult(work, i))
    if (transaction.state === 'committed') this.#ends.transactionEnded(true)
  }

  #failed(op: Op | undefined, body: Buffer): Buffer | null {
    const error = readError(body)
    const wasEnding = this.isEnding
    const isFatal = error.severity !== 'ERROR'
    this.isEnding ||= isFatal && error.isOfServer
    this.#copyIn = null
    this.#copyOut = null
    // What a pooler says behind the server's last word, such as that it cannot pass it on, changes nothing.
    if (op === undefined || wasEnding) return null
    const refusal = op.refusal
    if (isFatal && !error.isOfServer && refusal === null && op.kind !== 'startup') {
      this.#cutOff(op, error)
      return null
    }
    this.transactions.failed()
    if (op.work !== null && error.sqlstate !== SYNTAX_ERROR && mayCommitParts(op.work)) this.transactions.mayCommit()
    const failing = op.work ?? op.part ?? (op.kind === 'sync' ? this.#lastAnswered() : null)
    if (failing !== null) this.#fails(failing, error)
    op.naming?.drop()
    if (ENDS_SEGMENT.has(op.kind)) {
      op.refusal = null
      return refusal
    }
    // Up to the next sync the server looks at nothing.
    this.#ops.shift()
    if (failing !== null) this.#answered.push(failing)
    const at = this.#ops.findIndex(({ kind }) => kind === 'sync')
    for (const skipped of this.#ops.splice(0, at < 0 ? this.#ops.length : at)) this.#skip(skipped)
    this.#isSkipping = at < 0
    return refusal
  }

  /** A pooler, or another relay, breaks off: the server may do, and commit, what it was sent all the same. It may take more, as pgcat does. */
  #cutOff(op: Op, error: ServerError): void {
    const cut = op.work ?? op.part
    if (cut !== undefined) cut.error = error
    this.transactions.cutOff()
    const isLast = ENDS_SEGMENT.has(op.kind)
    const at = isLast ? 0 : this.#ops.findIndex(({ kind }) => kind === 'sync')
    const rest = isLast ? [op] : this.#ops.splice(0, at < 0 ? this.#ops.length : at)
    for (const { work, naming } of rest) {
      naming?.drop()
      if (work === null) continue
      for (const each of work.prepares.values()) this.#names.statements.drop(each)
      work.state = 'unknown'
      work.transaction = this.transactions.current
      if (!isLast) this.#answered.push(work)
    }
    this.#isSkipping = at < 0
  }

  /** What fails where the server cannot commit at a sync, which has no event: the last statement, as it is that of a text. */
  #lastAnswered(): Work | null {
    const { current } = this.transactions
    return this.#answered.findLast(({ transaction, error }) => transaction === current && error === null) ?? null
  }

  #fails(work: Work, error: ServerError): void {
    if (work.error === null) this.#ends.failed()
    work.error = error
    work.state = 'answered'
    work.ended = performance.now()
    work.transaction = this.transactions.current
    for (const [i, naming] of work.prepares) if (i >= work.results.length) this.#names.statements.drop(naming)
  }

  #skip(op: Op): void {
    op.naming?.drop()
    // Of a text behind something that failed there is no answer at all.
    if (op.kind === 'query' || op.kind === 'function') this.#ends.segmentsEnded(1, true)
    if (op.work === null) return
    for (const naming of op.work.prepares.values()) this.#names.statements.drop(naming)
    // A step of it has failed: that is its end.
    if (op.work.error !== null) return
    op.work.state = 'skipped'
    op.work.ended = performance.now()
    this.#answered.push(op.work)
  }

  #answeredBy(op: Op, state: 'answered' | 'suspended'): void {
    this.#ops.shift()
    if (op.work === null) return
    op.work.state = state
    op.work.ended = performance.now()
    this.#answered.push(op.work)
    // The last one stays: what becomes of the transaction is said of it.
    if (this.#answered.length > MAX_WAITING) this.#ends.ended(this.#answered.splice(0, MAX_WAITING))
  }

  #ready(op: Op | undefined, status: string): void {
    if (op === undefined || !ENDS_SEGMENT.has(op.kind)) return void this.#lost('ReadyForQuery')
    this.#ops.shift()
    this.#copyIn = null
    if (op.work !== null) {
      if (op.work.state !== 'unknown') op.work.state = 'answered'
      op.work.ended = performance.now()
      this.#answered.push(op.work)
    }
    const ended = this.transactions.ready(status)
    if (status === 'I') this.#ends.transactionEnded(ended === null || ended.state === 'committed')
    if (op.kind !== 'startup') this.#ends.segmentsEnded(1, status === 'E')
    // Portals end with their transaction, and many clients do not close them.
    if (status === 'I') this.#names.portals.clear()
    if (this.#ops.length === 0) this.#ends.settled()
    if (this.#answered.length > 0) this.#ends.ended(this.#answered.splice(0))
  }

  #copies(op: Op | undefined, type: number): void {
    if (op?.kind !== 'query' && op?.kind !== 'execute') return void this.#lost('CopyResponse')
    const early = type === COPY_IN ? op.work?.early?.shift() : undefined
    const meter = early ?? new CopyMeter(type === COPY_IN ? 'in' : type === COPY_OUT ? 'out' : 'both')
    op.work?.copies.push(meter)
    if (type !== COPY_IN) this.#copyOut = meter
    if (type === COPY_OUT) return
    if (!meter.isEnded) this.#copyIn = meter
    // Syncs that came before the end of the data are ignored. Of anything else the server says that it has no place there.
    // What is behind that end it looks at as ever.
    const behind = this.#ops.slice(1, meter.isEnded ? 1 + meter.syncs : undefined)
    if (op.kind === 'query' && !meter.isEnded ? behind.length > 0 : behind.some(({ kind }) => kind !== 'sync'))
      return void this.#lost('data of COPY, while the client has asked for more')
    this.#ops.splice(1, behind.length)
    if (behind.length > 0) this.#ends.segmentsEnded(behind.length, false)
  }

  #lost(what: string): null {
    this.#ends.lost(`The server sent ${what}, and nothing was asked that it could be for.`)
    return null
  }
}

/** What one statement of a text does, with the prepared one that it executes. */
function effectsOfResult({ statement, effects }: Work, i: number): readonly StatementEffect[] {
  const own = statement?.effects ?? []
  if (i === 0 && own.length <= 1) return effects
  const at = effects.indexOf(own[i]!)
  return at < 0 ? [] : effects.slice(at, i + 1 < own.length ? effects.indexOf(own[i + 1]!) : undefined)
}

/** A statement is complete, and with it the COPY that may be in it. */
function copied({ copies, moreCopies }: Work): void {
  const last = copies.at(-1)
  if (last === undefined) return
  last.isWhole = true
  if (copies.length <= MAX_COPIES) return
  copies.pop()
  moreCopies.count += 1
  moreCopies.bytes += last.bytes
}

/** The number at the end of a tag such as `INSERT 0 5`; null for one without. */
function rowsOf(tag: string): number | null {
  const at = tag.lastIndexOf(' ')
  if (at < 0) return null
  const rows = Number(tag.slice(at + 1))
  return Number.isSafeInteger(rows) ? rows : null
}
