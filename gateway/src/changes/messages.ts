// What applications say in their transactions, with `recordIn` and `contextIn` or with plain SQL.
import type { EventInput } from '@killick/sdk'
import { checkEventInput, checkField, fromUtf8, isObject, KillickError, parseJson } from '@killick/sdk/core'
import type { Joined } from './events.ts'

/** Prefix of a message that is an event, and of one that is context of its transaction. */
export const [EVENT_PREFIX, CONTEXT_PREFIX] = ['killick', 'killick.context']

/** Largest messages, bytes of JSON. The event of the one has room for what the recorder adds; the other is in many events. */
export const [MAX_EVENT_MESSAGE, MAX_CONTEXT_MESSAGE] = [160 << 10, 16 << 10]

/** Why a message is none that can be recorded: a code, and where. */
export type Invalid = { readonly why: string; readonly field?: string }

/**
 * What a message says, or why it says nothing. Checked by the same rules as what is passed to `record()`.
 * @param before what was said of the transaction so far, to which context is added
 */
export function readMessage(
  prefix: string,
  content: Buffer,
  before: Joined | null,
): { event: EventInput } | { joined: Joined } | { invalid: Invalid } {
  const isEvent = prefix === EVENT_PREFIX
  if (content.length > (isEvent ? MAX_EVENT_MESSAGE : MAX_CONTEXT_MESSAGE)) return { invalid: { why: 'too_large' } }
  const text = fromUtf8(content)
  if (text === null) return { invalid: { why: 'not_utf8' } }
  try {
    const value = parseJson(text)
    if (isEvent) return { event: asEvent(value) }
    const joined = added(before, asContext(value))
    return JSON.stringify(joined).length > MAX_CONTEXT_MESSAGE ? { invalid: { why: 'too_large' } } : { joined }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const { field } = error.details as { field?: string }
    return { invalid: { why: error.code, ...(field !== undefined && { field: field.slice(0, 400) }) } }
  }
}

const added = (before: Joined | null, { actor, context }: Joined): Joined => ({
  actor: actor ?? before?.actor ?? null,
  context: { ...before?.context, ...context },
})

function asEvent(value: unknown): EventInput {
  const event = Object.fromEntries(checkEventInput(value, new Set())) as EventInput
  if (event.metadata !== undefined && Object.hasOwn(event.metadata, 'changes'))
    refuse('/metadata/changes', 'is the recorder’s own')
  return event
}

function asContext(value: unknown): Joined {
  if (!isObject(value)) refuse('', 'must be an object')
  const { actor = null, ...context } = value
  if (actor !== null) checkField('actor', actor, refuse)
  checkField('context', context, refuse)
  return { actor: actor as Joined['actor'], context }
}

function refuse(field: string, why: string): never {
  throw new KillickError('field_invalid', `${field} ${why}`, { field })
}
