import type { Fault } from '@killick/sdk/audit'
import type { Db } from '../database/pool.ts'
import { RUN_EVENTS, type Run, readCoverage, runsBetween, strayRuns } from '../ledger/index/runs.ts'
import { isRunRight } from '../ledger/index/write-run.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'

/** The index of keys must match pack_keys, from which it is made. A run is checked when the audit has come to the run's end. */
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
      return (await strayRuns(db)).map(({ scheme, level, start }) => ({
        place: null,
        message:
          scheme in SCHEMES
            ? `key_blocks.start: no run of level ${level} begins at ${start}`
            : `key_blocks.scheme: this version knows no scheme ${scheme}`,
      }))
    },
  }
}

/** All runs by their end, including the short ones from which long ones were made. */
async function readRuns(db: Db): Promise<Run[]> {
  const runs: Run[] = []
  for (const scheme of Object.keys(SCHEMES).map(Number)) {
    const { all, long } = await readCoverage(db, [scheme])
    runs.push(...runsBetween({ scheme, all, long: 0 }, 0, all), ...runsBetween({ scheme, all: long, long }, 0, long))
  }
  return runs.sort((a, b) => endOf(a) - endOf(b))
}

const endOf = ({ level, start }: Run) => start + RUN_EVENTS[level]
