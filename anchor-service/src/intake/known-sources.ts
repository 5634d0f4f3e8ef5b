import { printHash, type SourceRecord } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import {
  differences,
  foldSource,
  type Registered,
  RegistryAltered,
  readRegistered,
  readRows,
} from '../ledger/registry/registrations.ts'

/** Sources that are remembered, about 4 KiB each; beyond that number the oldest are forgotten. */
const MAX_SOURCES = 1_000

/** A source, and the hash of its newest registration, by which the commit knows what it was judged by. */
export type KnownSource = { source: SourceRecord | undefined; newest: string | null }

type Known = KnownSource & { all: readonly Registered[]; since: number }

/**
 * Remembers sources, so that they need not be read for every batch. A change since then is noticed where it matters: the commit
 * compares what a batch was judged by with the log, and a refusal is based on rows that were just read.
 */
export function knowSources(db: Db) {
  const known = new Map<string, Known>()

  /** @throws Refusal registry_altered if its rows are not what its registrations in the log say */
  async function readAgain(name: string, since: number): Promise<KnownSource> {
    try {
      const rows = await readRows(db, [name])
      const before = known.get(name)?.all ?? []
      const all = [...before, ...(await readRegistered(db, name, placesBehind(name, rows.sources, before)))]
      const source = foldSource(name, all)
      const [fault] = differences(all, rows)
      if (fault !== undefined) throw new RegistryAltered(name, fault.message)
      const read = { source, newest: source ? printHash(source.newest) : null, all, since }
      known.delete(name)
      if (all.length > 0) known.set(name, read)
      if (known.size > MAX_SOURCES) known.delete(known.keys().next().value!)
      return read
    } catch (error) {
      if (!(error instanceof RegistryAltered)) throw error
      throw new Refusal('registry_altered', error.message, { source: name })
    }
  }

  return {
    readAgain,
    /** The source by a registry of at least this version. */
    async read(name: string, since: number): Promise<KnownSource> {
      const read = known.get(name)
      return read !== undefined && read.since >= since ? read : readAgain(name, since)
    },
  }
}

/** Log indices of a source's registrations by its rows, after those that are known. */
function placesBehind(source: string, rows: readonly { log_index: number }[], known: readonly Registered[]): number[] {
  const places = rows.map(({ log_index }) => log_index)
  if (!places.every(Number.isSafeInteger)) throw new RegistryAltered(source, 'sources.log_index: no log is so long')
  const last = known.at(-1)?.logIndex ?? -1
  return places.filter((place) => place > last)
}

export type KnownSources = ReturnType<typeof knowSources>
