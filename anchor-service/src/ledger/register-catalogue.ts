import {
  type ActionRules,
  type CatalogueChange,
  catalogueFields,
  type EventInput,
  parseHash,
  printHash,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from './ledger.ts'
import { digestOf, parseCatalogued, type SourceCatalogue, type VersionPlace } from './registry/catalogues.ts'
import { RegistryAltered, readSystemLines } from './registry/registrations.ts'

/** What to register. `version` and `actions` go together. What is not named stays as it is. */
export type CatalogueRequest = {
  source: string
  version?: string | undefined
  actions?: ActionRules | undefined
  /** Versions that the source is held to from here on; empty: none. */
  enforced?: readonly string[] | undefined
}

export type CatalogueRegistered = {
  enforced: readonly string[]
  /** Log index of the event that says so; null: everything was so before, and nothing was recorded. */
  logIndex: number | null
  event: { id: string; leafHash: string } | null
}

/** Thrown within this file when there is nothing to record. */
class Unchanged extends Error {
  readonly enforced: readonly string[]

  constructor(enforced: readonly string[]) {
    super()
    this.enforced = enforced
  }
}

/**
 * Registers a version of a source's catalogue, or which versions it is held to, in an event of the system stream. A version is
 * registered once: the same again changes nothing.
 * @throws Refusal request_invalid | catalogue_taken | registry_altered
 */
export async function registerCatalogue(
  ledger: Ledger,
  request: CatalogueRequest,
  actor: EventInput['actor'],
): Promise<CatalogueRegistered> {
  let made: { enforced: readonly string[]; logIndex: number } | undefined
  try {
    const recorded = await ledger.record(async (db, logIndex) => {
      await ledger.registry.catchUp(db)
      const change = changeOf(ledger, request)
      made = { enforced: change.enforced, logIndex }
      return { actor, ...catalogueFields(change) }
    })
    // What this process checks from now on is checked by it.
    await ledger.registry.catchUp(ledger.db)
    return { ...made!, event: { id: recorded.id, leafHash: recorded.leafHash } }
  } catch (error) {
    if (error instanceof Unchanged) return { enforced: error.enforced, logIndex: null, event: null }
    throw error
  }
}

/** @throws Unchanged */
function changeOf({ registry }: Ledger, { source, version, actions, enforced }: CatalogueRequest): CatalogueChange {
  const registered = registry.source(source)
  if (registered === undefined)
    throw new Refusal('request_invalid', `The source "${source}" is not registered.`, { source })
  const known = registry.catalogue(source)
  const isNew = version !== undefined && !isRegistered(known, source, version, actions!)
  const next = enforced ?? known?.enforced ?? []
  const unknown = next.find((name) => !(isNew && name === version) && known?.versions.has(name) !== true)
  if (unknown !== undefined)
    throw new Refusal('request_invalid', `The source "${source}" has no version ${unknown} of a catalogue.`, { source })
  // What cannot be read cannot be checked, and a decoy looks like what cannot be read.
  if (next.length > 0 && registered.decoys)
    throw new Refusal('request_invalid', `The source "${source}" may have decoys, so it cannot be held to a catalogue.`)
  const isSame = next.length === (known?.enforced.length ?? 0) && next.every((name) => known?.enforced.includes(name))
  if (!isNew && isSame) throw new Unchanged(next)
  return {
    ...{ source, previous: known === undefined ? null : parseHash(known.newest)!, enforced: next },
    ...(isNew ? { version: version!, actions: actions! } : { version: null, actions: null }),
  }
}

function isRegistered(
  known: SourceCatalogue | undefined,
  source: string,
  version: string,
  actions: ActionRules,
): boolean {
  const place = known?.versions.get(version)
  if (place === undefined) return false
  if (place.digest === digestOf(actions)) return true
  const { logIndex } = place
  throw new Refusal('catalogue_taken', `Version ${version} of the catalogue of "${source}" says something else.`, {
    ...{ source, version, logIndex },
  })
}

/**
 * What the log says of a source's catalogue.
 * @param version whose actions to show; default: of none
 * @throws Refusal not_found, if there is no such version | registry_altered
 */
export async function readCatalogue({ registry, db }: Ledger, source: string, version?: string) {
  await registry.catchUp(db)
  const known = registry.catalogue(source)
  const versions = [...(known?.versions.values() ?? [])].map(({ version, logIndex }) => ({ version, logIndex }))
  const read = { source, enforced: [...(known?.enforced ?? [])], versions }
  if (version === undefined) return { ...read, actions: null }
  const place = known?.versions.get(version)
  if (place === undefined)
    throw new Refusal('not_found', `The source "${source}" has no version ${version} of a catalogue.`)
  return { ...read, actions: await readActions(db, source, place) }
}

async function readActions(db: Db, source: string, { logIndex, leafHash }: VersionPlace): Promise<ActionRules> {
  try {
    const [line] = await readSystemLines(db, source, [logIndex])
    const read = parseCatalogued(logIndex, line!.header, line!.token)
    if (printHash(read.leafHash) === leafHash && read.change.actions !== null) return read.change.actions
    throw new RegistryAltered(source, `log entry ${logIndex} is not the catalogue that was accepted`)
  } catch (error) {
    if (!(error instanceof RegistryAltered)) throw error
    throw new Refusal('registry_altered', error.message, { source })
  }
}
