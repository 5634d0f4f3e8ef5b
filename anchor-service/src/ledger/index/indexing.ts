import { keepThread, type Thread, threadBeside } from '@killick/sdk/core'
import { RUN_EVENTS } from './runs.ts'

/** What an indexing thread needs. */
export type IndexerData = { databaseUrl: string; hasRole: boolean }

/** Messages: to the thread, that there may be work; from the thread, every failure. */
export const GROWN = 'grown'
/** `code`: of the system or of PostgreSQL */
export type IndexingFailure = { code: string | undefined; message: string }

export type Indexing = {
  /** Tells the thread how many events the log has now. */
  grown(events: number): void
  /** Ends the thread, without finishing a run under way. */
  close(): Promise<void>
}

const ENTRY = threadBeside(import.meta.url, 'indexer')

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
  let thread: Thread<typeof GROWN, never, never> | null = null

  const start = () =>
    keepThread<typeof GROWN, never, never, IndexingFailure>(ENTRY, {
      ...{ data: { databaseUrl, hasRole }, restartMs: RESTART_MS, youngMiB: 64 },
      news: failed,
      failed: (error: NodeJS.ErrnoException) => failed({ code: error.code, message: error.message }),
    })

  function grown(events: number): void {
    const now = Math.floor(events / RUN_EVENTS[0])
    if (now <= runs || isClosed) return
    runs = now
    // A thread that starts looks for work by itself.
    if (thread === null) thread = start()
    else thread.tell(GROWN)
  }

  grown(events)
  return {
    grown,
    async close() {
      isClosed = true
      await thread?.end()
    },
  }
}
