/** How a sealed value stands in an event, in the place of what only those can read who hold its subject's key: docs/PROTOCOL.md §15. */
import { fromBase64url, toBase64url, utf8 } from './bytes.ts'
import { hasMembers, isObject, type JsonValue } from './json.ts'

/** A sealed value as it stands in a field. `id`: of the key, and of every key that its subject ever has here. `jwe`: compact, RFC 7516. */
export type SealedValue = { readonly type: 'sealed'; readonly id: string; readonly jwe: string }

/** Largest `jwe`, in characters. */
export const MAX_JWE = 131_072

const KEY_ID = /^[\w-]{21}[AQgw]$/
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Whether this can be the id of a subject's key: canonical base64url of 16 bytes. */
export const isSubjectKeyId = (value: unknown): value is string => typeof value === 'string' && KEY_ID.test(value)

/** The protected header of a JWE under the key of this id, as it stands in the JWE: it has one spelling. */
export const jweHeader = (id: string): string => toBase64url(utf8(`{"alg":"dir","enc":"A256GCM","kid":"${id}"}`))

/**
 * The sealed value in a field; null if the field says something else. It may be malformed (`isSealedForm`), and is nothing to be shown as
 * what the field says in any case.
 */
export function sealedIn(field: string, value: unknown): SealedValue | null {
  if (field === 'targets') return asSealed(onlyOf(value))
  if (field !== 'changes') return asSealed(value)
  const change = onlyOf(value)
  return isObject(change) && hasMembers(change, ['path', 'after']) && change.path === '' ? asSealed(change.after) : null
}

/** Names of the fields that are sealed. @param fields those of an event that are there */
export const sealedNames = (fields: Readonly<Record<string, unknown>>): string[] =>
  Object.keys(fields).filter((name) => sealedIn(name, fields[name]) !== null)

/** The value of a field that a sealed value stands in: as much around it as the field's form asks for. */
export function sealedField(field: string, { type, id, jwe }: SealedValue): JsonValue {
  const value = { type, id, jwe }
  if (field === 'targets') return [value]
  return field === 'changes' ? [{ path: '', after: value }] : value
}

/** Whether a sealed value has the form that it must have; whether it can be decrypted only its key tells. */
export function isSealedForm({ id, jwe }: SealedValue): boolean {
  if (!isSubjectKeyId(id) || jwe.length > MAX_JWE) return false
  const [header, encryptedKey, ...parts] = jwe.split('.')
  const [nonce, text, tag] = parts.map(fromBase64url)
  const isWhole =
    parts.length === 3 && nonce?.length === NONCE_BYTES && tag?.length === TAG_BYTES && (text?.length ?? 0) > 0
  // Nothing else is encrypted under the key itself: `dir`, so no encrypted key.
  return isWhole && header === jweHeader(id) && encryptedKey === ''
}

const onlyOf = (value: unknown): unknown => (Array.isArray(value) && value.length === 1 ? value[0] : undefined)

function asSealed(value: unknown): SealedValue | null {
  if (!isObject(value) || !hasMembers(value, ['type', 'id', 'jwe']) || value.type !== 'sealed') return null
  return typeof value.id === 'string' && typeof value.jwe === 'string' ? (value as SealedValue) : null
}
