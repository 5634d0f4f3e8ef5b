// record() makes a draft at the call, gives it a place in the stream and a signature in the order of the calls, and resolves when
// the event is on disk.
import { KillickError } from '../core/errors.ts'
import type { Signer } from '../core/signature.ts'
import { type Draft, draftEvent, type PlacedEvent, placeEvent } from './capture.ts'
import { saltText, uuidv7 } from './random.ts'
import type { EventStore } from './spool.ts'

/**
 * A durable event. `id`: its UUIDv7. `leafHash`: its cryptographic identity, 43 characters of base64url. `seq`: its place in the
 * stream, from 0.
 */
export type Recorded = { id: string; leafHash: string; seq: number }

type Stored = { placed: PlacedEvent; durable: Promise<void> }
type Waiting = { draft: Draft; deadline: number; resolve: (stored: Stored) => void; reject: (error: unknown) => void }

export type RecorderOptions = {
  spool: EventStore
  /** Null for unsigned events. */
  signer: Signer | null
  /** Names of fields beyond those of the protocol. */
  fields: ReadonlySet<string>
  /** How long a call may wait for room in the spool. */
  waitMs: number
  /** Called for every call that was rejected. */
  onRejected?: (error: Error) => void
  /** Where times and names are from; default: the clock and random bytes. */
  mint?: Minting | undefined
}

/** What each event gets from outside: the time, ms since 1970, and a name for it. */
export type Minting = { now: () => number; id: (time: number) => string }

// The wall clock as it is. Order comes from `seq`, so a jump of the clock does not break the stream, and is not hidden.
const SYSTEM_MINT: Minting = { now: () => Date.now(), id: uuidv7 }

// How many calls may wait for room or for a slow signer, each with its event in memory. Beyond this record() refuses at once.
const MAX_WAITING = 10_000

export class Recorder {
  /** Calls of record() that were rejected: their events are not recorded. */
  rejected = 0
  /** Calls that were answered. */
  recorded = 0
  readonly #spool: EventStore
  readonly #signer: Signer | null
  readonly #fields: ReadonlySet<string>
  readonly #waitMs: number
  readonly #waiting: Waiting[] = []
  #serving = false
  #isPrompt = true
  #latest: Promise<unknown> = Promise.resolve()
  #closed = false
  readonly #onRejected: (error: Error) => void
  readonly #mint: Minting

  constructor({ spool, signer, fields, waitMs, onRejected, mint = SYSTEM_MINT }: RecorderOptions) {
    this.#spool = spool
    this.#signer = signer
    this.#fields = fields
    this.#waitMs = waitMs
    this.#mint = mint
    this.#onRejected = (error) => {
      this.rejected += 1
      onRejected?.(error)
    }
  }

  /**
   * Resolves when the event is signed, chained and durable. A rejection that nobody awaits does not end the process: the recorder
   * counts it and calls `onRejected`.
   */
  record(input: unknown): Promise<Recorded> {
    const answer = this.#closed ? Promise.reject(new KillickError('log_closed')) : this.#record(input)
    answer.catch(this.#onRejected)
    return answer
  }

  async #record(input: unknown): Promise<Recorded> {
    const time = this.#mint.now()
    const draft = draftEvent(input, { id: this.#mint.id(time), time, salt: saltText }, this.#fields)
    const stored = this.#storeNow(draft) ?? this.#storeInTurn(draft)
    this.#latest = stored instanceof Promise ? stored.then((it) => it.durable) : stored.durable
    this.#latest.catch(() => {})
    const { placed, durable } = await stored
    await durable
    this.recorded += 1
    return { id: draft.id, leafHash: placed.leafHash, seq: placed.seq }
  }

  /** Resolves when every call made so far has been answered. */
  async settled(): Promise<void> {
    await this.#latest.catch(() => {})
  }

  /** Refuses further calls; calls under way go on. */
  close(): Promise<void> {
    this.#closed = true
    return this.settled()
  }

  /** Refuses further calls, and records one more event behind those under way. */
  async end(last: unknown): Promise<void> {
    await this.close()
    await this.#record(last).catch(this.#onRejected)
  }

  /** The usual, synchronous way: nobody waits, there is room, the signer answers at once. */
  #storeNow(draft: Draft): Stored | null {
    if (!this.#isPrompt || this.#serving || !this.#spool.hasRoom()) return null
    const placed = placeEvent(draft, this.#spool.place, this.#signer)
    if (placed instanceof Promise) {
      // A signer that is slow once may be slow again. This signature is wasted, but the event is not lost: it waits its turn.
      this.#isPrompt = false
      placed.catch(() => {})
      return null
    }
    return this.#append(placed)
  }

  #storeInTurn(draft: Draft): Promise<Stored> {
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.reject(new KillickError('spool_full', `${MAX_WAITING} calls of record() are waiting already`))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ draft, deadline: performance.now() + this.#waitMs, resolve, reject })
      if (!this.#serving) this.#serve()
    })
  }

  async #serve(): Promise<void> {
    this.#serving = true
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      try {
        let stored: Stored | null = null
        while (!stored) {
          await this.#spool.room(next.deadline)
          stored = this.#append(await placeEvent(next.draft, this.#spool.place, this.#signer))
        }
        next.resolve(stored)
      } catch (error) {
        next.reject(error)
      }
      this.#waiting.shift()
    }
    this.#serving = false
  }

  /** Null if a failed write has moved the head of the stream back since the event was signed. */
  #append(placed: PlacedEvent): Stored | null {
    const durable = this.#spool.append(placed)
    return durable ? { placed, durable } : null
  }
}
