// Registrations as a ledger would have them in its log: the ledger's own, the source's, and a change of it that adds a key.
import {
  type BatchHeader,
  type EventInput,
  type Hash,
  hideFields,
  leafHash,
  makeEvent,
  parseBatchHeader,
  parseEvent,
  type Registration,
  registrationFields,
  type Signer,
  SYSTEM,
  signBatchHeader,
  treeRoot,
} from '@killick/sdk/core'
import { signerFor } from './keys.ts'

export type BuiltRegistration = { index: number; event: string; header: BatchHeader; leafHash: Hash }

/** What is to be registered, where, and signed by whom; `previous` follows from what was registered before. */
export type RegistrationPlan = {
  index: number
  registration: Omit<Registration, 'previous'> & { previous?: Hash | null }
  signer?: Signer
}

export const SYSTEM_SIGNER = signerFor('system')

export const keyOf = ({ kid, jwk }: Signer, notBefore: number | null = null, notAfter: number | null = null) => ({
  ...{ kid, jwk, notBefore, notAfter },
})

export const settings = (source: string, keys: Registration['keys']): Omit<Registration, 'previous'> => ({
  ...{ source, eventSignatures: 'optional', decoys: false, maxAge: null, maxAhead: null, heartbeat: null, keys },
})

/** The log's first entry: the ledger registers itself. */
export const OWN: RegistrationPlan = { index: 0, registration: settings(SYSTEM.source, [keyOf(SYSTEM_SIGNER)]) }

/** @param mint UUIDv7, time and salts of the n-th event */
export async function register(
  plans: readonly RegistrationPlan[],
  mint: (n: number) => { id: string; time: number; salt: () => Uint8Array },
): Promise<BuiltRegistration[]> {
  const newest = new Map<string, Hash>()
  const done: BuiltRegistration[] = []
  for (const [seq, { index, registration, signer = SYSTEM_SIGNER }] of plans.entries()) {
    const previous = registration.previous ?? newest.get(registration.source) ?? null
    const input = {
      ...registrationFields({ ...registration, previous }),
      actor: { type: 'service', id: 'anchor-service' },
    } as EventInput
    const before = done.at(-1)
    const at = mint(900 + seq)
    const position = { ...SYSTEM, seq, ...(seq > 0 && { prev: before!.leafHash }) }
    const made = await makeEvent(input, position, at, signer)
    const root = treeRoot([made.leafHash])
    const prev = seq > 0 ? leafHash(new TextEncoder().encode('the system batch before')) : undefined
    const text = await signBatchHeader({ ...SYSTEM, seq, n: 1, root, prev, time: at.time }, signer)
    const event = hideFields(parseEvent(made.token), ['action', 'targets', 'metadata'])
    done.push({ index, event, header: parseBatchHeader(text), leafHash: made.leafHash })
    newest.set(registration.source, made.leafHash)
  }
  return done
}
