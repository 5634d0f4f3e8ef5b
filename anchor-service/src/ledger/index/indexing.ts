import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { RUN_EVENTS } from './runs.ts'

/** What an indexing thread needs. */
export type IndexerData = { databaseUrl: string; hasRole: boolean }

/** Messages: to the thread, that there may be work, or that it should end; from the thread, every failure. */
export const GROWN = 'grown'
export const END = 'end'
/** `code`: of the system or of PostgreSQL */
export type IndexingFailure = { code: string | undefined; message: string }

export type Indexing = {
  /** Tells the thread how many events the log has now. */
  grown(events: number): void
  /** Ends the thread, without finishing a run under way. */
  close(): Promise<void>
}

const ENTRY = new URL(`./indexer${extname(import.meta.url)}`, import.meta.url)

/** Pause before a thread that ended is started again, ms. */
const RESTART_MS = 2_000

/**
 * Makes the index of keys behind the commits, on a thread of its own: a run takes a tenth of a second or more, and neither
 * requests nor checks should wait for it. The thread starts when the log is long enough for a run. Any number of processes may
 * do this on one database.
 * @param events how many the log has now
 * @param failed called when a run could not be made and will be tried again
 */
export function keepIndex(
  { databaseUrl, hasRole }: IndexerData,
  events: number,
  failed: (failure: IndexingFailure) => void,
): Indexing {
  let runs = 0
  let isClosed = false
  let worker: Worker | null = null
  let ended: Promise<void> = Promise.resolve()
  let restart: NodeJS.Timeout | undefined

  function start(): void {
    const started = new Worker(ENTRY, {
      workerData: { databaseUrl, hasRole },
      // The thread does not take over flags of the process (a watcher, a coverage tool).
      execArgv: [],
      // Room for the packs that are read at a time, so that a minor collection frees them.
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

  function grown(events: number): void {
    const now = Math.floor(events / RUN_EVENTS[0])
    if (now <= runs || isClosed) return
    const isFirst = runs === 0
    runs = now
    // A thread that starts looks for work by itself.
    if (isFirst) start()
    else worker?.postMessage(GROWN)
  }

  grown(events)
  return {
    grown,
    async close() {
      isClosed = true
      clearTimeout(restart)
      // Not `terminate()`: it can crash the process while a thread is still loading its modules.
      worker?.postMessage(END)
      await ended
    },
  }
}
