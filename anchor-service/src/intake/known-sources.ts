import { type Registered, readRegistered } from '../ledger/sources.ts'
import type { Db } from '../ledger/tiles.ts'

/** Sources that are remembered, about 1 KiB each; beyond, those that were read first are forgotten. */
const MAX_SOURCES = 1_000

/**
 * Remembers sources, so that they need not be read for every batch. What has changed since is found out where it matters: the
 * commit holds a batch against the registry again if that has grown, and a refusal is given on what was read just then.
 */
export function knowSources(db: Db) {
  const known = new Map<string, Registered>()

  async function readAgain(name: string): Promise<Registered> {
    const registered = await readRegistered(db, name)
    known.delete(name)
    if (registered.source !== undefined) known.set(name, registered)
    if (known.size > MAX_SOURCES) known.delete(known.keys().next().value!)
    return registered
  }

  return {
    readAgain,
    /** The source by a registry of at least this version. */
    async read(name: string, since: number): Promise<Registered> {
      const registered = known.get(name)
      return registered !== undefined && registered.registry >= since ? registered : readAgain(name)
    },
  }
}

export type KnownSources = ReturnType<typeof knowSources>
