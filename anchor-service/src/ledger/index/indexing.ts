import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { RUN_EVENTS } from './runs.ts'

/** What an indexing thread needs. */
export type IndexerData = { databaseUrl: string; hasRole: boolean }

/** Tells the thread that there may be something to do, and asks it to end by itself. It tells of every failure. */
export const GROWN = 'grown'
export const END = 'end'
/** `code`: that of the system or of PostgreSQL */
export type IndexingFailure = { code: string | undefined; message: string }

export type Indexing = {
  /** The log has so many events now. */
  grown(events: number): void
  /** Ends the thread; a run that is being made is not finished. */
  close(): Promise<void>
}

const ENTRY = new URL(`./indexer${extname(import.meta.url)}`, import.meta.url)

/** Before a thread that ended is started again. ms */
const RESTART_MS = 2_000

/**
 * Keeps the index of keys behind the log, on a thread of its own: a run takes a tenth of a second or more at once, for which
 * neither requests nor checks should wait. Any number of processes may do so on one database.
 * @param failed a run could not be made, and is tried again
 */
export function keepIndex({ databaseUrl, hasRole }: IndexerData, failed: (failure: IndexingFailure) => void): Indexing {
  let runs = 0
  let isClosed = false
  let worker: Worker | null = null
  let ended: Promise<void> = Promise.resolve()
  let restart: NodeJS.Timeout | undefined

  function start(): void {
    const started = new Worker(ENTRY, {
      workerData: { databaseUrl, hasRole },
      // Flags of the process (a watcher, a coverage tool) are not for its threads.
      execArgv: [],
      // Room for the packs that are read at a time, so that none of them outlives a collection of the young.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    })
    worker = started
    ended = new Promise((resolve) => started.once('exit', () => resolve()))
    started.on('message', failed)
    started.on('error', (error: NodeJS.ErrnoException) => failed({ code: error.code, message: error.message }))
    started.once('exit', () => {
      worker = null
      if (!isClosed) restart = setTimeout(start, RESTART_MS)
    })
  }

  start()
  return {
    grown(events) {
      const now = Math.floor(events / RUN_EVENTS[0])
      if (now <= runs) return
      runs = now
      // One that is being started again looks for itself what there is to do.
      worker?.postMessage(GROWN)
    },
    async close() {
      isClosed = true
      clearTimeout(restart)
      // Not `terminate()`: it can crash the process while a thread is still loading its modules.
      worker?.postMessage(END)
      await ended
    },
  }
}
