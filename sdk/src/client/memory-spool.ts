// The stream of a process that has no disk, such as a function. It lasts as long as the process, so `record()` waits for the receipt.
import { randomUUID } from 'node:crypto'
import type { BatchHeader } from '../core/batch.ts'
import { InvariantError, KillickError } from '../core/errors.ts'
import { printHash } from '../core/hash.ts'
import type { KeptReceipt } from '../core/receipt.ts'
import type { SignedEvent, StreamPlace } from './capture.ts'
import type { EventStore } from './spool.ts'
import { applyChange, freshState, type LogPin, type State } from './state.ts'

export type MemorySpoolOptions = {
  source: string
  /** Bytes of events that wait at which record() waits. */
  maxBytes: number
  /** Called after every event. */
  onDurable: () => void
  /** Name of the stream; default: a new one. */
  stream?: string | undefined
}

export class MemorySpool implements EventStore {
  state: State
  open: BatchHeader | null = null
  unbatchedBytes = 0
  bytes = 0
  readonly fork = null
  readonly isLeftOpen = false
  readonly #options: MemorySpoolOptions
  /** The events that the log has not accepted. */
  readonly #tokens: string[] = []
  #waiters: (() => void)[] = []

  constructor(options: MemorySpoolOptions) {
    this.#options = options
    this.state = freshState(options.source, options.stream ?? randomUUID())
  }

  get place(): StreamPlace {
    const { source, stream, seq, prev } = this.state
    return { source, stream, seq, prev }
  }

  hasRoom(): boolean {
    return this.bytes < this.#options.maxBytes
  }

  async room(deadline: number): Promise<void> {
    while (!this.hasRoom()) {
      const left = deadline - performance.now()
      if (left <= 0) throw this.#fullError()
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#waiters.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  append({ token, seq, prev, leafHash }: SignedEvent): Promise<void> | false {
    if (seq !== this.state.seq || prev !== this.state.prev) return false
    this.#tokens.push(token)
    this.bytes += token.length
    this.unbatchedBytes += token.length
    this.state = applyChange(this.state, { kind: 'E', seq, leafHash, bytes: token.length })
    this.#options.onDurable()
    return Promise.resolve()
  }

  async read(seq: number, maxEvents: number, maxBytes: number): Promise<string[]> {
    const from = seq - this.state.accepted
    const tokens: string[] = []
    let bytes = 0
    for (const token of this.#tokens.slice(from, from + maxEvents)) {
      bytes += token.length + 1
      if (tokens.length > 0 && bytes > maxBytes) break
      tokens.push(token)
    }
    return tokens
  }

  async openBatch(header: BatchHeader): Promise<void> {
    const { seq, batched } = this.state
    if (this.open || header.seq !== batched) throw new InvariantError(`batch ${header.seq} is out of turn`)
    const end = header.seq + header.n
    this.unbatchedBytes *= (seq - end) / (seq - batched)
    this.state = applyChange(this.state, { kind: 'B', end, headerHash: printHash(header.leafHash) })
    this.open = header
  }

  async accept(receipt: KeptReceipt, log: LogPin): Promise<void> {
    if (receipt.header !== this.open?.text) throw new InvariantError('the receipt is not for the open batch')
    this.open = null
    for (const token of this.#tokens.splice(0, receipt.n)) this.bytes -= token.length
    this.state = applyChange(this.state, { kind: 'A', receipt, log })
    for (const wake of this.#waiters.splice(0)) wake()
  }

  async shown(): Promise<void> {}

  async keepFork(): Promise<string> {
    throw new Error('there is no disk')
  }

  async close(): Promise<void> {}

  #fullError(): KillickError {
    const waiting = this.state.seq - this.state.accepted
    const { maxBytes } = this.#options
    return new KillickError(
      'spool_full',
      `${waiting} events wait in memory for the log, more than the limit of ${maxBytes} bytes; the event was not recorded`,
      { maxBytes, waiting },
    )
  }
}
