import { dim, duration, MARK } from './report.ts'

/** Thrown by the step under way when the person at the terminal has asked to stop. */
export class Interrupted extends Error {}

/** Something outside this program prevents it from going on; the message is a sentence that says what to do. */
export class Obstacle extends Error {}

/**
 * What `npm start` has started, step by step. Each step prints what it does, and then its result and how long it took. Everything
 * that was started is stopped in reverse order.
 */
export class Steps {
  #closers: (() => Promise<unknown>)[] = []
  #interrupted = false
  #presses: number[] = []
  readonly #stop = Promise.withResolvers<void>()

  /** Resolves when somebody asks to stop: Ctrl-C, SIGTERM, or the terminal closing. */
  readonly stopped = this.#stop.promise

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.#onSignal())
  }

  /** With `canLeave`, a step that has nothing to close may be left in the middle. */
  async run<Result>(
    doing: string,
    work: (say: (doing: string) => void) => Promise<Result>,
    done: (result: Result) => string,
    { canLeave = false } = {},
  ): Promise<Result> {
    // Between steps, when whatever the last step started has been registered for closing.
    if (this.#interrupted) throw new Interrupted()
    const started = performance.now()
    const say = (text: string) => {
      if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${MARK.open} ${text} …`)
    }
    const clear = () => {
      if (process.stdout.isTTY) process.stdout.write('\r\x1b[2K')
    }
    say(doing)
    try {
      const left = this.stopped.then(() => {
        throw new Interrupted()
      })
      left.catch(() => {})
      const result = await (canLeave ? Promise.race([work(say), left]) : work(say))
      clear()
      console.log(`${MARK.good} ${done(result)} ${dim(duration(performance.now() - started))}`)
      return result
    } catch (error) {
      clear()
      if (this.#interrupted) throw new Interrupted()
      console.log(`${MARK.bad} ${doing}`)
      throw error
    }
  }

  /** Registers something for `close()`, which does it before what was registered earlier. */
  onClose(close: () => Promise<unknown>): void {
    this.#closers.unshift(close)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close()
  }

  /** A wrapper may pass on a Ctrl-C that the terminal has already sent, so presses within a second count as one. */
  #onSignal(): void {
    const now = Date.now()
    const isNew = this.#presses.every((press) => now - press > 1000)
    this.#presses.push(now)
    if (!isNew) return
    if (this.#interrupted) process.exit(130)
    this.#interrupted = true
    console.log(dim('\nStopping; press Ctrl-C again to leave at once.'))
    this.#stop.resolve()
  }
}
