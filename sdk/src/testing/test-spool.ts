// A spool without a disk that keeps every event for the test to look at, and that can fail as a disk does.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SignedEvent } from '../client/capture.ts'
import { diskFull } from '../client/journal.ts'
import { MemorySpool, type MemorySpoolOptions } from '../client/memory-spool.ts'

/** What errors call the spool. */
const NAME = '(test)'

export class TestSpool extends MemorySpool {
  /** The events that are durable, in order: also those that the log has accepted. */
  readonly tokens: string[] = []
  /** `full`, or how long a write takes, in ms. */
  disk: 'full' | number = 0
  #written: Promise<void> = Promise.resolve()

  constructor(options: MemorySpoolOptions) {
    super(options)
    this.forget()
  }

  /** Begins the list of events again. */
  forget(): void {
    this.tokens.length = 0
  }

  override hasRoom(): boolean {
    return this.disk !== 'full' && super.hasRoom()
  }

  override room(deadline: number): Promise<void> {
    return this.disk === 'full' ? Promise.reject(diskFull(NAME)) : super.room(deadline)
  }

  override append(placed: SignedEvent): Promise<void> | false {
    const stored = super.append(placed)
    if (stored === false) return false
    if (typeof this.disk !== 'number' || this.disk === 0) {
      this.tokens.push(placed.token)
      return stored
    }
    // A disk writes one thing after another.
    this.#written = Promise.all([this.#written, sleep(this.disk)]).then(() => void this.tokens.push(placed.token))
    return this.#written
  }
}
