// A thread that makes runs. indexing.ts starts it and describes the messages between the two.

import { setTimeout as sleep } from 'node:timers/promises'
import { workerData } from 'node:worker_threads'
import { hear, sayNews } from '@killick/sdk/core'
import { openPool } from '../../database/pool.ts'
import type { GROWN, IndexerData, IndexingFailure } from './indexing.ts'
import { makeRun } from './write-run.ts'

const { databaseUrl, hasRole } = workerData as IndexerData
const pool = openPool(databaseUrl, hasRole, 1)
const ending = new AbortController()

/** Pause after a failure, or while another process makes the run, which it may not finish. ms */
const RETRY_MS = 2_000

// First makes what the last process left undone.
let hasGrown = true
let running: Promise<void> | null = run()

hear<typeof GROWN>(() => {
  hasGrown = true
  running ??= run()
}, end)

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

/** @returns whether a run was made; null: try again */
async function attempt(signal: AbortSignal): Promise<boolean | null> {
  try {
    return await makeRun(pool, signal)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (!signal.aborted) sayNews<IndexingFailure>({ code, message: message || String(error) })
    return null
  }
}

async function end(): Promise<void> {
  ending.abort()
  await running
  await pool.end()
}
