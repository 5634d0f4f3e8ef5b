import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { NOBODY, type Sealer, type SubjectOf } from '../client/sealer.ts'
import { utf8 } from '../core/bytes.ts'
import { InvariantError, KillickError } from '../core/errors.ts'
import type { AnyEventInput } from '../core/fields.ts'
import { knownOptions } from '../core/options.ts'
import { isSealedForm, MAX_JWE, type SealedValue, sealedField, sealedIn } from '../core/sealed.ts'
import { SealingError } from './errors.ts'
import { encrypt } from './jwe.ts'
import { checkKey, checkSubject, KEY_BYTES, type SubjectKeys, storeError, within } from './subject-keys.ts'

/** Options of `sealing`. */
export type SealingOptions = {
  /**
   * Whose data an event holds: one subject for each event. `NOBODY`: nothing of it is sealed. Null or undefined: the event is refused.
   * Default: the actor.
   */
  readonly subject?: SubjectOf | undefined
  /** How long the store may take for a key, in ms, before `record()` rejects with `keys_unreachable`; default 10,000. */
  readonly timeoutMs?: number | undefined
}

/** Plaintext is filled up with spaces to a multiple of this, so that what is erased does not leave its length. */
const STEP = 64
/** Largest plaintext whose JWE is not larger than `MAX_JWE`. */
const MAX_TEXT = 98_176

/**
 * Seals fields of events under keys of their subjects, for `openAuditLog`. Without a key nothing is recorded: never in clear.
 * @throws KillickError `option_invalid`
 * @example
 * const keys = postgresSubjectKeys(pool, { secret })
 * const audit = await openAuditLog({ url, source, key, spool, sealed: ['actor', 'context'], sealing: sealing(keys) })
 */
export function sealing(keys: SubjectKeys, options: SealingOptions = {}): Sealer {
  const { subject: subjectOf = ({ actor }) => actor, timeoutMs = 10_000 } = knownOptions<SealingOptions>(options, {
    subject: true,
    timeoutMs: true,
  })
  if (typeof keys?.toSeal !== 'function')
    throw new KillickError(
      'option_invalid',
      `sealing() needs a store of keys${keys instanceof Promise ? ', and was given a promise of one: await it' : ''}`,
      {
        option: 'keys',
      },
    )
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs >= 2 ** 31)
    throw new KillickError('option_invalid', 'Option timeoutMs must be an integer from 1', { option: 'timeoutMs' })
  return {
    async seal({ id, fields }, names, given) {
      const isDue = (name: string, value: unknown) =>
        names.has(name) && !(name === 'targets' && (value as unknown[]).length === 0)
      const due = fields.filter(([name, value]) => isDue(name, value))
      if (due.length === 0) return fields
      const subject = given ?? subjectOf(Object.fromEntries(fields) as AnyEventInput)
      if (subject === NOBODY) return fields
      if (subject === undefined || subject === null)
        throw new SealingError('subject_missing', 'The event says nobody whose data it would be')
      checkDue(due, fields)
      const held = await keyWithin(timeoutMs, keys, subject)
      const seal = ([name, value]: readonly [string, unknown]) => sealValue(name, value, id, held)
      return Promise.all(fields.map(async (each) => (due.includes(each) ? [each[0], await seal(each)] : [...each])))
    },
  }
}

const keyWithin = async (ms: number, keys: SubjectKeys, subject: unknown) => {
  const whose = checkSubject(subject)
  try {
    return checkKey(await within(ms, keys.toSeal(whose), () => new Error(`no answer within ${ms} ms`)))
  } catch (error) {
    throw storeError(error)
  }
}

function checkDue(due: readonly (readonly [string, unknown])[], fields: readonly (readonly [string, unknown])[]): void {
  const isHeld = fields.some(([name]) => name === 'catalogue')
  for (const [name, value] of due) {
    if (sealedIn(name, value) !== null) fail(name, 'is sealed already')
    if (isHeld && (name === 'metadata' || name === 'targets'))
      fail(name, 'cannot be sealed in an event with a catalogue, since the ledger holds it against that')
  }
}

function fail(name: string, why: string): never {
  throw new KillickError('field_invalid', `/${name} ${why}`, { field: `/${name}` })
}

async function sealValue(name: string, value: unknown, event: string, { id, key }: { id: string; key: Uint8Array }) {
  const text = utf8(JSON.stringify(value))
  if (text.length > MAX_TEXT)
    throw new KillickError(
      'event_too_large',
      `/${name} has ${text.length} bytes; a sealed field has at most ${MAX_TEXT}`,
    )
  const padded = new Uint8Array(Math.ceil(text.length / STEP) * STEP).fill(0x20)
  padded.set(text)
  const jwe = await encrypt(padded, valueKey(key, event, name), id)
  const sealed: SealedValue = { type: 'sealed', id, jwe }
  if (!isSealedForm(sealed))
    throw new InvariantError(`A JWE has another form than expected, or more than ${MAX_JWE} characters`)
  return sealedField(name, sealed)
}

/** The key of one value: it opens no other, in no other event and no other field. */
export const valueKey = (key: Uint8Array, event: string, field: string): Uint8Array =>
  hkdf(sha256, key, undefined, utf8(`killick-sealed/1 ${event} ${field}`), KEY_BYTES)
