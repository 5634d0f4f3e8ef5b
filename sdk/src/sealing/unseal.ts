import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import { checkField } from '../core/fields.ts'
import { isObject, type JsonObject, type JsonValue, MAX_JSON_DEPTH, parseJson } from '../core/json.ts'
import { isSealedForm, type SealedValue, sealedIn } from '../core/sealed.ts'
import { decrypt } from './jwe.ts'
import { valueKey } from './seal.ts'
import { checkKey, isErased, type KeyHolding, type SubjectKeys, storeError, within } from './subject-keys.ts'

/**
 * What became of a sealed field. `open`: it was read. `erased`: its key was destroyed, so nobody can read it. `sealed`: the store does not
 * have its key. `damaged`: it was not sealed for this field of this event under the key that it names, or has another form.
 */
export type FieldReading =
  | { readonly state: 'open' | 'sealed' | 'damaged'; readonly keyId: string }
  | { readonly state: 'erased'; readonly keyId: string; readonly at: string }

/** How long a store may take for a key, in ms: longer than an envelope may, of which more can be said. */
const STORE_MS = 15_000

/** An event's fields as far as they can be read. */
export type UnsealedEvent = {
  /** Without those that are not `open`: a ciphertext is never in the place of a value. */
  readonly fields: JsonObject
  /** Each sealed field, by name. */
  readonly sealed: { readonly [field: string]: FieldReading }
}

/**
 * Reads the sealed fields of an event. It needs nothing of the event but this; whether the event is genuine a proof says, which holds either
 * way.
 * @param event as `parseEvent`, a verdict or an answer of the service has it
 * @param keys null: of every sealed field it is said that it is sealed
 * @throws SealingError `keys_unreachable`, `subject_key_invalid`
 * @example
 * const { fields, sealed } = await unsealEvent(event, keys)
 * if (sealed.actor?.state === 'erased') console.log(`erased on ${sealed.actor.at}`)
 */
export async function unsealEvent(
  event: { readonly id: string; readonly fields: { readonly [field: string]: unknown } },
  keys: Pick<SubjectKeys, 'find'> | null,
): Promise<UnsealedEvent> {
  const fields: JsonObject = {}
  const sealed: Record<string, FieldReading> = {}
  const found = new Map<string, Promise<KeyHolding>>()
  const find = (id: string): Promise<KeyHolding> => {
    if (keys === null) return Promise.resolve(null)
    // A store of somebody's own may answer at once, throw, or have undefined for what it does not know.
    const ask = async () => (await keys.find(id)) ?? null
    const known = found.get(id) ?? within(STORE_MS, ask(), () => new Error(`no answer within ${STORE_MS} ms`))
    found.set(id, known)
    return known
  }
  for (const [name, value] of Object.entries(event.fields)) {
    const held = sealedIn(name, value)
    if (held === null) {
      fields[name] = value as JsonValue
      continue
    }
    const { reading, text } = await readSealed(name, held, event.id, find)
    sealed[name] = reading
    if (text !== undefined) fields[name] = text
  }
  return { fields, sealed }
}

async function readSealed(
  name: string,
  held: SealedValue,
  event: string,
  find: (id: string) => Promise<KeyHolding>,
): Promise<{ reading: FieldReading; text?: JsonValue }> {
  const { id: keyId } = held
  const damaged = { reading: { state: 'damaged', keyId } } as const
  if (!isSealedForm(held)) return damaged
  const holding = await find(keyId).catch((error: unknown) => {
    throw storeError(error)
  })
  if (holding === null) return { reading: { state: 'sealed', keyId } }
  if (isErased(holding)) return { reading: { state: 'erased', keyId, at: holding.at } }
  const { key } = checkKey(holding)
  const bytes = await decrypt(held.jwe, valueKey(key, event, name), keyId)
  const text = bytes && readValue(name, bytes)
  return text === null ? damaged : { reading: { state: 'open', keyId }, text: text.value }
}

/** The value of a field, as strictly as if it stood there in clear; null if it is none. */
function readValue(name: string, bytes: Uint8Array): { value: JsonValue } | null {
  const json = fromUtf8(bytes)
  if (json === null) return null
  try {
    const value = parseJson(json, MAX_JSON_DEPTH - 2)
    checkField(name, value, (path, why) => {
      throw new KillickError('field_invalid', `${path} ${why}`)
    })
    return isObject(value) && sealedIn(name, value) !== null ? null : { value }
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}
