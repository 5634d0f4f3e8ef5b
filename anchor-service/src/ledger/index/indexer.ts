// A thread that makes runs. It is started by indexing.ts; what crosses between the two is described there.
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { openPool } from '../../database/pool.ts'
import { END, type GROWN, type IndexerData, type IndexingFailure } from './indexing.ts'
import { makeRun } from './write-run.ts'

const { databaseUrl, hasRole } = workerData as IndexerData
const pool = openPool(databaseUrl, hasRole, 1)
const ending = new AbortController()

/** After a failure, or while another process is at it, which may end before it is done. ms */
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
  const { signal } = ending
  while (hasGrown && !signal.aborted) {
    hasGrown = false
    const made = await attempt(signal)
    hasGrown ||= made !== false
    if (made === null) await sleep(RETRY_MS, undefined, { signal }).catch(() => {})
  }
  running = null
}

/** @returns whether a run was made; null: it is to be tried again */
async function attempt(signal: AbortSignal): Promise<boolean | null> {
  try {
    return await makeRun(pool, signal)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const failure: IndexingFailure = { code, message: message || String(error) }
    if (!signal.aborted) parentPort!.postMessage(failure)
    return null
  }
}

/** With nothing left open, the thread ends. */
async function end(): Promise<void> {
  ending.abort()
  await running
  await pool.end()
  parentPort!.close()
}
