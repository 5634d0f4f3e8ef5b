// Has things read by threads. Few are read on this thread alone: to start others would take longer than it does.
import { setImmediate } from 'node:timers/promises'
import { KillickError } from '../core/errors.ts'
import { keepThread, type Thread } from './thread.ts'

/** How much this thread reads before it starts others: that takes about as long as this does, and most bundles are no larger. */
const ALONE_BYTES = 4 << 20
/** Room for what the reading of a stretch needs for a moment. */
const YOUNG_MIB = 32

/** Asks one of them. */
export type AskThread<Asked, Answered> = Thread<never, Asked, Answered>['ask']

/** Threads that read. */
export type ReadingThreads<Asked, Answered> = {
  /** So many are to be under way that no thread waits for its next, and no more. */
  ahead(): number
  /**
   * Has something read by the thread that has the least to do.
   * @param bytes of it
   * @param here reads on this thread, while there are no others
   * @param there reads on another, each of which is always asked by the same function
   * @throws KillickError `thread_failed` where a thread ends before it has answered, or fails at it
   */
  read<Read>(
    bytes: number,
    here: () => Promise<Read>,
    there: (ask: AskThread<Asked, Answered>) => Promise<Read>,
  ): Promise<Read>
  close(): Promise<void>
}

/**
 * @param entry the threads' code, looked for when they are started: a bundle of CommonJS has none, and must load all the same
 * @param most how many to start at most; with fewer than two, or where a process may have none, this thread reads all
 */
export function openReadingThreads<Asked, Answered>(entry: () => URL, most: number): ReadingThreads<Asked, Answered> {
  const threads: Thread<never, Asked, Answered>[] = []
  let count = most > 1 ? most : 0
  let read = 0

  function start(): void {
    try {
      for (let i = 0; i < count; i++)
        threads.push(
          keepThread(entry(), {
            ...{ data: null, youngMiB: YOUNG_MIB },
            // One that has begun to read has failed its questions by then.
            failed: () => {
              count = 0
            },
          }),
        )
    } catch {
      count = 0
    }
  }

  const ready = () => (count === 0 ? [] : threads.filter(({ isReady }) => isReady))

  return {
    ahead: () => 2 * ready().length,
    async read(bytes, here, there) {
      read += bytes
      if (count > 0 && threads.length === 0 && read > ALONE_BYTES) start()
      const [idlest] = ready().toSorted((a, b) => a.unanswered - b.unanswered)
      if (idlest !== undefined) return there(idlest.ask).catch(rethrow)
      // What else waits for this thread comes in between, such as another's word that it has started.
      await setImmediate()
      return here()
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.end()))
    },
  }
}

function rethrow(error: unknown): never {
  throw new KillickError('thread_failed', `A thread that was checking failed: ${(error as Error)?.message ?? error}`)
}
