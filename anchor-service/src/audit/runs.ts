import type { Fault } from '@killick/sdk/audit'
import type pg from 'pg'
import type { Db } from '../database/pool.ts'
import { lengthOf, type Run, readCoverage, runsOf, strayRuns } from '../ledger/index/runs.ts'
import { isRunRight } from '../ledger/index/write-run.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'
import { fault } from './walk.ts'

/** The index of keys must match pack_keys, from which it is made. A run is checked when the audit has come to the run's end. */
export function walkRuns(db: pg.Pool) {
  let due: Promise<Run[]> | undefined

  return {
    async upTo(events: number): Promise<Fault[]> {
      due ??= readRuns(db)
      const runs = await due
      const faults: Fault[] = []
      while (runs.length > 0 && endOf(runs[0]!) <= events) {
        const run = runs.shift()!
        if ((await isRunRight(db, run)) || (await isRightAtOnce(db, run))) continue
        // A longer one may have taken its place meanwhile, which is checked then.
        const longer = await longerThan(db, run)
        if (longer !== null) {
          if (!runs.some((other) => isSame(other, longer))) runs.push(longer)
          runs.sort(byEnd)
          continue
        }
        const what = `the events from ${run.start} on, ${lengthOf(run)} of them, are not found by their keys`
        faults.push(fault(null, 'not_found', `key_blocks.entries: ${what}`))
      }
      return faults
    },
    /** There is no other run than the log is long enough for. */
    async finish(): Promise<Fault[]> {
      return (await strayRuns(db)).map(({ scheme, level, start }) =>
        scheme in SCHEMES
          ? fault(null, 'untold', `key_blocks.start: no run of level ${level} begins at ${start}`)
          : fault(null, 'unreadable', `key_blocks.scheme: this version knows no scheme ${scheme}`),
      )
    },
  }
}

/** The same, by rows of one moment: an erasure may take entries out between two queries. */
async function isRightAtOnce(db: pg.Pool, run: Run): Promise<boolean> {
  const client = await db.connect()
  try {
    await client.query('begin isolation level repeatable read read only')
    const isRight = await isRunRight(client, run)
    await client.query('commit')
    client.release()
    return isRight
  } catch (error) {
    client.release(error as Error)
    throw error
  }
}

/** All there are, by where they end. */
async function readRuns(db: Db): Promise<Run[]> {
  const runs: Run[] = []
  for (const scheme of Object.keys(SCHEMES).map(Number)) runs.push(...runsOf(await readCoverage(db, [scheme])))
  return runs.sort(byEnd)
}

/** The run of a higher level that holds the events of this one; null: there is none. */
async function longerThan(db: Db, { scheme, level, start }: Run): Promise<Run | null> {
  const runs = runsOf(await readCoverage(db, [scheme]))
  return runs.find((run) => run.level > level && run.start <= start && start < endOf(run)) ?? null
}

const endOf = (run: Run) => run.start + lengthOf(run)
const byEnd = (a: Run, b: Run) => endOf(a) - endOf(b)
const isSame = (a: Run, b: Run) => a.scheme === b.scheme && a.level === b.level && a.start === b.start
