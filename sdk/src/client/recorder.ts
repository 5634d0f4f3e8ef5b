// record() makes a draft at the call, gives it a place in the stream and a signature in the order of the calls, and resolves when
// the event is on disk.
import { inspect } from 'node:util'
import { KillickError } from '../core/errors.ts'
import { nearestTime } from '../core/event.ts'
import { checkEventInput } from '../core/fields.ts'
import { knownOptions } from '../core/options.ts'
import type { Signer } from '../core/signature.ts'
import { type Draft, draftEvent, draftOf, placeEvent, type SignedEvent } from './capture.ts'
import { saltText, uuidv7 } from './random.ts'
import { RECORD_OPTIONS, type RecordOptions, type Sealer, sealedNames } from './sealer.ts'
import type { EventStore } from './spool.ts'

/**
 * A durable event. `id`: its UUIDv7. `leafHash`: its cryptographic identity, 43 characters of base64url. `seq`: its place in the
 * stream, from 0.
 */
export type Recorded = { id: string; leafHash: string; seq: number }

type DraftMint = { id: string; time: number; salt: () => string }
type Stored = { placed: SignedEvent; durable: Promise<void> }
type Waiting = { draft: Draft; deadline: number; resolve: (stored: Stored) => void; reject: (error: unknown) => void }

export type RecorderOptions = {
  spool: EventStore
  /** Null for unsigned events. */
  signer: Signer | null
  /** Names of fields beyond those of the protocol. */
  fields: ReadonlySet<string>
  /** Who seals, and which fields of every event. Default null: nobody, nothing. */
  sealing?: { sealer: Sealer; names: ReadonlySet<string> } | null
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
  #lastAt = Number.NEGATIVE_INFINITY
  readonly #spool: EventStore
  readonly #signer: Signer | null
  readonly #fields: ReadonlySet<string>
  readonly #waitMs: number
  readonly #waiting: Waiting[] = []
  #serving = false
  #isPrompt = true
  #latest: Promise<unknown> = Promise.resolve()
  /** How many events are being sealed, and when the last of them has its turn; it never rejects. */
  #beingSealed = 0
  #turn: Promise<unknown> = Promise.resolve()
  readonly #sealing: NonNullable<RecorderOptions['sealing']> | null
  #closed = false
  #hasGivenUp = false
  readonly #onRejected: (reason: unknown) => void
  readonly #mint: Minting

  constructor({ spool, signer, fields, sealing = null, waitMs, onRejected, mint = SYSTEM_MINT }: RecorderOptions) {
    this.#spool = spool
    this.#signer = signer
    this.#fields = fields
    this.#sealing = sealing
    this.#waitMs = waitMs
    this.#mint = mint
    this.#onRejected = (reason) => {
      this.rejected += 1
      // A signer or sealer of the application may reject with anything, null included.
      onRejected?.(reason instanceof Error ? reason : new Error(`rejected with ${inspect(reason)}`))
    }
  }

  /**
   * Resolves when the event is signed, chained and durable. A rejection that nobody awaits does not end the process: the recorder
   * counts it and calls `onRejected`.
   */
  record(input: unknown, options?: RecordOptions): Promise<Recorded> {
    const answer = this.#closed ? Promise.reject(new KillickError('log_closed')) : this.#record(input, options)
    answer.catch(this.#onRejected)
    return answer
  }

  async #record(input: unknown, options?: RecordOptions): Promise<Recorded> {
    const mint = this.#mintEvent()
    const { sealed = [], subject } = knownOptions(options, RECORD_OPTIONS)
    const more = sealedNames(sealed, this.#fields)
    if (this.#sealing !== null) return this.#recordSealed(this.#sealing, input, mint, more, subject)
    if (more.size > 0)
      throw new KillickError('option_invalid', 'Option sealing is missing; sealed needs it', { option: 'sealing' })
    return this.#keep(mint.id, this.#store(draftEvent(input, mint, this.#fields)))
  }

  async #recordSealed(
    { sealer, names }: NonNullable<RecorderOptions['sealing']>,
    input: unknown,
    mint: DraftMint,
    more: ReadonlySet<string>,
    subject: RecordOptions['subject'],
  ): Promise<Recorded> {
    // Copies of the values at the call, whatever the caller does with the input meanwhile.
    const fields = checkEventInput(input, this.#fields)
    if (this.#beingSealed >= MAX_WAITING)
      throw new KillickError('spool_full', `${MAX_WAITING} calls of record() wait for keys already`)
    this.#beingSealed += 1
    const sealing = sealer.seal({ id: mint.id, fields }, new Set([...names, ...more]), subject)
    const earlier = this.#turn
    // Each waits for those before it, so that events keep the order of the calls, however long a key takes. What is stored is wrapped,
    // since the next one waits only until this one has its place in the queue.
    const turn = Promise.all([sealing, earlier]).then(([them]) => ({
      stored: this.#store(draftOf(them, mint)),
    }))
    this.#turn = turn.then(
      () => {},
      () => earlier,
    )
    const stored = turn.finally(() => (this.#beingSealed -= 1)).then((it) => it.stored)
    return this.#keep(mint.id, stored)
  }

  #mintEvent(): DraftMint {
    const time = nearestTime(this.#mint.now())
    return { id: this.#mint.id(time), time, salt: saltText }
  }

  #store(draft: Draft): Stored | Promise<Stored> {
    return this.#storeNow(draft) ?? this.#storeInTurn(draft)
  }

  async #keep(id: string, stored: Stored | Promise<Stored>): Promise<Recorded> {
    const calledAt = performance.now()
    const isDurable = stored instanceof Promise ? stored.then((it) => it.durable) : stored.durable
    // One that is refused while its key is awaited may be answered before those that were called before it.
    this.#latest = this.#sealing === null ? isDurable : Promise.allSettled([this.#latest, isDurable])
    this.#latest.catch(() => {})
    const { placed, durable } = await stored
    await durable
    this.recorded += 1
    this.#lastAt = Math.max(this.#lastAt, calledAt)
    return { id, leafHash: placed.leafHash, seq: placed.seq }
  }

  /** How long ago the last call was made that recorded something, by a clock that never goes back, ms. */
  get idleMs(): number {
    return performance.now() - this.#lastAt
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

  /** Refuses the calls that wait for room or for a signer: from now on nothing is waited for but the disk. */
  giveUp(): void {
    this.#hasGivenUp = true
    for (const { reject } of this.#waiting.splice(0)) reject(givenUp())
  }

  /** Refuses further calls, and records one more event behind those under way. */
  async end(last: unknown): Promise<void> {
    await this.close()
    await this.#own(last).catch(this.#onRejected)
  }

  /** Records an event of the recorder's own, of which nothing is sealed; otherwise as `record`. */
  own(input: unknown): Promise<Recorded> {
    const answer = this.#closed ? Promise.reject(new KillickError('log_closed')) : this.#own(input)
    answer.catch(this.#onRejected)
    return answer
  }

  async #own(input: unknown): Promise<Recorded> {
    const mint = this.#mintEvent()
    return this.#keep(mint.id, this.#store(draftEvent(input, mint, this.#fields)))
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
    if (this.#hasGivenUp) throw givenUp()
    // Thrown, so that it is answered at once and nobody takes it for the newest of those that wait.
    if (this.#waiting.length >= MAX_WAITING)
      throw new KillickError('spool_full', `${MAX_WAITING} calls of record() are waiting already`)
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
          const placed = await placeEvent(next.draft, this.#spool.place, this.#signer)
          // Its call was refused meanwhile.
          if (this.#hasGivenUp) return
          stored = this.#append(placed)
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
  #append(placed: SignedEvent): Stored | null {
    const durable = this.#spool.append(placed)
    return durable ? { placed, durable } : null
  }
}

const givenUp = (): KillickError =>
  new KillickError('log_closed', 'The audit log was closed before the event was signed and stored')
