// The stream on disk between record() and the log's acceptance: events, signed batch headers, acceptances. Events are signed and
// chained before they get here, so an edited spool is noticed, here or at the service.
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { BatchHeader } from '../core/batch.ts'
import { InvariantError, KillickError } from '../core/errors.ts'
import { endsStream, parseEvent } from '../core/event.ts'
import { type Fork, printFork } from '../core/fork.ts'
import { printHash } from '../core/hash.ts'
import type { PublicJwk } from '../core/jwk.ts'
import type { KeptReceipt } from '../core/receipt.ts'
import { lockDirectory } from '../node/lock.ts'
import type { SignedEvent, StreamPlace } from './capture.ts'
import { Journal, orSpoolError } from './journal.ts'
import { Replay } from './replay.ts'
import { readFrames } from './segment.ts'
import { findEvidence, keepEvidence, ShownFiles } from './shown-files.ts'
import { applyChange, freshState, type JournalChange, type LogPin, printLine, printState, type State } from './state.ts'

export type SpoolOptions = {
  dir: string
  source: string
  /** The key in use. Opening a spool again checks its signatures. */
  key: PublicJwk
  /** Bytes on disk at which record() waits. One more event, batch headers and acceptances may still exceed it. */
  maxBytes: number
  /** Whether the calling thread waits for the disk. */
  waits?: boolean | undefined
  /** How long what the log has accepted may stay in a file that more is written to, ms. Default 600,000. */
  acceptedMs?: number | undefined
  /** Called after every durable group of lines. */
  onDurable?: () => void
  /** Called while opening, with every event that is found. */
  onFound?: (event: string) => void
  /** Called when a file whose events the log has accepted could not be removed. That is tried again after the next acceptance. */
  onUnremoved?: (error: Error) => void
}

/** What recorder and sender need of a spool, on a disk or not. */
export type EventStore = Pick<
  Spool,
  | 'state'
  | 'open'
  | 'fork'
  | 'isLeftOpen'
  | 'unbatchedBytes'
  | 'bytes'
  | 'place'
  | 'hasRoom'
  | 'room'
  | 'append'
  | 'read'
  | 'openBatch'
  | 'accept'
  | 'shown'
  | 'keepFork'
  | 'close'
>

const MAX_SEGMENT_BYTES = 8 << 20
// How many bytes may wait for the disk in memory: a slow disk slows record() down and does not fill the memory.
const MAX_QUEUED_BYTES = 8 << 20
// A drained spool smaller than this keeps its segment: a new one costs three syncs.
const COMPACT_BYTES = 1 << 20
// A ledger may be told to forget what it has accepted; a copy here must not outlive that for long.
const ACCEPTED_MS = 600_000

export class Spool {
  /** The state that is durable. */
  state: State
  /** The batch that is signed but not accepted. */
  open: BatchHeader | null = null
  /** Bytes of durable events that are in no batch yet, about. */
  unbatchedBytes = 0
  /** File with evidence that the log has forked, if an earlier run found some. */
  fork: string | null = null
  /** Whether the files held events when they were opened, the last of which does not end the stream: nobody has closed it. */
  isLeftOpen = false
  readonly #options: SpoolOptions
  readonly #shown: ShownFiles
  readonly #journal: Journal<JournalChange>
  readonly #unlock: () => void
  #head: { seq: number; prev: string | null }
  /** First `seq` of each segment, by its number. */
  readonly #startOf = new Map<number, number>()
  /** Where reading stopped: the next event of that segment after `offset` has this `seq`. */
  #cursor = { segment: 0, offset: 0, seq: 0 }
  readonly #unremoved = (error: Error): void => this.#options.onUnremoved?.(error)
  #waiters: (() => void)[] = []
  /** When the active segment was begun, or found, on performance.now()'s clock. */
  #begun = performance.now()
  #aging: NodeJS.Timeout | undefined

  private constructor(options: SpoolOptions, unlock: () => void) {
    this.#options = options
    this.#shown = new ShownFiles(options.dir)
    this.#unlock = unlock
    this.state = freshState(options.source, randomUUID())
    this.#head = this.state
    this.#journal = new Journal(options.dir, {
      segmentBytes: Math.min(MAX_SEGMENT_BYTES, Math.ceil(options.maxBytes / 8)),
      waits: options.waits === true,
      state: () => printState(this.state),
      onDurable: (changes) => {
        for (const change of changes) this.#apply(change)
        this.#wake()
        options.onDurable?.()
      },
      onRollback: () => {
        this.#head = this.state
        this.#wake()
      },
      onBegin: (number) => {
        this.#startOf.set(number, this.state.seq)
        this.#begun = performance.now()
        this.#removeAccepted().catch(this.#unremoved)
      },
    })
  }

  /**
   * Opens or creates the spool in `dir` and continues the stream found there.
   * @throws KillickError `spool_locked`, `spool_corrupt` (with file and offset), `spool_failed`, `spool_disk_full`,
   * `option_invalid` if it is another source's.
   */
  static open(options: SpoolOptions): Promise<Spool> {
    return orSpoolError(options.dir, async () => {
      await makeFolder(options.dir)
      const spool = new Spool(options, await lockDirectory(options.dir))
      try {
        await spool.#recover()
        return spool
      } catch (error) {
        await spool.#release()
        throw error
      }
    })
  }

  get bytes(): number {
    return this.#journal.bytes
  }

  /** Where the next event goes. */
  get place(): StreamPlace {
    return { source: this.state.source, stream: this.state.stream, seq: this.#head.seq, prev: this.#head.prev }
  }

  hasRoom(): boolean {
    const journal = this.#journal
    return !journal.full && journal.queuedBytes < MAX_QUEUED_BYTES && journal.bytes < this.#options.maxBytes
  }

  /** Waits for room until `deadline` (on performance.now()'s clock). @throws KillickError `spool_full`, `spool_disk_full`. */
  async room(deadline: number): Promise<void> {
    while (!this.hasRoom()) {
      const left = deadline - performance.now()
      if (this.#journal.full) await this.#journal.probe()
      else if (left > 0) await this.#change(left)
      else throw this.#fullError()
    }
  }

  /** Stores an event; resolves when it is durable. False if it was signed for another place than the current one. */
  append(placed: SignedEvent): Promise<void> | false {
    if (placed.seq !== this.#head.seq || placed.prev !== this.#head.prev) return false
    const { token, seq, leafHash } = placed
    this.#head = { seq: seq + 1, prev: leafHash }
    return this.#journal.append('E', token, { kind: 'E', seq, leafHash, bytes: token.length })
  }

  /**
   * The durable events from `seq` on, at least one, and at most `maxEvents` and `maxBytes`. Reading goes forward: `seq` must be
   * at least what it was last time.
   */
  async read(seq: number, maxEvents: number, maxBytes: number): Promise<string[]> {
    const tokens: string[] = []
    let bytes = 0
    const segments = this.#journal.segments.filter(({ number }) => (this.#startOf.get(number + 1) ?? Infinity) > seq)
    for (const { number, file, bytes: size } of segments.map((segment) => ({ ...segment }))) {
      const isCursor = number === this.#cursor.segment
      let at = isCursor ? this.#cursor.seq : this.#startOf.get(number)!
      for await (const frames of readFrames(file, isCursor ? this.#cursor.offset : 0, size)) {
        for (const { kind, text, end } of frames) {
          if (kind !== 'E') continue
          if (at >= seq) {
            bytes += text.length + 1
            if (tokens.length === maxEvents || (tokens.length > 0 && bytes > maxBytes)) return tokens
            tokens.push(text)
          }
          at += 1
          if (at <= seq) this.#cursor = { segment: number, offset: end, seq: at }
        }
      }
    }
    return tokens
  }

  /** Makes a signed header durable. Only then may it be sent: another header for the same events would be equivocation. */
  async openBatch(header: BatchHeader): Promise<void> {
    if (this.open || header.seq !== this.state.batched) throw new InvariantError(`batch ${header.seq} is out of turn`)
    const change = { kind: 'B', end: header.seq + header.n, headerHash: printHash(header.leafHash) } as const
    await this.#journal.append('B', header.text, change)
    this.open = header
  }

  /**
   * Records that the log accepted the open batch, with the receipt and the key that checked it, and frees the space of the batch.
   */
  async accept(receipt: KeptReceipt, log: LogPin): Promise<void> {
    if (receipt.header !== this.open?.text) throw new InvariantError('the receipt is not for the open batch')
    await this.#journal.append('A', printLine({ receipt, log }), { kind: 'A', receipt, log })
    this.open = null
    const isDrained = this.state.accepted === this.#head.seq
    const isTight = this.#journal.full || this.bytes >= this.#options.maxBytes
    if (isDrained && (isTight || this.#journal.active.bytes >= COMPACT_BYTES)) this.#journal.rotate()
    else this.#age()
    this.#shown.show(this.state)
    // It is accepted, whatever becomes of its file.
    await this.#removeAccepted().catch(this.#unremoved)
  }

  /** Resolves when the files for other tools show the newest acceptance. */
  shown(): Promise<void> {
    return this.#shown.settled()
  }

  /**
   * Stores evidence that the log has forked. A spool that holds evidence never sends anything again.
   * @returns its file, durable
   */
  keepFork(fork: Fork): Promise<string> {
    return keepEvidence(this.#options.dir, printFork(fork))
  }

  /** Begins a new segment once the active one is old, so that what is accepted of it can be removed. */
  #age(): void {
    const left = this.#begun + (this.#options.acceptedMs ?? ACCEPTED_MS) - performance.now()
    if (left <= 0) this.#journal.rotate()
    else
      this.#aging ??= setTimeout(() => {
        this.#aging = undefined
        if (this.state.accepted > this.#startOf.get(this.#journal.active.number)!) this.#age()
      }, left).unref()
  }

  /** Waits for writes under way and releases the lock. If everything is accepted, only the stream's state stays on disk. */
  async close(): Promise<void> {
    await this.#journal.settled()
    if (this.state.seq > 0 && this.state.accepted === this.state.seq) this.#journal.rotate()
    await this.#journal.settled()
    await this.#shown.settled()
    await orSpoolError(this.#options.dir, () => this.#removeAccepted()).finally(() => this.#release())
  }

  async #release(): Promise<void> {
    clearTimeout(this.#aging)
    await this.#journal.close()
    this.#wake()
    this.#unlock()
  }

  async #recover(): Promise<void> {
    const replay = new Replay(this.#options.source, this.#options.key)
    let last: string | null = null
    await this.#journal.open((frame, segment, first) => {
      const change = replay.line(frame, segment.file, first)
      if (first) {
        this.state = replay.state
        this.#startOf.set(segment.number, replay.state.seq)
      }
      if (change) this.#apply(change)
      if (change?.kind !== 'E') return
      last = frame.text
      this.#options.onFound?.(frame.text)
    })
    this.open = replay.end()
    this.isLeftOpen = last !== null && !endsStream(parseEvent(last))
    this.#head = this.state
    this.fork = findEvidence(this.#options.dir)
    if (this.state.accepted > this.#startOf.get(this.#journal.active.number)!) this.#age()
    this.#shown.show(this.state)
  }

  #apply(change: JournalChange): void {
    const { seq, batched } = this.state
    if (change.kind === 'E') this.unbatchedBytes += change.bytes
    if (change.kind === 'B') this.unbatchedBytes *= (seq - change.end) / (seq - batched)
    this.state = applyChange(this.state, change)
  }

  async #removeAccepted(): Promise<void> {
    const closed = this.#journal.segments.slice(0, -1)
    const isNeeded = ({ number }: { number: number }) => this.#startOf.get(number + 1)! > this.state.accepted
    const firstNeeded = closed.findIndex(isNeeded)
    const gone = firstNeeded < 0 ? closed : closed.slice(0, firstNeeded)
    const last = gone.at(-1)
    if (last === undefined) return
    await this.#journal.remove(last.number)
    this.#wake()
  }

  #fullError(): KillickError {
    const waiting = this.state.seq - this.state.accepted
    const { maxBytes } = this.#options
    return new KillickError(
      'spool_full',
      `The spool has reached its limit of ${maxBytes} bytes, and ${waiting} events in it still wait for the log; the event was not recorded`,
      { maxBytes, waiting },
    )
  }

  /** Resolves when something was written, removed or undone, or after `ms`. */
  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#waiters.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}

/** Makes the folder with those above it. On a file system that is read-only, Node says of that only that something is not there. */
async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && path !== undefined) await mkdir(path, { mode: 0o700 }).catch(throwReadOnly)
    throw error
  }
}

function throwReadOnly(error: NodeJS.ErrnoException): void {
  if (error.code === 'EROFS') throw error
}
