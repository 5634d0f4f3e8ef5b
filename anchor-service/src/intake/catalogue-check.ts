// Holds the events of a source to its catalogue. Which sources are held, a thread is told; what their catalogues say, it reads from the
// log, where it knows it by its hash.
import {
  type ActionRule,
  type ActionRules,
  compileMetadataSchema,
  endsStream,
  faultOf,
  isHeartbeat,
  type JsonObject,
  type JsonValue,
  KillickError,
  type MetadataCheck,
  metadataToCheck,
  printHash,
  ruleOf,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import { type EnforcedSource, parseCatalogued } from '../ledger/registry/catalogues.ts'
import { RegistryAltered, readSystemLines } from '../ledger/registry/registrations.ts'

/** A version, and what checks metadata of its actions, made when first needed. */
export type HeldVersion = { actions: ActionRules; checks: Map<string, MetadataCheck> }

/** The catalogue that a source is held to. */
export type HeldCatalogue = {
  /** Leaf hash of the newest change of the catalogue. */
  readonly newest: string
  /**
   * Why an event does not fit; null if it does.
   * @param token its text, which was read and found sound
   */
  misfit(token: string, stream: string, line: number): KillickError | null
}

export type HeldToCatalogues = ReturnType<typeof holdToCatalogues>

/** Versions that are remembered, each at most 128 KiB as text. */
const MAX_VERSIONS = 64

export function holdToCatalogues(db: Db) {
  let held = new Map<string, EnforcedSource>()
  const catalogues = new Map<string, HeldCatalogue>()
  const versions = new Map<string, HeldVersion>()

  /** @throws RegistryAltered */
  async function readVersions({ source, versions: places }: EnforcedSource): Promise<Map<string, HeldVersion>> {
    const missing = places.filter(({ leafHash }) => !versions.has(leafHash))
    const lines = await readSystemLines(
      db,
      source,
      missing.map(({ logIndex }) => logIndex),
    )
    for (const { place, header, token } of lines) {
      const { change, leafHash } = parseCatalogued(place, header, token)
      versions.set(printHash(leafHash), { actions: change.actions ?? {}, checks: new Map() })
    }
    const found = places.map(({ version, leafHash }): [string, HeldVersion] => {
      const known = versions.get(leafHash)
      if (known === undefined) throw new RegistryAltered(source, `version ${version} of its catalogue is not there`)
      return [version, known]
    })
    while (versions.size > MAX_VERSIONS) versions.delete(versions.keys().next().value!)
    return new Map(found)
  }

  return {
    /** From now on these sources are held to their catalogues, and no others. */
    tell(sources: readonly EnforcedSource[]): void {
      held = new Map(sources.map((source) => [source.source, source]))
      catalogues.clear()
    },
    isHeld: (source: string): boolean => held.size > 0 && held.has(source),
    /** @throws Refusal registry_altered */
    async read(source: string): Promise<HeldCatalogue> {
      const told = held.get(source)!
      const known = catalogues.get(source)
      if (known) return known
      try {
        const catalogue = hold(told, await readVersions(told))
        // What is enforced may have changed meanwhile.
        if (held.get(source) === told) catalogues.set(source, catalogue)
        return catalogue
      } catch (error) {
        if (!(error instanceof RegistryAltered)) throw error
        throw new Refusal('registry_altered', error.message, { source })
      }
    },
  }
}

/** @param versions those that are enforced, by name */
export function hold(
  { source, newest }: Pick<EnforcedSource, 'source' | 'newest'>,
  versions: ReadonlyMap<string, HeldVersion>,
): HeldCatalogue {
  const wanted = [...versions.keys()].join(' or ')
  return {
    newest,
    misfit(token, stream, line) {
      const fields = fieldsOf(token)
      // Recorders write it, whatever the application does.
      if (endsStream({ stream, fields }) || isHeartbeat({ stream, fields })) return null
      const { action, catalogue } = fields
      const version = typeof catalogue === 'string' ? versions.get(catalogue) : undefined
      const about = { line, source, action, ...(version && { catalogue }) }
      const misfit = (field: string, why: string) =>
        new KillickError('action_invalid', `The event does not fit the catalogue of "${source}": ${field} ${why}`, {
          ...{ ...about, field },
        })
      if (version === undefined) return misfit('/catalogue', `must be a version that is enforced: ${wanted}`)
      const rule = ruleOf(version.actions, action)
      if (rule === null)
        return new KillickError(
          'action_unknown',
          `Version ${catalogue} of the catalogue of "${source}" has no action ${action}`,
          {
            ...{ ...about, field: '/action' },
          },
        )
      const fault = faultOf(fields, rule) ?? metadataFault(action as string, fields, rule, version)
      return fault === null ? null : misfit(fault.path, fault.why)
    },
  }
}

/** The fields of an event that was found sound. */
function fieldsOf(token: string): JsonObject {
  const fields: JsonObject = {}
  for (const text of token.split('~').slice(1, -1)) {
    const [, name, value] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [string, string, JsonValue]
    fields[name] = value
  }
  return fields
}

function metadataFault(
  action: string,
  fields: JsonObject,
  { metadata: schema }: ActionRule,
  { checks }: HeldVersion,
): { path: string; why: string } | null {
  const metadata = metadataToCheck(fields)
  if (schema === null || metadata === null) return null
  const check = checks.get(action) ?? compileMetadataSchema(schema)
  checks.set(action, check)
  const fault = check(metadata, removedFrom(fields.metadata))
  return fault && { path: `/metadata${fault.path}`, why: fault.why }
}

/** Where rules of the recorder have removed something from the metadata, as pointers into it. */
function removedFrom(metadata: JsonValue | undefined): string[] {
  const { redactions } = (metadata ?? {}) as JsonObject
  if (!Array.isArray(redactions)) return []
  const paths = redactions.map((removal) => (removal as JsonObject | null)?.path)
  return paths
    .filter((path): path is string => typeof path === 'string' && path.startsWith('/metadata/'))
    .map((path) => path.slice('/metadata'.length))
}
