/**
 * Keys of data subjects: who keeps them, and what their names are. A name is made from the subject by a secret that is not kept with the
 * keys. So the store holds nothing about anybody; and the same subject has the same name for ever, also in a store that has lost it, so
 * that a mark for a name that was erased finds it at the next write, whatever was restored.
 */
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { equalBytes, isBytes, toBase64url, utf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { checkField, type Party } from '../core/fields.ts'
import { isSubjectKeyId } from '../core/sealed.ts'
import { parseTime } from '../core/time.ts'
import { SealingError } from './errors.ts'
import { decrypt, encrypt } from './jwe.ts'

/** The key of a subject. `id`: 22 characters of base64url that say nothing about the subject. `key`: 32 bytes. */
export type SubjectKey = { readonly id: string; readonly key: Uint8Array }

/** The mark of a key that was destroyed. */
export type ErasedKey = {
  readonly id: string
  /** When: RFC 3339, UTC. */
  readonly at: string
  /** Id of the event that says so, if there is one. */
  readonly event: string | null
}

/** What a store knows of a key; null: it never had it. */
export type KeyHolding = SubjectKey | ErasedKey | null

/**
 * A store of subjects' keys. What it has answered is durable. Once a key is marked as erased, no call ever gives it or makes another for its
 * subject, whatever else happens at the same time.
 */
export type SubjectKeys = {
  /** The name of a subject's key, whether there is one or not. `type` and `id` make the subject; other members are not looked at. */
  idOf(subject: Party): Promise<string>
  /**
   * The key to seal with; made if the subject has none.
   * @throws SealingError `subject_erased` (`details` are the `ErasedKey`), `subject_key_invalid`, `keys_unreachable`
   */
  toSeal(subject: Party): Promise<SubjectKey>
  /**
   * What the store has by a name.
   * @throws SealingError `subject_key_invalid`, `keys_unreachable`
   */
  find(id: string): Promise<KeyHolding>
  /**
   * Destroys keys and marks their names as erased, also names that the store never had. A mark stays as it was first made; the same again
   * is no error.
   * @returns how many were not marked before
   * @throws KillickError `option_invalid`. @throws SealingError `keys_unreachable`: then some may be done
   */
  erase(marks: readonly ErasedKey[]): Promise<number>
  /** All marks, in no order that means anything. @throws SealingError `keys_unreachable` */
  erased(): AsyncIterable<ErasedKey>
}

/**
 * How a store keeps a key: encrypted under another that is kept elsewhere, such as in a KMS. The `id` belongs to the key and should be bound
 * to it (AWS: an encryption context).
 */
export type Envelope = {
  /** @param key 32 bytes @returns text to store */
  wrap(key: Uint8Array, id: string): Promise<string>
  /** @returns the 32 bytes. @throws if this is not what `wrap` made for this id */
  unwrap(wrapped: string, id: string): Promise<Uint8Array>
}

/** The names of the options that stores of keys have. */
export const STORE_OPTIONS = { secret: true, envelope: true } as const

/** What a secret makes: names of subjects, and an envelope. */
export type SubjectNaming = Envelope & { nameOf(subject: Party): string }

/** Bytes of a secret, and of a key. */
export const KEY_BYTES = 32

/**
 * @param secret 32 random bytes. Names and envelope are under two keys derived from it
 * @throws KillickError `option_invalid`
 */
export function namingBy(secret: Uint8Array): SubjectNaming {
  if (!isBytes(secret) || secret.length !== KEY_BYTES)
    throw new KillickError('option_invalid', `Option secret must be ${KEY_BYTES} bytes`, { option: 'secret' })
  const derive = (what: string) => hkdf(sha256, secret, undefined, utf8(what), KEY_BYTES)
  const [names, envelope] = [derive('killick subject names'), derive('killick subject keys')]
  return {
    nameOf(subject) {
      const { type, id } = checkSubject(subject)
      return toBase64url(hmac(sha256, names, utf8(JSON.stringify([type, id]))).subarray(0, 16))
    },
    wrap: (key, id) => encrypt(key, envelope, id),
    async unwrap(wrapped, id) {
      const key = await decrypt(wrapped, envelope, id)
      if (key === null) throw new Error('it was wrapped under another secret, or altered')
      return key
    },
  }
}

/** @throws SealingError `subject_missing` */
export function checkSubject(subject: unknown): Party {
  checkField('actor', subject, (path, why) => {
    throw new SealingError(
      'subject_missing',
      `Nobody can be told as the subject: ${path.replace('/actor', 'it')} ${why}`,
    )
  })
  return subject as Party
}

/** @throws KillickError `option_invalid` */
export function checkMarks(marks: readonly ErasedKey[]): readonly ErasedKey[] {
  for (const { id, at, event } of marks)
    if (!isSubjectKeyId(id) || parseTime(at) === null || !(event === null || typeof event === 'string'))
      throw new KillickError('option_invalid', 'A mark of an erased key must be {id, at, event}', { option: 'marks' })
  return marks
}

export const isErased = (found: KeyHolding): found is ErasedKey => found !== null && 'at' in found

export const erasedError = (mark: ErasedKey): SealingError =>
  new SealingError(
    'subject_erased',
    `The subject of key ${mark.id} was erased at ${mark.at}; nothing is sealed for it`,
    {
      ...mark,
    },
  )

/** How long an envelope may take for a key, in ms: one that never answers would hold up whoever reads, and whoever erases. */
const ENVELOPE_MS = 10_000

/** Opens an envelope. @throws SealingError `subject_key_invalid`, `keys_unreachable` if it does not answer; `details.id` names the key */
export async function unwrapKey(envelope: Envelope, id: string, wrapped: string): Promise<SubjectKey> {
  const asked = envelope.unwrap(wrapped, id).catch((error: unknown) => {
    throw keyError(id, (error as Error).message)
  })
  const late = () => {
    const why = `Subject key ${id}: its envelope gave no answer within ${ENVELOPE_MS} ms`
    return new SealingError('keys_unreachable', why, { id })
  }
  return checkKey({ id, key: await within(ENVELOPE_MS, asked, late) })
}

/** What is asked for, or what is to be said when it has not come after so many ms. */
export async function within<T>(ms: number, asked: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms)
  })
  try {
    return await Promise.race([asked, end])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Wraps a fresh key for a subject, and sees that it opens, and as the same: what a store keeps stays for good. Else nothing could ever be sealed
 * for its subject, or what was sealed could not be read, or be read by whoever knows what a broken envelope answers.
 * @param open as the store opens it
 * @throws SealingError `subject_key_invalid`
 */
export async function wrapKey(
  envelope: Envelope,
  key: Uint8Array,
  id: string,
  open: (wrapped: string) => Promise<SubjectKey>,
): Promise<string> {
  const wrapped: unknown = await envelope.wrap(key, id)
  if (typeof wrapped !== 'string') throw keyError(id, 'its envelope gave no text to store')
  if (!equalBytes((await open(wrapped)).key, key)) throw keyError(id, 'its envelope gave another key back')
  return wrapped
}

/** @throws SealingError `subject_key_invalid` */
export function checkKey(held: SubjectKey): SubjectKey {
  if (!isSubjectKeyId(held.id) || !isBytes(held.key) || held.key.length !== KEY_BYTES)
    throw keyError(held.id, `it does not have ${KEY_BYTES} bytes`)
  return held
}

const keyError = (id: string, why: string): SealingError =>
  new SealingError('subject_key_invalid', `Subject key ${id}: ${why}`, { id })

/** What a store failed with. */
export const storeError = (error: unknown): Error =>
  // By name: a bundler may have made another copy of the class.
  error instanceof Error && (error.name === 'SealingError' || error.name === 'KillickError')
    ? error
    : new SealingError(
        'keys_unreachable',
        `The store of subjects’ keys: ${(error as Error)?.message || 'it failed'}`,
        {},
        { cause: error },
      )
