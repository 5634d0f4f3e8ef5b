import type { Fault } from '@killick/sdk/audit'
import type { Db } from '../database/pool.ts'
import { RUN_EVENTS, type Run, readCoverage, readLength, runsBetween } from '../ledger/index/runs.ts'
import { isRunRight } from '../ledger/index/write-run.ts'

/** The index of keys is made of the packs, and must be what they make of it. A run is checked when the audit has come to its end. */
export function walkRuns(db: Db) {
  let due: Promise<Run[]> | undefined

  return {
    async upTo(events: number): Promise<Fault[]> {
      due ??= readRuns(db)
      const runs = await due
      const faults: Fault[] = []
      while (runs.length > 0 && endOf(runs[0]!) <= events) {
        const run = runs.shift()!
        if (await isRunRight(db, run)) continue
        const what = `the events from ${run.start} on, ${RUN_EVENTS[run.level]} of them, are not found by their keys`
        faults.push({ place: null, message: `key_blocks.entries: ${what}` })
      }
      return faults
    },
    /** There is no other run than the log is long enough for. */
    async finish(): Promise<Fault[]> {
      const { rows } = await db.query<{ level: number; start: number }>(STORED)
      const length = await readLength(db)
      const isRun = ({ level, start }: { level: number; start: number }) =>
        (level === 0 || level === 1) && start % RUN_EVENTS[level] === 0 && start + RUN_EVENTS[level] <= length
      return rows
        .filter((row) => !isRun(row))
        .map(({ level, start }) => ({
          place: null,
          message: `key_blocks.start: no run of level ${level} begins at ${start}`,
        }))
    },
  }
}

/** Each run once, whatever the number of its blocks. */
const STORED = `
  with recursive runs as (
    (select level, start from key_blocks order by level, start limit 1)
    union all
    select next.* from runs r cross join lateral (
      select level, start from key_blocks where (level, start) > (r.level, r.start) order by level, start limit 1) next)
  select level, start::float8 as start from runs`

/** All there are, the short ones that long ones were made of among them, by where they end. */
async function readRuns(db: Db): Promise<Run[]> {
  const { all, long } = await readCoverage(db)
  const runs = [...runsBetween({ all, long: 0 }, 0, all), ...runsBetween({ all: long, long }, 0, long)]
  return runs.sort((a, b) => endOf(a) - endOf(b))
}

const endOf = ({ level, start }: Run) => start + RUN_EVENTS[level]
