import type { Fault } from '@killick/sdk/audit'
import { isRunRight } from '../ledger/make-run.ts'
import { RUN_EVENTS, type Run, readCoverage, runsBetween } from '../ledger/runs.ts'
import type { Db } from '../ledger/tiles.ts'

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
  }
}

/** All there are, the short ones that long ones were made of among them, by where they end. */
async function readRuns(db: Db): Promise<Run[]> {
  const { all, long } = await readCoverage(db)
  const runs = [...runsBetween({ all, long: 0 }, 0, all), ...runsBetween({ all: long, long }, 0, long)]
  return runs.sort((a, b) => endOf(a) - endOf(b))
}

const endOf = ({ level, start }: Run) => start + RUN_EVENTS[level]
