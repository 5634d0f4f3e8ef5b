// A thread that makes runs. It is started by indexing.ts; what crosses between the two is described there.
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { END, type Failure, type GROWN, type IndexerData } from './indexing.ts'
import { makeRun } from './make-run.ts'
import { openPool } from './pool.ts'

const { databaseUrl, hasRole } = workerData as IndexerData
const pool = openPool(databaseUrl, hasRole, 1)
const ending = new AbortController()

/** After a failure. ms */
const RETRY_MS = 2_000

// What the last process has left undone comes first.
let hasGrown = true
let running: Promise<void> | null = run()

parentPort!.on('message', (message: typeof GROWN | typeof END) => {
  if (message === END) return void end()
  hasGrown = true
  running ??= run()
})

async function run(): Promise<void> {
  while (hasGrown && !ending.signal.aborted) {
    hasGrown = false
    try {
      while (!ending.signal.aborted && (await makeRun(pool, ending.signal)));
    } catch (error) {
      if (ending.signal.aborted) break
      const { code, message } = error as NodeJS.ErrnoException
      const failure: Failure = { code, message: message || String(error) }
      parentPort!.postMessage(failure)
      hasGrown = true
      await sleep(RETRY_MS, undefined, { signal: ending.signal }).catch(() => {})
    }
  }
  running = null
}

/** With nothing left open, the thread ends. */
async function end(): Promise<void> {
  ending.abort()
  await running
  await pool.end()
  parentPort!.close()
}
