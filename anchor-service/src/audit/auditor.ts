// A thread that audits once. thread.ts starts it and describes the messages between the two.
import { workerData } from 'node:worker_threads'
import { auditLedger, lookUp, openApi } from '@killick/sdk/audit'
import { KillickError } from '@killick/sdk/core'
import { openPool } from '../database/pool.ts'
import { sayNews } from '../thread.ts'
import { ownChecks } from './checks.ts'
import type { Assignment, Report } from './thread.ts'

const { url, token, pins, pace, database } = workerData as Assignment
const send = sayNews<Report>

/** Time between two reports of progress, ms. */
const REPORT_MS = 250
let toldAt = 0

/** One in this many events is looked up and proven as a reader would, on average. */
const SAMPLE = 1_000

const api = openApi(url, token)
const pool = openPool(database.databaseUrl, database.hasRole, 2)

try {
  const result = await auditLedger(api, pins, {
    pace,
    own: [...ownChecks(pool, pins.logKeys[0]!, database.hasRole), lookUp(api, SAMPLE, pins)],
    onProgress(progress) {
      if (performance.now() - toldAt < REPORT_MS && progress.batches < progress.size) return
      toldAt = performance.now()
      send({ progress })
    },
  })
  send({ result })
} catch (error) {
  if (!(error instanceof KillickError)) throw error
  send({ obstacle: error.message })
} finally {
  await pool.end()
}
