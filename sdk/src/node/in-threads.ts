/**
 * Has things read by threads, any number of them at a time, and hands them back in the order in which they came. Few are read on this
 * thread alone: to start others would take longer than it does.
 */
import { setImmediate } from 'node:timers/promises'
import { KillickError } from '../core/errors.ts'
import { keepThread, type Thread } from './thread.ts'

/** How much this thread reads before it starts others. A thread takes about as long to start as this does. */
const ALONE_BYTES = 1 << 20
/** Room for what the reading of a stretch needs for a moment. */
const YOUNG_MIB = 32

type Ask<Asked, Answered> = Thread<never, Asked, Answered>['ask']

/** How what is given is read. */
export type HowToRead<Given, Asked, Answered, Read> = {
  /** Reads on this thread. */
  readonly here: (given: Given) => Promise<Read>
  /** Called once for each thread that has something to read. @returns what reads on that one */
  readonly there: (ask: Ask<Asked, Answered>) => (given: Given) => Promise<Read>
}

/** Threads that read. */
export type ReadingThreads<Asked, Answered> = {
  /**
   * All that is given, in its order, each read. So many are under way that no thread waits for its next, and no more.
   * @throws KillickError `thread_failed` where a thread ends before it has answered, or fails at it
   */
  readAll<Given extends { readonly bytes: Uint8Array }, Read>(
    given: AsyncIterable<Given>,
    reading: HowToRead<Given, Asked, Answered, Read>,
  ): AsyncGenerator<Read>
  close(): Promise<void>
}

/**
 * @param entry the threads' code
 * @param most how many to start at most; with fewer than two, or where a process may have none, this thread reads all
 */
export function openReadingThreads<Asked, Answered>(entry: URL, most: number): ReadingThreads<Asked, Answered> {
  const threads: Thread<never, Asked, Answered>[] = []
  let count = most > 1 ? most : 0
  let bytes = 0

  function start(): void {
    try {
      for (let i = 0; i < count; i++)
        threads.push(
          keepThread(entry, {
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
    async *readAll<Given extends { readonly bytes: Uint8Array }, Read>(
      given: AsyncIterable<Given>,
      { here, there }: HowToRead<Given, Asked, Answered, Read>,
    ) {
      const readOn = new Map<Thread<never, Asked, Answered>, (given: Given) => Promise<Read>>()
      const readOne = async (one: Given): Promise<Read> => {
        bytes += one.bytes.length
        if (count > 0 && threads.length === 0 && bytes > ALONE_BYTES) start()
        const [idlest] = ready().toSorted((a, b) => a.unanswered - b.unanswered)
        if (idlest === undefined) {
          // What else waits for this thread comes in between, such as another's word that it has started.
          await setImmediate()
          return here(one)
        }
        const read = readOn.get(idlest) ?? there(idlest.ask)
        readOn.set(idlest, read)
        return read(one).catch(rethrow)
      }
      const underWay: Promise<Read>[] = []
      for await (const one of given) {
        const answer = readOne(one)
        // Awaited in their order; until then nobody handles their rejection.
        answer.catch(() => {})
        underWay.push(answer)
        while (underWay.length > 2 * ready().length) yield await underWay.shift()!
      }
      for (const answer of underWay) yield await answer
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.end()))
    },
  }
}

function rethrow(error: unknown): never {
  throw new KillickError('thread_failed', `A thread that was checking failed: ${(error as Error)?.message ?? error}`)
}
