// Has batches read by all cores, and gives them back in the order of the log.
import type { PublicJwk } from '../core/jwk.ts'
import { type AskThread, openReadingThreads } from '../node/in-threads.ts'
import { threadBeside } from '../node/thread.ts'
import {
  type BatchReading,
  KnownKeys,
  memoryOf,
  type ReadBatches,
  type ReadThere,
  readAll,
  type ToRead,
} from './readings.ts'
import type { Stretch } from './stretches.ts'

/** What reads batches: here, and on threads. */
export type BatchReaders = {
  /** From `readerOf`. */
  readonly read: ReadBatches
  /** The code of a thread that calls `answerReaders` with such a one. */
  readonly thread: () => URL
}

const PLAIN: BatchReaders = { read: readAll, thread: () => threadBeside(import.meta.url, 'audit-reader-thread') }

/** A stretch that was read: a reading for each of its batches. */
export type StretchRead = Stretch & { readonly readings: readonly BatchReading[] }

export type Readers = {
  /**
   * Stretches in the order in which they come, each read.
   * @param keysOf keys that may have signed for a source, as far as they are known
   * @throws KillickError `thread_failed` where a thread fails
   */
  readAll(
    stretches: AsyncIterable<Stretch>,
    keysOf: (source: string) => readonly PublicJwk[],
  ): AsyncGenerator<StretchRead>
  close(): Promise<void>
}

/** @param most how many threads to start at most; with fewer than two, or where a process may have none, this one reads all */
export function openReaders(most: number, { read: readHere, thread }: BatchReaders = PLAIN): Readers {
  const threads = openReadingThreads<ToRead, ReadThere>(thread, most)
  const known = new KnownKeys()
  /** The keys that each thread has been told; null: this one. */
  const told = new Map<AskThread<ToRead, ReadThere> | null, Set<PublicJwk>>()

  /** Those that it was not told before; from now on it was. */
  function untold(thread: AskThread<ToRead, ReadThere> | null, keys: readonly PublicJwk[]): PublicJwk[] {
    if (!told.has(thread)) told.set(thread, new Set())
    const those = told.get(thread)!
    const some = keys.filter((key) => !those.has(key))
    for (const key of some) those.add(key)
    return some
  }

  function read(stretch: Stretch, keys: readonly PublicJwk[]): Promise<StretchRead> {
    const { ends, bytes } = stretch
    return threads.read<StretchRead>(
      bytes.length,
      async () => ({ ...stretch, readings: readHere({ ends, bytes, keys: untold(null, keys) }, known) }),
      async (ask) => ({ ...stretch, ...(await ask({ ends, bytes, keys: untold(ask, keys) }, [memoryOf(bytes)])) }),
    )
  }

  return {
    async *readAll(stretches, keysOf) {
      const underWay: Promise<StretchRead>[] = []
      for await (const stretch of stretches) {
        const sources = new Set(stretch.headers.map(({ source }) => source))
        const answer = read(stretch, [...sources].flatMap(keysOf))
        // Awaited in their order; until then nobody handles their rejection.
        answer.catch(() => {})
        underWay.push(answer)
        while (underWay.length > threads.ahead()) yield await underWay.shift()!
      }
      for (const answer of underWay) yield await answer
    },
    close: threads.close,
  }
}
