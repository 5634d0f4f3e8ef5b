// A thread that audits. thread.ts starts it and describes the messages between the two.
import { auditLedger, lookUp, openApi } from '@killick/sdk/audit'
import { answerQuestions, KillickError, sayNews } from '@killick/sdk/core'
import { type Db, openPool } from '../database/pool.ts'
import { ownChecks } from './checks.ts'
import { NOTING_READERS } from './noted.ts'
import type { AuditFinding } from './outcome.ts'
import { checkSchema } from './schema.ts'
import type { Assignment, AuditEnd, Report } from './thread.ts'

/** Time between two reports of progress, ms. */
const REPORT_MS = 250

/** One in this many events is looked up and proven as a reader would, on average. */
const SAMPLE = 1_000

async function audit({ url, token, pins, pace, database }: Assignment): Promise<AuditEnd> {
  const api = openApi(url, token)
  const pool = openPool(database.databaseUrl, database.hasRole, 2)
  let toldAt = 0
  try {
    const result = await auditLedger(api, pins, {
      pace,
      readers: NOTING_READERS,
      own: [...ownChecks(pool, pins.logKeys[0]!, database.hasRole), lookUp(api, SAMPLE, pins)],
      onProgress(progress) {
        if (performance.now() - toldAt < REPORT_MS && progress.batches < progress.size) return
        toldAt = performance.now()
        sayNews<Report>({ progress })
      },
    })
    return { result }
  } catch (error) {
    const altered = await alteredSchema(pool, database.hasRole)
    if (altered === null && !(error instanceof KillickError)) throw error
    return { obstacle: (error as Error).message, altered }
  } finally {
    await pool.end()
  }
}

/**
 * Where tables are not as they should be, queries fail, and the audit with them: whoever altered them would be named by no audit. Null: they
 * are as they should be, or that cannot be told.
 */
async function alteredSchema(db: Db, hasRole: boolean): Promise<AuditFinding | null> {
  const { faults } = await checkSchema(db, hasRole)
    .finish()
    .catch(() => ({ faults: [] }))
  const [first] = faults
  if (first === undefined) return null
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return { check: 'schema', reason: first.reason, detail: first.message + more }
}

answerQuestions(
  async (assignment: Assignment) => ({ answer: await audit(assignment) }),
  async () => {},
)
