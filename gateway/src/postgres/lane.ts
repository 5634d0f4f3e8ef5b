// The way to the server: messages go on in their order, each once it may.
import type { Op } from './work.ts'

/** Bytes and messages that may wait before no more is read from the client. */
const MAX_WAITING_BYTES = 1 << 20
const MAX_WAITING = 256

/** Messages of so many bytes are counted, each by itself, until the server has taken them. */
export const LONG_MESSAGE = 64 << 10

/** Something on its way. */
export type LaneItem = {
  bytes: Buffer
  op: Op | null
  isReady: boolean
}

/** What a lane is connected to. */
export type LaneEnds = {
  /** Sends bytes to the server. False: it has enough for now. */
  write(bytes: readonly Buffer[]): boolean
  /** The server is sent this now; its answers come in the order of the calls. */
  sent(op: Op): void
  /** So many bytes more, or fewer, of long messages are in memory. Those that were written are given back by `write`. */
  hold(bytes: number): void
  /** Whether the client is read from. */
  flow(isOpen: boolean): void
}

export class Lane {
  readonly #ends: LaneEnds
  readonly #items: LaneItem[] = []
  #bytes = 0
  #isWritable = true
  #isFlowing = true
  #isCollecting = false
  #isStopped = false
  #whenEmpty: (() => void)[] = []

  constructor(ends: LaneEnds) {
    this.#ends = ends
  }

  /** Sends bytes behind everything before them. @param op what the server answers them with; null: nothing */
  send(bytes: Buffer, op: Op | null): void {
    this.#add({ bytes, op, isReady: true })
  }

  /**
   * Sends bytes once `gate` resolves.
   * @param refused what is sent where it rejects, in their place
   */
  sendAfter(
    gate: Promise<unknown>,
    bytes: Buffer,
    op: Op,
    refused: (error: unknown) => { bytes: Buffer; op: Op },
  ): void {
    const item: LaneItem = { bytes, op, isReady: false }
    this.#add(item)
    gate.then(
      () => this.#ready(item),
      (error) => {
        this.#replace(item, refused(error))
        this.#ready(item)
      },
    )
  }

  /** Takes bytes that wait, behind everything before them, until `open` lets them go on. */
  hold(bytes: Buffer, op: Op): LaneItem {
    const item: LaneItem = { bytes, op, isReady: false }
    this.#add(item)
    return item
  }

  /**
   * Sends what was held, together, once `gate` resolves.
   * @param refused what is sent where it rejects, in the place of each
   */
  open(
    gate: Promise<unknown>,
    items: readonly LaneItem[],
    refused: (error: unknown, op: Op) => { bytes: Buffer; op: Op },
  ): void {
    const ready = () => {
      for (const item of items) item.isReady = true
      this.#flush()
    }
    gate.then(ready, (error) => {
      for (const item of items) this.#replace(item, refused(error, item.op!))
      ready()
    })
  }

  /** What is sent meanwhile goes on together. */
  collect(work: () => void): void {
    this.#isCollecting = true
    try {
      work()
    } finally {
      this.#isCollecting = false
      this.#flush()
    }
  }

  /** The server takes more again. */
  writable(): void {
    this.#isWritable = true
    this.#regulate()
  }

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  /** Sends nothing more: the server has said that it ends the session, and looks at nothing that comes behind that. */
  stop(): void {
    this.#isStopped = true
    this.#tellEmpty()
  }

  /** Resolves when everything is sent that ever will be. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve)
      this.#tellEmpty()
    })
  }

  /** What was not sent, and never will be. */
  abandon(): Op[] {
    const left = this.#items.splice(0)
    for (const item of left) this.#release(item)
    return left.flatMap(({ op }) => (op === null ? [] : [op]))
  }

  #add(item: LaneItem): void {
    this.#items.push(item)
    this.#bytes += item.bytes.length
    if (item.bytes.length >= LONG_MESSAGE) this.#ends.hold(item.bytes.length)
    if (!this.#isCollecting) this.#flush()
  }

  #release({ bytes }: LaneItem): void {
    if (bytes.length >= LONG_MESSAGE) this.#ends.hold(-bytes.length)
  }

  #replace(item: LaneItem, by: { bytes: Buffer; op: Op }): void {
    this.#release(item)
    this.#bytes -= item.bytes.length
    Object.assign(item, by)
    this.#bytes += item.bytes.length
  }

  #ready(item: LaneItem): void {
    item.isReady = true
    this.#flush()
  }

  #flush(): void {
    const ready: Buffer[] = []
    while (!this.#isStopped && this.#items[0]?.isReady) {
      const { bytes, op } = this.#items.shift()!
      this.#bytes -= bytes.length
      if (op !== null) this.#ends.sent(op)
      ready.push(bytes)
    }
    if (ready.length > 0 && !this.#ends.write(ready)) this.#isWritable = false
    if (this.#whenEmpty.length > 0) this.#tellEmpty()
    this.#regulate()
  }

  #tellEmpty(): void {
    if (this.#isStopped || this.isEmpty) for (const resolve of this.#whenEmpty.splice(0)) resolve()
  }

  #regulate(): void {
    const isOpen = this.#isWritable && this.#bytes < MAX_WAITING_BYTES && this.#items.length < MAX_WAITING
    if (isOpen === this.#isFlowing) return
    this.#isFlowing = isOpen
    this.#ends.flow(isOpen)
  }
}
