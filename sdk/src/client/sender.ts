// Reads the spool behind the recorder: cuts batches, signs their headers, sends them one after another, and has the spool forget
// what the log has provably accepted. Order matters within a stream, so only one batch is on the way at a time.
import { type BatchHeader, MAX_BATCH_BYTES, parseBatchHeader, signBatchHeader } from '../core/batch.ts'
import { equalBytes } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { nearestTime } from '../core/event.ts'
import type { Fork } from '../core/fork.ts'
import { type Hash, parseHash } from '../core/hash.ts'
import { treeRoot } from '../core/merkle.ts'
import type { Receipt } from '../core/receipt.ts'
import type { Signer } from '../core/signature.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { leafHashOf } from './capture.ts'
import { type Admission, admitReceipt, type Door, forkOfGap } from './receipt.ts'
import type { EventStore } from './spool.ts'
import { compressBatch, type Delivery, postBatch, type TransportOptions } from './transport.ts'

/** A batch is sent as soon as one of these limits is reached. */
export type BatchLimits = {
  /** Number of events that wait; default 1,000, at most 10,000. */
  maxEvents: number
  /** Their bytes; default 1 MiB, at most 15 MiB. */
  maxBytes: number
  /** How long the oldest has waited, in ms; default 1,000. */
  maxAgeMs: number
}

export type SenderOptions = {
  spool: EventStore
  signer: Signer
  limits: BatchLimits
  transport: TransportOptions
  logKey: string | undefined
  /** Called for every failed attempt. */
  onError: (error: Error) => void
  /** Called when the recorder has taken the log's key from the service, with the first receipt. */
  onPin: (logKey: string) => void
  /** The time at which a batch is closed, ms since 1970; default: the clock. */
  now?: (() => number) | undefined
}

type Flush = {
  end: number
  receipts: Receipt[]
  resolve: (receipts: Receipt[]) => void
  reject: (error: Error) => void
}
type SignedBatch = { header: BatchHeader; body: Buffer }

const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 30_000
/** After a refusal somebody must act, such as register a key; earlier attempts would only be noise. */
const REFUSED_RETRY_MS = 60_000
/** The stream's history and the log's contradict each other: sending more cannot mend that, and may hide it. */
const CONTRADICTIONS = new Set(['equivocation', 'stream_fork'])

export class Sender {
  state: 'idle' | 'sending' | 'waiting' | 'refused' | 'halted' = 'idle'
  retries = 0
  batches = 0
  lastError: Error | null = null
  readonly #options: SenderOptions
  readonly #stop = new AbortController()
  readonly #flushes = new Set<Flush>()
  #hold: NodeJS.Timeout | undefined
  #dueAt = Number.POSITIVE_INFINITY
  #wake: () => void = () => {}
  #running: Promise<void> = Promise.resolve()

  constructor(options: SenderOptions) {
    this.#options = options
  }

  start(): void {
    const { fork } = this.#options.spool
    if (fork !== null) {
      this.#halt(forkedBefore(fork))
      return
    }
    // Events that an earlier run left behind are sent at once.
    this.#dueAt = 0
    this.#running = this.#run()
  }

  /** Call this when events have become durable. */
  notice(): void {
    const { spool, limits } = this.#options
    if (this.#dueAt === Number.POSITIVE_INFINITY) {
      this.#dueAt = performance.now() + limits.maxAgeMs
      if (this.state === 'idle') this.#wake()
    } else if (this.state === 'idle' && this.#isFull(spool)) this.#wake()
  }

  /**
   * Sends at once what is before place `end`, by default everything that is durable now.
   * @param isAwaited whether a process that has nothing else to do stays for it
   * @param signal ends the wait: in a long outage nothing may stay of those who gave up
   * @throws KillickError the service's refusal, or `log_closed`; the signal's reason
   */
  flush(end = this.#options.spool.state.seq, isAwaited = true, signal?: AbortSignal): Promise<Receipt[]> {
    const { spool } = this.#options
    if (this.state === 'halted') return Promise.reject(this.lastError)
    if (spool.state.accepted >= end) return Promise.resolve([])
    if (this.#stopped) return Promise.reject(closedBefore())
    if (signal?.aborted) return Promise.reject(signal.reason)
    // A process that waits for flush() must not end, and the next attempt's timer does not keep it alive.
    if (isAwaited) this.#hold ??= setInterval(() => {}, 60_000)
    const { promise, resolve, reject } = Promise.withResolvers<Receipt[]>()
    const flush = { end, receipts: [], resolve, reject }
    const giveUp = () => {
      this.#flushes.delete(flush)
      this.#release()
      reject(signal!.reason)
    }
    this.#flushes.add(flush)
    if (this.state === 'idle' || this.state === 'refused') this.#wake()
    if (signal === undefined) return promise
    signal.addEventListener('abort', giveUp)
    return promise.finally(() => signal.removeEventListener('abort', giveUp))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#wake()
    await this.#running
    this.#failFlushes(closedBefore())
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted
  }

  async #run(): Promise<void> {
    while (!this.#stopped && this.state !== 'halted') {
      try {
        if (this.#options.spool.open || (await this.#due())) await this.#deliver(await this.#nextBatch())
      } catch (error) {
        if (error instanceof KillickError && error.code === 'spool_corrupt') this.#halt(error)
        // The disk may be full, or the signer away; nothing has changed.
        else if (!this.#stopped) await this.#failed(error as Error, 'waiting', FIRST_RETRY_MS * 5)
      }
    }
  }

  #isFull(spool: EventStore): boolean {
    const { limits } = this.#options
    return spool.state.seq - spool.state.batched >= limits.maxEvents || spool.unbatchedBytes >= limits.maxBytes
  }

  /** Waits until a batch is due or something else has changed. */
  async #due(): Promise<boolean> {
    const { spool } = this.#options
    const waiting = spool.state.seq - spool.state.batched
    if (waiting === 0) this.#dueAt = Number.POSITIVE_INFINITY
    else if (this.#flushes.size > 0 || this.#isFull(spool) || performance.now() >= this.#dueAt) return true
    this.state = 'idle'
    await this.#sleep(this.#dueAt - performance.now())
    return false
  }

  /** The open batch as it was signed, or a new one that is durable before it is sent. */
  async #nextBatch(): Promise<SignedBatch> {
    this.state = 'sending'
    const { spool, limits, transport } = this.#options
    const { open, state } = spool
    const tokens = open
      ? await spool.read(open.seq, open.n, MAX_BATCH_BYTES)
      : await spool.read(state.batched, limits.maxEvents, limits.maxBytes)
    const leaves = tokens.map((token) => parseHash(leafHashOf(token.slice(0, token.indexOf('~'))))!)
    const root = treeRoot(leaves, nodePrimitives.nodeHash)
    const header = open ?? (await this.#signHeader(tokens.length, root))
    if (tokens.length !== header.n || !equalBytes(root, header.root))
      throw new KillickError(
        'spool_corrupt',
        `The spool is damaged: the events of the batch at ${header.seq} are not the ones it was signed for`,
      )
    if (!open) await spool.openBatch(header)
    this.#dueAt = spool.state.seq > spool.state.batched ? performance.now() + limits.maxAgeMs : Number.POSITIVE_INFINITY
    return { header, body: await compressBatch(header.text, tokens, transport.compression) }
  }

  async #signHeader(n: number, root: Hash): Promise<BatchHeader> {
    const { spool, signer, now = Date.now } = this.#options
    const { source, stream, batched: seq, batchPrev } = spool.state
    const prev = batchPrev === null ? undefined : parseHash(batchPrev)!
    const time = nearestTime(now())
    return parseBatchHeader(
      await this.#unlessStopped(signBatchHeader({ source, stream, seq, n, root, prev, time }, signer)),
    )
  }

  /** A signer may never answer. @throws KillickError `log_closed` */
  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#stop
    let stop = () => {}
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(closedBefore())
    })
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    try {
      return await Promise.race([work, stopped])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Sends one batch again and again, until the log has it or it is clear that the log never will. */
  async #deliver({ header, body }: SignedBatch): Promise<void> {
    for (let attempt = 0; !this.#stopped; attempt++) {
      this.state = 'sending'
      const outcome = await this.#send(header, body)
      if (this.#stopped && outcome.kind === 'later') return
      if (outcome.kind === 'accepted') return this.#accept(outcome)
      if (outcome.kind === 'forked') return this.#halt(await this.#keepFork(outcome.fork))
      if (outcome.kind === 'later') {
        const backOff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)
        await this.#failed(outcome.error, 'waiting', Math.max(outcome.retryAfterMs, backOff))
      } else if ('problem' in outcome && CONTRADICTIONS.has(outcome.problem)) {
        return this.#halt(outcome.error)
      } else await this.#refused(outcome.error)
    }
  }

  async #send(header: BatchHeader, body: Buffer): Promise<Admission | Extract<Delivery, { kind: 'refused' }>> {
    const { spool, logKey, transport } = this.#options
    const outcome = await postBatch(body, transport, this.#stop.signal)
    const door: Door = { state: spool.state, logKey, transport, signal: this.#stop.signal }
    if (outcome.kind === 'accepted') return admitReceipt(outcome.body, header, door)
    if (outcome.kind === 'refused' && isLoss(outcome, spool.state.accepted)) {
      const fork = await forkOfGap(outcome.error, door)
      if (fork) return { kind: 'forked', fork }
    }
    return outcome
  }

  async #accept({ receipt, log }: Extract<Admission, { kind: 'accepted' }>): Promise<void> {
    const { spool, onPin } = this.#options
    const isFirst = spool.state.log === null
    await spool.accept(receipt, log)
    if (isFirst && log.by === 'first_use') onPin(log.key)
    this.batches += 1
    this.lastError = null
    const { header: _, ...given } = receipt
    for (const flush of this.#flushes) flush.receipts.push(given)
    for (const flush of this.#flushes) {
      if (flush.end > spool.state.accepted) continue
      this.#flushes.delete(flush)
      flush.resolve(flush.receipts)
    }
    this.#release()
  }

  /** Makes evidence durable before anybody hears of it. */
  async #keepFork(fork: Fork): Promise<KillickError> {
    try {
      return forked(fork, await this.#options.spool.keepFork(fork))
    } catch (error) {
      return forked(fork, null, error as Error)
    }
  }

  /** Sends nothing more until somebody has looked; recording goes on. */
  #halt(error: KillickError): void {
    this.state = 'halted'
    this.#note(error)
    this.#failFlushes(error)
  }

  /** The events stay and recording goes on, but callers of flush() learn of the refusal now. */
  async #refused(error: Error): Promise<void> {
    this.#failFlushes(error)
    await this.#failed(error, 'refused', REFUSED_RETRY_MS)
  }

  async #failed(error: Error, state: 'waiting' | 'refused', waitMs: number): Promise<void> {
    this.#note(error)
    this.retries += 1
    this.state = state
    // Jitter, so that many recorders do not come back at once; never sooner than the service asked.
    await this.#sleep(waitMs * (1 + Math.random() / 2))
  }

  #note(error: Error): void {
    this.lastError = error
    this.#options.onError(error)
  }

  #failFlushes(error: Error): void {
    for (const flush of this.#flushes) flush.reject(error)
    this.#flushes.clear()
    this.#release()
  }

  #release(): void {
    if (this.#flushes.size > 0) return
    clearInterval(this.#hold)
    this.#hold = undefined
  }

  /** Waits until woken or stopped, or for `ms`. It does not keep the process alive: events in the spool are safe there. */
  async #sleep(ms: number): Promise<void> {
    if (this.#stopped || ms <= 0) return
    await new Promise<void>((resolve) => {
      const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, Math.min(ms, 2 ** 31 - 1)).unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = () => {}
  }
}

const closedBefore = (): KillickError =>
  new KillickError('log_closed', 'The audit log was closed before everything was sent')

/** Whether the service asks again for events that it has given a receipt for. */
function isLoss({ problem, error }: Extract<Delivery, { kind: 'refused' }>, accepted: number): boolean {
  const { expected } = error.details as { expected?: { seq?: unknown } | null }
  return problem === 'stream_gap' && typeof expected?.seq === 'number' && expected.seq < accepted
}

const FOUND: Record<Fork['reason'], string> = {
  roots: 'it has signed two checkpoints that contradict each other',
  consistency: 'the service cannot prove that its log is still the one that this stream is in',
  lost: 'the service does not know of events that it has given a receipt for',
}

const WHAT_TO_DO =
  'Nothing more is sent; recording goes on, into the spool. Keep the evidence, tell the operator, and let others judge it ' +
  '(killick verify <file>). To send again, record into a new spool, with a new stream. A service that was restored from a ' +
  'backup looks the same, because it has lost what it had signed since then'

function forked(fork: Fork, file: string | null, error?: Error): KillickError {
  const kept = file ? `Evidence: ${file}` : `The evidence could not be stored (${error?.message}); it is in this error`
  const message = `The log at ${fork.url} has two histories: ${FOUND[fork.reason]}. ${kept}. ${WHAT_TO_DO}.`
  return new KillickError('log_forked', message, { reason: fork.reason, file, fork })
}

const forkedBefore = (file: string): KillickError =>
  new KillickError('log_forked', `The log has two histories, as was found before. Evidence: ${file}. ${WHAT_TO_DO}.`, {
    file,
  })
