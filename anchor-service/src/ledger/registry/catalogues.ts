/**
 * The catalogues that the log registers: which versions a source has, and which it is held to. Like keys they are events of the system
 * stream; unlike keys they have no table, for nobody has to find them but by their source.
 */
import { hash } from 'node:crypto'
import {
  type CatalogueChange,
  equalBytes,
  type Hash,
  KillickError,
  parseCatalogueChange,
  printHash,
} from '@killick/sdk/core'
import { RegistryAltered, readSystemEvent } from './registrations.ts'

/** A change, and its place in the log. */
export type Catalogued = { change: CatalogueChange; logIndex: number; leafHash: Hash }

/** Where a version is registered. `digest`: of its actions, by which two are compared. */
export type VersionPlace = { version: string; logIndex: number; leafHash: string; digest: string }

/** What the log says of a source's catalogue now. `newest`: leaf hash of its last change, base64url. */
export type SourceCatalogue = {
  newest: string
  enforced: readonly string[]
  versions: ReadonlyMap<string, VersionPlace>
}

/** A source that is held to its catalogue, for threads: they read the versions from the log and know them by their hashes. */
export type EnforcedSource = {
  source: string
  newest: string
  versions: Pick<VersionPlace, 'version' | 'logIndex' | 'leafHash'>[]
}

/** Of the actions of a version, as they are printed. */
export const digestOf = (actions: CatalogueChange['actions']): string =>
  hash('sha256', JSON.stringify(actions), 'base64url')

/** @throws RegistryAltered if it is not a change of a catalogue, or cannot be read */
export function parseCatalogued(logIndex: number, header: string, token: string): Catalogued {
  const event = readSystemEvent(null, logIndex, header, token)
  const fail = (why: string): never => {
    throw new RegistryAltered(null, `log entry ${logIndex} ${why}`)
  }
  try {
    const change = parseCatalogueChange(event) ?? fail('is no change of a catalogue')
    return { change, logIndex, leafHash: event.leafHash }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return fail(`cannot be read: ${error.code}`)
  }
}

export type Catalogues = ReturnType<typeof keepCatalogues>

/** The sum of the changes taken so far, in the order of the log. */
export function keepCatalogues() {
  const sources = new Map<string, SourceCatalogue & { leafHash: Hash; versions: Map<string, VersionPlace> }>()
  let enforcedVersion = 0

  return {
    /** @returns false if a change before it is missing */
    take({ change, logIndex, leafHash }: Catalogued): boolean {
      const { source, previous, version, actions } = change
      const known = sources.get(source)
      const isNext = known === undefined ? previous === null : previous !== null && equalBytes(previous, known.leafHash)
      if (!isNext) return false
      const newest = printHash(leafHash)
      const versions = known?.versions ?? new Map<string, VersionPlace>()
      // A version is what was registered first under its name; the ledger registers no second one.
      if (version !== null && !versions.has(version))
        versions.set(version, { version, logIndex, leafHash: newest, digest: digestOf(actions) })
      const enforced = change.enforced.filter((name) => versions.has(name))
      if (enforced.length > 0 || (known?.enforced.length ?? 0) > 0) enforcedVersion += 1
      sources.set(source, { newest, leafHash, enforced, versions })
      return true
    },
    of: (source: string): SourceCatalogue | undefined => sources.get(source),
    /** Leaf hash of the newest change of a source that is held to its catalogue; null if it is not. */
    enforcedBy(source: string): string | null {
      const known = sources.get(source)
      return known === undefined || known.enforced.length === 0 ? null : known.newest
    },
    /** Rises with each change of what is enforced. */
    enforcedVersion: () => enforcedVersion,
    enforced: (): EnforcedSource[] =>
      [...sources]
        .filter(([, { enforced }]) => enforced.length > 0)
        .map(([source, { newest, enforced, versions }]) => ({
          ...{ source, newest },
          versions: enforced.map((name) => {
            const { version, logIndex, leafHash } = versions.get(name)!
            return { version, logIndex, leafHash }
          }),
        })),
    clear(): void {
      if (sources.size > 0) enforcedVersion += 1
      sources.clear()
    },
  }
}
