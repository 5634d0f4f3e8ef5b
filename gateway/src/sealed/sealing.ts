// Seals what the gateway records. What cannot be sealed is refused; or where something has happened already, told without what is due.
import { isObject, type JsonObject, type JsonValue, type Party, unescapePointer } from '@killick/sdk/core'
import type { Sealer } from '@killick/sdk/sealing'
import { openSubjectKeys } from './keys.ts'
import type { SealedSettings } from './settings.ts'

type Fields = readonly (readonly [string, unknown])[]

/** What seals, and the store behind it. */
export type EventSealing = {
  readonly sealer: Sealer
  /**
   * Finds out whether an event could be sealed now, and seals nothing.
   * @param seen subjects for whom that is known @throws as `sealer.seal`
   */
  check(fields: JsonObject, seen: Set<string>): Promise<void>
  /** Given to `record()` for an event that holds nobody's data. */
  readonly nobody: { readonly subject: Exclude<Parameters<Sealer['seal']>[2], Party | undefined> }
  close(): Promise<void>
}

/** How one kind of events is sealed. */
export type SealingParts = {
  /** The recorder's name, which stands as the actor where the real one must not be written; and the member of `metadata` that is its own. */
  readonly source: string
  /** Null where no member is. */
  readonly kind: string | null
  /** Whether an event that cannot be sealed is recorded without the fields that are due. Default: never; it is refused. */
  readonly withholds?: (known: JsonObject, code: string) => boolean
  /** Tells people something: a line on stderr. */
  readonly say: (text: string) => void
}

/** Subjects of what is begun and not ended, at most. */
const MAX_OPEN = 20_000

/**
 * Opens the store and makes what seals. Loads the library for it, which nobody needs who seals nothing.
 * @throws GatewayStartError
 */
export async function openSealing(settings: SealedSettings, parts: SealingParts): Promise<EventSealing> {
  const { keys, close } = await openSubjectKeys(settings)
  const library = await import('@killick/sdk/sealing')
  const { SealingError, sealing } = library
  const inner = sealing(keys, { timeoutMs: settings.timeoutMs })
  const begun = new Map<string, Party>()
  let lastSaid = ''

  /** What an event says itself, or the event whose end it is, or about which a person has decided. */
  function ownerOf(id: string, fields: JsonObject, known: JsonObject): Party | null {
    const before = intentsIn(known).map((each) => begun.get(each))
    for (const each of endedBy(known)) begun.delete(each)
    const owner =
      subjectIn(fields, { ...settings, onMissing: 'refuse' }) ?? onlyOf(before) ?? subjectIn(fields, settings)
    if (owner !== null && settings.subject !== null && known.isOpen === true) {
      // What was not recorded for another reason never ends, and would be kept for good.
      if (begun.size >= MAX_OPEN) begun.delete(begun.keys().next().value!)
      begun.set(id, owner)
    }
    return owner
  }

  async function sealed(
    { id, fields }: Parameters<Sealer['seal']>[0],
    names: ReadonlySet<string>,
    owner: Party | null,
  ) {
    try {
      if (owner === null && isDue(fields, names))
        throw new SealingError('subject_missing', 'The event does not say whose data it holds')
      return await inner.seal({ id, fields }, names, owner ?? library.NOBODY)
    } catch (error) {
      if ((error as { code?: string }).code !== 'keys_unreachable') throw error
      const { message } = error as Error
      if (message !== lastSaid) parts.say(`nothing can be sealed: ${message}`)
      lastSaid = message
      // Where the store is, is not for those who ask.
      throw new SealingError('keys_unreachable')
    }
  }

  const sealer: Sealer = {
    async seal(event, names, given) {
      if (given === library.NOBODY) return [...event.fields]
      const fields = Object.fromEntries(event.fields) as JsonObject
      const known = memberOf(fields.metadata, parts.kind)
      try {
        const all = await sealed(event, names, ownerOf(event.id, fields, known))
        lastSaid = ''
        return all
      } catch (error) {
        begun.delete(event.id)
        const { code } = error as { code?: unknown }
        if (typeof code !== 'string' || parts.withholds?.(known, code) !== true) throw error
        return withheld(event.fields, names, code, parts)
      }
    },
  }
  async function check(fields: JsonObject, seen: Set<string>): Promise<void> {
    const names = new Set(settings.fields)
    if (!isDue(Object.entries(fields), names)) return
    const owner = subjectIn(fields, settings)
    const name = JSON.stringify([owner?.type, owner?.id])
    if (seen.has(name)) return
    await sealed({ id: name, fields: [['actor', owner]] }, new Set(['actor']), owner)
    seen.add(name)
  }

  return { sealer, check, nobody: { subject: library.NOBODY }, close }
}

/** Ids of the events whose end an event is, as `metadata` of its recorder says. What a person decides about a request does not end it. */
export const endedBy = (known: JsonObject): string[] => (known.kind === 'approval' ? [] : intentsIn(known))

function intentsIn(known: JsonObject): string[] {
  const outcomes = Array.isArray(known.outcomes) ? known.outcomes : []
  return [known, ...outcomes].flatMap((each) =>
    isObject(each) && typeof each.intent === 'string' ? [each.intent] : [],
  )
}

/** Whether a field's value is a sealed one (docs/PROTOCOL.md §15), as far as its form says. */
export function isSealedValue(value: JsonValue | undefined): boolean {
  const only = Array.isArray(value) && value.length === 1 ? value[0] : value
  const held = isObject(only) && isObject(only.after) ? only.after : only
  return isObject(held) && held.type === 'sealed' && typeof held.jwe === 'string'
}

/** Who stands as the actor where nobody else may: the recorder itself. */
export const recorderItself = (source: string): Party => ({ type: 'recorder', id: source })

const isDue = (fields: Fields, names: ReadonlySet<string>): boolean =>
  fields.some(([name, value]) => names.has(name) && !(Array.isArray(value) && value.length === 0))

/** The event without the fields that are due, which says so. */
function withheld(
  fields: Fields,
  names: ReadonlySet<string>,
  code: string,
  { source, kind }: SealingParts,
): [string, unknown][] {
  const due = fields.map(([name]) => name).filter((name) => names.has(name))
  return fields.flatMap(([name, value]): [string, unknown][] => {
    if (name === 'metadata' && kind !== null) {
      const known = { ...memberOf(value as JsonValue, kind), withheld: { fields: due, why: code } }
      return [[name, { ...(value as JsonObject), [kind]: known }]]
    }
    if (!names.has(name)) return [[name, value]]
    if (name === 'actor') return [[name, recorderItself(source)]]
    const { session } = isObject(value) && name === 'context' ? (value as JsonObject) : {}
    if (typeof session === 'string') return [[name, { session }]]
    return name === 'targets' ? [[name, []]] : []
  })
}

function subjectIn(fields: JsonObject, { subject, onMissing }: Pick<SealedSettings, 'subject' | 'onMissing'>) {
  const actor = fields.actor as unknown as Party
  if (subject === null) return actor
  const type = subject.type.startsWith('/') ? textAt(fields, subject.type) : subject.type
  const id = textAt(fields, subject.id)
  if (type !== null && id !== null) return { type, id }
  return onMissing === 'actor' ? actor : null
}

/** The text, or the number as one, that a pointer leads to; null where there is none. */
function textAt(fields: JsonObject, pointer: string): string | null {
  let value: JsonValue | undefined = fields
  for (const name of pointer.split('/').slice(1).map(unescapePointer)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null
    value = (value as JsonObject)[name]
  }
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}

const memberOf = (metadata: JsonValue | undefined, kind: string | null): JsonObject => {
  const known = isObject(metadata) && kind !== null ? metadata[kind] : undefined
  return isObject(known) ? known : {}
}

/** The one subject that all have; null where there are several, or none. */
function onlyOf(subjects: readonly (Party | undefined)[]): Party | null {
  const [first] = subjects
  if (first === undefined) return null
  return subjects.every((each) => each?.type === first.type && each.id === first.id) ? first : null
}
