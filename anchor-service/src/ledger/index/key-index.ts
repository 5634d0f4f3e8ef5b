/**
 * The index of keys as its readers see it: from a search key to the packs that hold it. It consists of runs (runs.ts), which are
 * written behind the commits, so the newest packs are in none: whoever looks for a key reads these packs themselves, from `end` on.
 *
 * Runs take the place of shorter ones while others read. Each statement here finds out which runs there are and reads their blocks
 * in one snapshot, and what is asked for in several statements is cut by the numbers of events: so a pack is neither missed nor
 * given twice.
 */

import type { Db } from '../../database/pool.ts'
import { NEWEST } from '../packs/filters.ts'
import { findPacks, type Search } from './key-lookup.ts'
import { findNamedPacks, findNamedPacksIn, type NamedPacks } from './name-lookup.ts'
import { type Run, readCoverage, readLength } from './runs.ts'

export type KeyIndex = {
  /** Of some schemes the one whose runs hold most, and how many events these hold: the oldest of the log. */
  end(schemes: readonly number[]): Promise<{ scheme: number; end: number }>
  /** How many of the newest events no run holds yet. */
  unindexed(): Promise<number>
  /** The packs that may have a name, by all runs at once. @param key of an id or a leaf hash, which all schemes have */
  named(key: Buffer): Promise<NamedPacks>
  /** The same by some runs, of one scheme. */
  namedIn(runs: readonly Run[], key: Buffer): Promise<Omit<NamedPacks, 'runsEnd'>>
  /**
   * Packs that may have all of some keys, in order, a few at a time. Where all keys are in very many packs, only the rarest of them
   * is looked up, so what it gives is to be held against the packs themselves.
   */
  find(scheme: number, keys: readonly Buffer[], search: Search): AsyncGenerator<number[]>
}

export const keyIndexOf = (db: Db): KeyIndex => ({
  async end(schemes) {
    const { scheme, ends } = await readCoverage(db, schemes)
    return { scheme, end: ends[0]! }
  },
  unindexed: async () => Math.max(0, (await readLength(db)) - (await readCoverage(db, [NEWEST])).ends[0]!),
  named: (key) => findNamedPacks(db, key),
  namedIn: (runs, key) => findNamedPacksIn(db, runs, key),
  find: (scheme, keys, search) => findPacks(db, scheme, keys, search),
})
