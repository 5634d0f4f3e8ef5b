// A thread that audits once. It is started by thread.ts; what crosses between the two is described there.
import { parentPort, workerData } from 'node:worker_threads'
import { auditLedger, lookUp, openApi } from '@killick/sdk/audit'
import { KillickError } from '@killick/sdk/core'
import { openPool } from '../database/pool.ts'
import { ownChecks } from './checks.ts'
import type { Assignment, Report } from './thread.ts'

const { url, token, pins, pace, database } = workerData as Assignment
const send = (report: Report) => parentPort!.postMessage(report)

/** Between two reports of how far it is. ms */
const REPORT_MS = 250
let toldAt = 0

/** Of how many events one is looked up and proven as a reader would, on average. */
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
