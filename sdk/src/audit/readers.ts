// Has batches read by all cores. A small log is read on this thread alone: to start others would take longer than it does.
import { setImmediate } from 'node:timers/promises'
import type { PublicJwk } from '../core/jwk.ts'
import { keepThread, type Thread, threadBeside } from '../node/thread.ts'
import type { ReadThere } from './reader.ts'
import { type BatchReading, KnownKeys, memoryOf, readAll } from './readings.ts'
import type { Stretch } from './stretches.ts'

const ENTRY = threadBeside(import.meta.url, 'reader')

/** How much this thread reads before it starts others. A thread takes about as long to start as this does. */
const ALONE_BYTES = 1 << 20
/** Room for what the reading of a stretch needs for a moment. */
const YOUNG_MIB = 32

/** A stretch that was read: a reading for each of its batches. */
export type StretchRead = Stretch & { readonly readings: readonly BatchReading[] }

export type Readers = {
  /**
   * Stretches in the order in which they come, each read.
   * @param keysOf keys that may have signed for a source, as far as they are known
   */
  readAll(
    stretches: AsyncIterable<Stretch>,
    keysOf: (source: string) => readonly PublicJwk[],
  ): AsyncGenerator<StretchRead>
  close(): Promise<void>
}

type Reader = { thread: Thread<never, unknown, ReadThere>; told: Set<PublicJwk> }

/** @param most how many threads to start at most; with fewer than two, or where a process may have none, this one reads all */
export function openReaders(most: number): Readers {
  const readers: Reader[] = []
  const here = { known: new KnownKeys(), told: new Set<PublicJwk>() }
  let count = most > 1 ? most : 0
  let read = 0

  function start(): void {
    try {
      for (let i = 0; i < count; i++) {
        const thread = keepThread<never, unknown, ReadThere>(ENTRY, {
          ...{ data: null, youngMiB: YOUNG_MIB },
          // One that has begun to read has failed its questions by then.
          failed: () => {
            count = 0
          },
        })
        readers.push({ thread, told: new Set() })
      }
    } catch {
      count = 0
    }
  }

  async function ask({ thread, told }: Reader, stretch: Stretch, keys: readonly PublicJwk[]): Promise<StretchRead> {
    const { ends, bytes } = stretch
    const answer = await thread.ask({ ends, bytes, keys: untold(keys, told) }, [memoryOf(bytes)])
    return { ...stretch, ...answer }
  }

  async function readOne(stretch: Stretch, keys: readonly PublicJwk[]): Promise<StretchRead> {
    read += stretch.bytes.length
    const ready = count === 0 ? [] : readers.filter(({ thread }) => thread.isReady)
    if (count > 0 && readers.length === 0 && read > ALONE_BYTES) start()
    if (ready.length > 0) {
      const [idlest] = ready.toSorted((a, b) => a.thread.unanswered - b.thread.unanswered)
      return ask(idlest!, stretch, keys)
    }
    // What else waits for this thread comes in between, such as another's word that it has started.
    await setImmediate()
    return { ...stretch, readings: readAll({ ...stretch, keys: untold(keys, here.told) }, here.known) }
  }

  return {
    async *readAll(stretches, keysOf) {
      const underWay: Promise<StretchRead>[] = []
      for await (const stretch of stretches) {
        const sources = new Set(stretch.headers.map(({ source }) => source))
        const answer = readOne(stretch, [...sources].flatMap(keysOf))
        // Awaited in their order; until then nobody handles their rejection.
        answer.catch(() => {})
        underWay.push(answer)
        // So many that no thread waits for its next.
        const most = 2 * readers.filter(({ thread }) => thread.isReady).length
        while (underWay.length > most) yield await underWay.shift()!
      }
      for (const answer of underWay) yield await answer
    },
    async close() {
      await Promise.all(readers.map(({ thread }) => thread.end()))
    },
  }
}

/** Those that were not told before; from now on they were. */
function untold(keys: readonly PublicJwk[], told: Set<PublicJwk>): PublicJwk[] {
  const some = keys.filter((key) => !told.has(key))
  for (const key of some) told.add(key)
  return some
}
