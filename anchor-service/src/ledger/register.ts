import {
  type EventInput,
  type PublicJwk,
  type Registration,
  registrationFields,
  SYSTEM,
  thumbprint,
} from '@killick/sdk/core'
import { Refusal } from '../errors.ts'
import type { Ledger } from './ledger.ts'
import { insertRegistration } from './registry/registrations.ts'
import type { Settings } from './registry/sources.ts'

/** What to register. Settings and keys that are not named stay as they are. Times in ms. */
export type RegistrationChange = Partial<Settings> & {
  source: string
  keys: readonly { jwk: PublicJwk; notBefore: number | null; notAfter: number | null }[]
}

const DEFAULTS: Settings = {
  ...{ eventSignatures: 'required', decoys: false },
  ...{ maxAge: null, maxAhead: null, heartbeat: null },
}

/**
 * Registers a source or changes its registration, in an event of the system stream.
 * @throws Refusal request_invalid | registry_altered
 */
export async function register(ledger: Ledger, change: RegistrationChange, actor: EventInput['actor']) {
  const { source } = change
  const keys = change.keys.map((key) => ({ ...key, kid: thumbprint(key.jwk) }))
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length)
    throw new Refusal('request_invalid', 'The request has a key twice.')
  if (source === SYSTEM.source) checkOwn(ledger, change, keys)
  let made: { registration: Registration; logIndex: number } | undefined
  const recorded = await ledger.record(async (db, logIndex) => {
    await ledger.registry.catchUp(db)
    const before = ledger.registry.source(source)
    if (before === undefined && keys.length === 0) throw new Refusal('request_invalid', 'A new source needs a key.')
    if (source === SYSTEM.source) checkLast([...(before?.keys ?? []), ...keys.map((key) => [key.kid, key] as const)])
    const known = before ?? DEFAULTS
    if (change.decoys && ledger.registry.enforcement.enforcedBy(source) !== null)
      throw new Refusal('request_invalid', `The source "${source}" is held to a catalogue, so it cannot have decoys.`)
    const registration: Registration = {
      ...{ source, previous: before?.newest ?? null },
      eventSignatures: change.eventSignatures ?? known.eventSignatures,
      decoys: change.decoys ?? known.decoys,
      maxAge: change.maxAge === undefined ? known.maxAge : change.maxAge,
      maxAhead: change.maxAhead === undefined ? known.maxAhead : change.maxAhead,
      heartbeat: change.heartbeat === undefined ? known.heartbeat : change.heartbeat,
      keys,
    }
    await insertRegistration(db, registration, logIndex)
    made = { registration, logIndex }
    return { actor, ...registrationFields(registration) }
  })
  return { ...made!, event: { id: recorded.id, leafHash: recorded.leafHash } }
}

/** The settings of the ledger's own source never change, and the period of the key in use must not end. */
function checkOwn(
  ledger: Ledger,
  change: RegistrationChange,
  keys: readonly { kid: string; notBefore: number | null; notAfter: number | null }[],
) {
  const { eventSignatures, decoys, maxAge, maxAhead, heartbeat } = change
  if ([eventSignatures, decoys, maxAge, maxAhead, heartbeat].some((setting) => setting !== undefined))
    throw new Refusal('request_invalid', `The settings of the source "${SYSTEM.source}" cannot be changed.`)
  if (
    keys.some(({ kid, notBefore, notAfter }) => kid === ledger.registry.systemKid && (notBefore ?? notAfter) !== null)
  )
    throw new Refusal(
      'request_invalid',
      'This key is in use. Start the service with another one before you end its time.',
    )
}

/** Who may sign for the ledger only registrations say, and those the ledger signs: when its last key has ended, no other can come. */
function checkLast(keys: Iterable<readonly [kid: string, key: { notAfter: number | null }]>): void {
  if ([...new Map(keys).values()].every(({ notAfter }) => notAfter !== null))
    throw new Refusal(
      'request_invalid',
      `One key of the source "${SYSTEM.source}" must have no end: once the last one has ended, the ledger records nothing any more, another key included.`,
    )
}
