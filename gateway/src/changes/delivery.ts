// From events to the spool, many at a time, and back: how far everything is durable.
import type { AuditLog, EventInput } from '@killick/sdk'
import type { Notes, Place, RelationNote } from './notes.ts'

/** Events on their way to the disk at which nothing more is read. */
const MAX_UNDER_WAY = 512
/** And their weight, about bytes of JSON. */
const MAX_WEIGHT = 2 << 20
/** How often a full spool is looked at, ms. */
const FULL_MS = 50

/** What becomes true when an event is durable. */
export type Mark = {
  readonly place?: Place
  readonly relation?: RelationNote
  /** The end of a transaction whose events are all before this. */
  readonly end?: bigint
}

type Entry = { mark: Mark; weight: number; isDurable: boolean }

/**
 * Records events in their order, without waiting for one before the next. After a failure it takes nothing more: what is durable is then
 * a beginning of what was pushed, because the spool fails for everything behind the first that it could not keep.
 */
export class ChangeDelivery {
  /** Everything before it is durable; 0: nothing was ended yet. */
  end = 0n
  /** Events that are durable. */
  recorded = 0
  failure: Error | null = null
  readonly #log: AuditLog
  readonly #notes: Notes
  readonly #spoolBytes: number
  readonly #entries: Entry[] = []
  readonly #unsettled = new Set<Promise<void>>()
  #first = 0
  #weight = 0
  #pushed = 0
  /** One event alone, until the disk has taken one. */
  #isCautious: boolean
  #isSpoolFull = false
  #isAbandoned = false
  #waiting: (() => void)[] = []

  /** @param isCautious whether an attempt before this one has failed */
  constructor(log: AuditLog, notes: Notes, spoolBytes: number, isCautious: boolean) {
    this.#log = log
    this.#notes = notes
    this.#spoolBytes = spoolBytes
    this.#isCautious = isCautious
  }

  /** @param weight about its bytes of JSON */
  push(event: EventInput, mark: Mark, weight: number): void {
    if (this.failure !== null) return
    const entry: Entry = { mark, weight, isDurable: false }
    this.#entries.push(entry)
    this.#weight += weight
    this.#pushed += 1
    const done: Promise<void> = this.#log
      .record(event)
      .then(
        () => this.#durable(entry),
        (error) => this.#failed(error),
      )
      .finally(() => this.#unsettled.delete(done))
    this.#unsettled.add(done)
  }

  /** Says where a transaction ends. */
  ended(end: bigint): void {
    this.#entries.push({ mark: { end }, weight: 0, isDurable: true })
    this.#drain()
  }

  get underWay(): number {
    return this.#entries.length - this.#first
  }

  /** Whether nothing more should be pushed for now. */
  get isFull(): boolean {
    // The size of the spool is a sum over its files.
    if (this.#pushed % 64 === 0) this.#isSpoolFull = this.#log.status.spoolBytes >= this.#spoolBytes
    if (this.#isSpoolFull) return true
    return this.underWay >= (this.#isCautious ? 1 : MAX_UNDER_WAY) || this.#weight >= MAX_WEIGHT
  }

  /** Nothing more is pushed: whoever waits for room need not. */
  abandon(): void {
    this.#isAbandoned = true
    this.#wake()
  }

  /** Resolves when there is room, or nobody needs it any more. @throws what could not be recorded */
  async room(): Promise<void> {
    while (this.isFull && this.failure === null && !this.#isAbandoned) {
      if (this.#isSpoolFull) {
        await new Promise((resolve) => setTimeout(resolve, FULL_MS))
        this.#isSpoolFull = this.#log.status.spoolBytes >= this.#spoolBytes
      } else await this.#next()
    }
    if (this.failure !== null) throw this.failure
  }

  /** Resolves when everything pushed is durable. @throws what could not be recorded */
  async settled(): Promise<void> {
    while (this.underWay > 0 && this.failure === null) await this.#next()
    if (this.failure !== null) throw this.failure
  }

  /** Resolves when nothing is on its way to the disk any more, recorded or not. */
  async quiet(): Promise<void> {
    await Promise.allSettled(this.#unsettled)
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #durable(entry: Entry): void {
    entry.isDurable = true
    this.recorded += 1
    this.#isCautious = false
    this.#drain()
    this.#wake()
  }

  /** Only in order: a place says that everything before it is durable too. */
  #drain(): void {
    while (this.#first < this.#entries.length && this.#entries[this.#first]!.isDurable) {
      const { mark, weight } = this.#entries[this.#first]!
      this.#first += 1
      this.#weight -= weight
      if (mark.place) this.#notes.reached(mark.place)
      if (mark.relation) this.#notes.note({ relation: mark.relation })
      if (mark.end !== undefined) this.end = mark.end
    }
    if (this.#first > 4 * MAX_UNDER_WAY || this.#first === this.#entries.length) this.#entries.splice(0, this.#first)
    else return
    this.#first = 0
  }

  #failed(error: unknown): void {
    this.failure ??= error as Error
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
