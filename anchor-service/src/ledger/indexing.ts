import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { RUN_EVENTS } from './runs.ts'

/** What an indexing thread needs. */
export type IndexerData = { databaseUrl: string; hasRole: boolean }

/** Tells the thread that there may be something to do, and asks it to end by itself. It tells `{ error }` of every failure. */
export const GROWN = 'grown'
export const END = 'end'

export type Indexing = {
  /** The log has so many events now. */
  grown(events: number): void
  /** Lets a run that is being made be finished, and ends the thread. */
  close(): Promise<void>
}

const ENTRY = new URL(`./indexer${extname(import.meta.url)}`, import.meta.url)

/**
 * Keeps the index of keys behind the log, on a thread of its own: a run takes a tenth of a second or more at once, for which
 * neither requests nor checks should wait. Any number of processes may do so on one database.
 * @param failed a run could not be made, and is tried again
 */
export function keepIndex({ databaseUrl, hasRole }: IndexerData, failed: (error: unknown) => void): Indexing {
  let runs = 0
  let ended: Promise<void> | null = null
  let worker: Worker | null = start()

  function start(): Worker {
    // Flags of the process (a watcher, a coverage tool) are not for its threads.
    const started = new Worker(ENTRY, {
      workerData: { databaseUrl, hasRole },
      execArgv: [],
      // Room for the packs that are read at a time, so that none of them outlives a collection of the young.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    ended = promise
    started.on('message', ({ error }: { error: unknown }) => failed(error))
    started.on('error', failed)
    started.on('exit', () => {
      worker = null
      resolve()
    })
    return started
  }

  return {
    grown(events) {
      const now = Math.floor(events / RUN_EVENTS[0])
      if (now <= runs) return
      runs = now
      // A thread that has ended is started again; it looks for itself what there is to do.
      if (worker === null) worker = start()
      else worker.postMessage(GROWN)
    },
    async close() {
      // Not `terminate()`: it can crash the process while a thread is still loading its modules.
      worker?.postMessage(END)
      await ended
    },
  }
}
