// The time between two steps, and the end that a person asks for.
import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from '../command.ts'

/** Longest wait that a timer can be set for, ms: 24 days. */
const MAX_WAIT_MS = 2 ** 31 - 1

/** @returns how many times as fast as it happened; Infinity: without waiting. @throws UsageError */
export function speedOf(text: string | undefined, isTerminal: boolean): number {
  if (text === undefined) return isTerminal ? 1 : Number.POSITIVE_INFINITY
  if (text === 'max') return Number.POSITIVE_INFINITY
  const speed = /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : 0
  if (speed === 0) throw new UsageError('--speed must be a number above 0, such as 1 or 10, or max')
  return speed
}

/** Has a life: takes Ctrl-C until it is closed. A second Ctrl-C ends the program at once. One thing is awaited at a time. */
export class Pace {
  readonly #speed: number
  readonly #stop = new AbortController()
  /** Ends what is awaited. A race with one promise for all would keep everything that was ever awaited. */
  #giveUp: () => void = () => {}
  #last: number | null = null

  constructor(speed: number) {
    this.#speed = speed
    process.once('SIGINT', this.#interrupt)
  }

  readonly #interrupt = (): void => {
    this.#stop.abort()
    this.#giveUp()
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  /** What is awaited, or null once the person has asked for the end. */
  orStop<T>(awaited: Promise<T>): Promise<T | null> {
    awaited.catch(() => {})
    if (this.isStopped) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(null)
      awaited.then(resolve, reject)
    })
  }

  /** Waits as long as has passed between the step before and this one. @param time by the recorder's clock, ms; null: not known */
  async until(time: number | null): Promise<void> {
    const wait = this.#last === null || time === null ? 0 : (time - this.#last) / this.#speed
    this.#last = time ?? this.#last
    if (wait > 0) await this.orStop(sleep(Math.min(wait, MAX_WAIT_MS), undefined, { signal: this.#stop.signal }))
  }

  close(): void {
    process.off('SIGINT', this.#interrupt)
  }
}
