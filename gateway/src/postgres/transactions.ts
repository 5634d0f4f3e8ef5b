// Which transaction a statement belongs to, and what became of it, by what the server answers.
import type { TransactionStep } from './effects/index.ts'

/**
 * `open`: nobody knows yet. `failed`: it can only be rolled back. `prepared`: for two-phase commit. `unknown`: nobody has seen its end, or
 * something in it that has failed may have committed a part of it before.
 */
export type TransactionState = 'open' | 'failed' | 'committed' | 'rolled_back' | 'prepared' | 'unknown'

/** A transaction of a session. */
export type SessionTransaction = {
  /** Its number in the session, from 1. */
  readonly id: number
  state: TransactionState
}

/** Tags of statements that the server takes outside of a transaction only, and commits before it says that they are complete. */
const COMMITTED: ReadonlySet<string> = new Set([
  ...['COMMIT PREPARED', 'ROLLBACK PREPARED', 'VACUUM', 'ALTER SYSTEM', 'DISCARD ALL'],
  ...['CREATE DATABASE', 'DROP DATABASE', 'CREATE TABLESPACE', 'DROP TABLESPACE'],
])

/** The transactions of one session, one after the other. */
export class SessionTransactions {
  #current: SessionTransaction | null = null
  #count = 0
  #hasFailed = false
  /** Whether the client has begun it: then nothing but COMMIT commits any of it. */
  #isBlock = false
  #isInParts = false

  /** The one that is open, or that an implicit one becomes. */
  get current(): SessionTransaction {
    if (this.#current === null) {
      this.#count += 1
      this.#current = { id: this.#count, state: 'open' }
      this.#hasFailed = false
      this.#isBlock = false
      this.#isInParts = false
    }
    return this.#current
  }

  /** Whether the server has said that one is open. */
  get isOpen(): boolean {
    return this.#current !== null
  }

  /** The number of the one that the next statement belongs to, if nothing comes before it. */
  get upcoming(): number {
    return this.#current?.id ?? this.#count + 1
  }

  /** Something in it may commit by itself, as a procedure does, whatever becomes of the rest. */
  mayCommit(): void {
    void this.current
    this.#isInParts ||= !this.#isBlock
  }

  /** A statement is complete. @param tag as CommandComplete has it @returns the transaction that it was part of */
  completed(tag: string, step: TransactionStep | undefined): SessionTransaction {
    const transaction = this.current
    if (step === 'begin') this.#isBlock = true
    if (tag === 'COMMIT' || COMMITTED.has(tag)) this.#end('committed')
    // The tag of ROLLBACK TO is the same: where the parser does not say which it was, the server's next status does.
    else if (tag === 'ROLLBACK' && step === undefined) this.#hasFailed = true
    // COMMIT and PREPARE TRANSACTION have this tag too, where something in the transaction has failed.
    else if (tag === 'ROLLBACK' && step !== 'rollback_to') this.#end('rolled_back')
    else if (tag === 'PREPARE TRANSACTION') this.#end('prepared')
    return transaction
  }

  /** A statement has failed. @returns the transaction that it was part of */
  failed(): SessionTransaction {
    const transaction = this.current
    this.#hasFailed = true
    return transaction
  }

  /** Nobody will see what becomes of it. */
  cutOff(): void {
    this.failed()
    this.#isInParts = true
  }

  /** The server is ready for the next query. @param status its byte: I, T or E @returns the transaction that has ended with that */
  ready(status: string): SessionTransaction | null {
    const transaction = this.#current
    if (status === 'I') {
      if (transaction !== null) this.#end(this.#hasFailed ? this.#undone : 'committed')
      return transaction
    }
    this.current.state = status === 'E' ? 'failed' : 'open'
    this.#hasFailed = status === 'E'
    this.#isBlock = true
    return null
  }

  /** What has become of it where it was not committed to its end. */
  get #undone(): TransactionState {
    return this.#isInParts ? 'unknown' : 'rolled_back'
  }

  /**
   * The session is over.
   * @param isAnswered whether every statement has its answer
   * @param hasSync whether a sync has none, which commits what no BEGIN has begun
   */
  closed(isAnswered: boolean, hasSync: boolean): SessionTransaction | null {
    const transaction = this.#current
    const mayBeCommitted = !isAnswered || (hasSync && !this.#isBlock && !this.#hasFailed)
    if (transaction !== null) this.#end(mayBeCommitted ? 'unknown' : this.#undone)
    return transaction
  }

  #end(state: TransactionState): void {
    if (this.#current !== null) this.#current.state = state
    this.#current = null
  }
}
