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
 * @param encoding that of the database: the stream converts rows, but not messages
 */
export function readMessage(
  prefix: string,
  content: Buffer,
  before: Joined | null,
  encoding: string,
): { event: EventInput } | { joined: Joined } | { invalid: Invalid } {
  const isEvent = prefix === EVENT_PREFIX
  if (content.length > (isEvent ? MAX_EVENT_MESSAGE : MAX_CONTEXT_MESSAGE)) return { invalid: { why: 'too_large' } }
  const text = fromUtf8(content) ?? fromEncoding(content, encoding)
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

/** What `TextDecoder` calls the encodings of databases. Without those that it does not have: EUC_JIS_2004, EUC_TW, MULE_INTERNAL. */
const DECODERS: ReadonlyMap<string, string> = new Map([
  ...[2, 3, 4].map((n): [string, string] => [`LATIN${n}`, `iso-8859-${n}`]),
  ...[5, 6, 7, 8].map((n): [string, string] => [`ISO_8859_${n}`, `iso-8859-${n}`]),
  ...[1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258].map((n): [string, string] => [`WIN${n}`, `windows-${n}`]),
  ['LATIN5', 'iso-8859-9'],
  ['LATIN6', 'iso-8859-10'],
  ['LATIN7', 'iso-8859-13'],
  ['LATIN8', 'iso-8859-14'],
  ['LATIN9', 'iso-8859-15'],
  ['LATIN10', 'iso-8859-16'],
  ['WIN866', 'ibm866'],
  ['WIN874', 'windows-874'],
  ['KOI8R', 'koi8-r'],
  ['KOI8U', 'koi8-u'],
  ['EUC_JP', 'euc-jp'],
  ['EUC_KR', 'euc-kr'],
  ['EUC_CN', 'gbk'],
])

/** @returns null if it is no text of that encoding, or the encoding is not known here */
function fromEncoding(content: Buffer, encoding: string): string | null {
  if (encoding === 'LATIN1') return content.toString('latin1')
  const decoder = DECODERS.get(encoding)
  if (decoder === undefined) return null
  try {
    return new TextDecoder(decoder, { fatal: true }).decode(content)
  } catch {
    return null
  }
}
