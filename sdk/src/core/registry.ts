/**
 * Who may sign for which source, as the log itself says. Registrations are events of the ledger's own stream, each alone in its
 * batch; the registry is their sum in the order of the log. Nothing outside the log counts.
 */
import { equalBytes } from './bytes.ts'
import { KillickError } from './errors.ts'
import { isCount, isSourceName, type ParsedEvent } from './event.ts'
import type { EventInput } from './fields.ts'
import { type Hash, parseHash, printHash } from './hash.ts'
import { hasMembers, isObject, type JsonObject, type JsonValue } from './json.ts'
import { type PublicJwk, parsePublicJwk, thumbprint } from './jwk.ts'
import { parseTime, printTime } from './time.ts'

/** The ledger as a source, and its only stream, in which it records what it does itself. */
export const SYSTEM = { source: 'killick', stream: 'system' } as const

/**
 * A key of a source, and the period in which the ledger, by its own clock, accepts its signatures: ms since 1970, null for no
 * limit.
 */
export type RegisteredKey = {
  readonly kid: string
  readonly jwk: PublicJwk
  readonly notBefore: number | null
  readonly notAfter: number | null
}

/** What one registration says: all settings of the source from here on, and the periods of the keys that it names. */
export type Registration = {
  readonly source: string
  /** Leaf hash of the source's registration before this one; null for its first. */
  readonly previous: Hash | null
  readonly eventSignatures: 'required' | 'optional'
  /** Events may hold digests without a disclosure. */
  readonly decoys: boolean
  /** How far behind and ahead of the ledger's clock an event may have been recorded, in whole seconds; null: no bound. */
  readonly maxAge: number | null
  readonly maxAhead: number | null
  /** In each of its streams that has not ended, an event is recorded at least this often, in whole seconds; null: it promises nothing. */
  readonly heartbeat: number | null
  readonly keys: readonly RegisteredKey[]
}

/** The fields of the system event that makes a registration; `parseRegistration` reads them back. */
export function registrationFields(registration: Registration): Pick<EventInput, 'action' | 'targets' | 'metadata'> {
  const { source, previous, eventSignatures, decoys, maxAge, maxAhead, heartbeat, keys } = registration
  return {
    action: previous === null ? 'source.register' : 'source.change',
    targets: [{ type: 'source', id: source }],
    metadata: {
      previous: previous && printHash(previous),
      ...{ eventSignatures, decoys, maxAge, maxAhead },
      // A registration that promises nothing has the bytes that it had before there were promises.
      ...(heartbeat !== null && { heartbeat }),
      keys: keys.map(({ kid, jwk, notBefore, notAfter }) => ({
        ...{ kid, jwk: { ...jwk }, notBefore: printTime(notBefore), notAfter: printTime(notAfter) },
      })),
    },
  }
}

function invalid(why: string): never {
  throw new KillickError('registration_invalid', `Registration: ${why}`)
}

/** One spelling for each time. */
function parseLimit(value: JsonValue | undefined, where: string): number | null {
  if (value === null) return null
  const time = parseTime(value)
  return time !== null && printTime(time) === value ? time : invalid(`${where} is not an ISO 8601 UTC time`)
}

function parseBound(value: JsonValue | undefined, where: string): number | null {
  return value === null || isCount(value) ? value : invalid(`${where} is not a number of whole seconds`)
}

function parseKey(value: JsonValue, where: string): RegisteredKey {
  if (!isObject(value) || !hasMembers(value, ['kid', 'jwk', 'notBefore', 'notAfter'])) invalid(`${where} is not a key`)
  const jwk = parsePublicJwk(value.jwk)
  if (value.kid !== thumbprint(jwk)) invalid(`the kid of ${where} is not that of its key`)
  return {
    ...{ kid: value.kid as string, jwk },
    notBefore: parseLimit(value.notBefore, `${where}/notBefore`),
    notAfter: parseLimit(value.notAfter, `${where}/notAfter`),
  }
}

const SETTINGS = ['previous', 'eventSignatures', 'decoys', 'maxAge', 'maxAhead', 'keys']

/**
 * What an event registers; null if it is not a registration, which is an event of the ledger's own stream with the action
 * `source.register` or `source.change`. The caller checks its signature.
 * @throws KillickError `registration_invalid`, `key_invalid`
 */
export function parseRegistration(event: ParsedEvent): Registration | null {
  const { action, targets, metadata } = event.fields
  if (event.source !== SYSTEM.source || event.stream !== SYSTEM.stream) return null
  if (action !== 'source.register' && action !== 'source.change') return null
  const target = Array.isArray(targets) && targets.length === 1 ? targets[0] : undefined
  if (!isObject(target) || !hasMembers(target, ['type', 'id']) || target.type !== 'source' || !isSourceName(target.id))
    invalid('its target is not one source')
  if (!isObject(metadata) || !hasMembers(metadata, SETTINGS, ['heartbeat']))
    invalid(`its metadata is not ${SETTINGS.join(', ')}`)
  return parseSettings(target.id as string, action, metadata)
}

function parseSettings(source: string, action: string, metadata: JsonObject): Registration {
  const { eventSignatures, decoys } = metadata
  const previous = metadata.previous === null ? null : (parseHash(metadata.previous) ?? invalid('previous is no hash'))
  if ((previous === null) !== (action === 'source.register'))
    invalid('only the first registration of a source has no previous')
  if (eventSignatures !== 'required' && eventSignatures !== 'optional') invalid('eventSignatures is unknown')
  if (typeof decoys !== 'boolean') invalid('decoys is not true or false')
  if (!Array.isArray(metadata.keys)) invalid('keys is not an array')
  const keys = metadata.keys.map((key, i) => parseKey(key, `keys/${i}`))
  if (new Set(keys.map(({ kid }) => kid)).size !== keys.length) invalid('it names a key twice')
  if (previous === null && keys.length === 0) invalid('a new source needs a key')
  const maxAge = parseBound(metadata.maxAge, 'maxAge')
  return {
    source,
    previous,
    eventSignatures,
    decoys,
    maxAge,
    maxAhead: parseBound(metadata.maxAhead, 'maxAhead'),
    heartbeat: parseBound(metadata.heartbeat ?? null, 'heartbeat'),
    keys,
  }
}

/** A registration at its place in the log; `leafHash` is the event's. */
export type RegistryEntry = {
  readonly registration: Registration
  readonly logIndex: number
  readonly leafHash: Hash
  /** Name of the key that signed its batch. */
  readonly signedBy: string
}

/** A key as last registered. `registeredAt`, `changedAt`: log index of the first and of the newest registration that names it. */
export type KeyRecord = RegisteredKey & { readonly registeredAt: number; readonly changedAt: number }

/** A source after all its registrations; `newest` is the leaf hash of the last one, `logIndex` its log index. */
export type SourceRecord = Omit<Registration, 'previous' | 'keys'> & {
  readonly keys: ReadonlyMap<string, KeyRecord>
  readonly newest: Hash
  readonly logIndex: number
}

/**
 * What can be wrong with a registration that follows others. `signer`: it is not signed by a key of the ledger registered before
 * it. `previous`: it does not name the source's registration before it, so one is missing. `order`: a later one was already
 * applied.
 */
export type RegistryFault = 'signer' | 'previous' | 'order'

/** Sources and their keys at one place of the log: registrations are applied in the order of the log. */
export class Registry {
  readonly #sources = new Map<string, SourceRecord>()
  #logIndex = -1

  /** The source as it is now; undefined: it was never registered. */
  source(name: string): SourceRecord | undefined {
    return this.#sources.get(name)
  }

  /** Names of all sources, in the order in which they were first registered. */
  get names(): string[] {
    return [...this.#sources.keys()]
  }

  /**
   * Takes the next registration. The ledger's own first registration must be signed by a key that it registers, every other by a
   * key of the ledger registered before. A registration that is not, or that is out of order, changes nothing. One that skips
   * another still counts: the newest is the newest, whatever is missing before it.
   * @param trusted names of keys of the ledger that count without a registration, because the caller pinned them
   * @returns what is wrong with it, or null
   */
  apply(
    { registration, logIndex, leafHash, signedBy }: RegistryEntry,
    trusted?: ReadonlySet<string>,
  ): RegistryFault | null {
    if (logIndex <= this.#logIndex) return 'order'
    const { source, previous, keys, ...settings } = registration
    const known = this.#sources.get(source)
    const system = this.#sources.get(SYSTEM.source)
    const isFirst = system === undefined && source === SYSTEM.source
    const signers = isFirst ? new Set(keys.map(({ kid }) => kid)) : system?.keys
    if (!signers?.has(signedBy) && !trusted?.has(signedBy)) return 'signer'
    const isNext = known === undefined ? previous === null : previous !== null && equalBytes(previous, known.newest)
    const words = keys.map((key): [string, KeyRecord] => {
      const registeredAt = known?.keys.get(key.kid)?.registeredAt ?? logIndex
      return [key.kid, { ...key, registeredAt, changedAt: logIndex }]
    })
    const record = { ...settings, keys: new Map([...(known?.keys ?? []), ...words]), newest: leafHash, logIndex }
    this.#sources.set(source, { source, ...record })
    this.#logIndex = logIndex
    return isNext ? null : 'previous'
  }
}
