import { checkField, type Party, type RecordableObject, UNCOPIED, uncopiedMember } from '../core/fields.ts'
import { isObject } from '../core/json.ts'
import { KitError } from './errors.ts'

/**
 * On whose behalf, and in which circumstances, something happens. `actor` becomes the event's `actor`; all else becomes members of
 * the event's `context`: `tenant`, `requestId`, `ip`, `userAgent` and `traceparent` by their names, those of `more` beside them.
 */
export type AuditContext = {
  readonly actor?: Party | undefined
  /** Id of the tenant; like all texts here at most 16,384 characters. */
  readonly tenant?: string | undefined
  readonly requestId?: string | undefined
  /** Address of the caller, as far as the application trusts it. */
  readonly ip?: string | undefined
  readonly userAgent?: string | undefined
  /** W3C trace context: `00-<32 hex>-<16 hex>-<2 hex>`. */
  readonly traceparent?: string | undefined
  /** Further members of the event's `context`; none of the names above. */
  readonly more?: RecordableObject | undefined
}

/** A context as plain JSON, for jobs and messages. `v`: version of the form. `parseContext` reads it. */
export type SerializedContext = { readonly v: 1 } & AuditContext

const TEXTS = ['tenant', 'requestId', 'ip', 'userAgent', 'traceparent'] as const
const MEMBERS: ReadonlySet<string> = new Set(['actor', ...TEXTS, 'more', 'v'])
// As long as a header can be in Node, so that nobody is refused for his.
const MAX_TEXT = 16_384

function fail(field: string, why: string): never {
  throw new KitError('context_invalid', `The context's ${field || 'value'} ${why}`, { field })
}

const failMore = (path: string, why: string): never => fail(path.replace('/context', '/more'), why)

/**
 * Reads a context strictly, be it the application's own or one that came from elsewhere. Members that are undefined are left out, and
 * the rest are copies: an object that the application uses again for the next caller would put this one's events down to that one.
 * @throws KitError `context_invalid`, with a JSON pointer to the fault in `details.field`
 */
export function parseContext(value: unknown): AuditContext {
  if (!isObject(value)) fail('', 'must be an object')
  const given = value as Record<string, unknown>
  const context: Record<string, unknown> = {}
  // An actor that its class answers for would be that of the context around it.
  const uncopied = uncopiedMember(given, [...MEMBERS])
  if (uncopied !== undefined) fail(`/${uncopied}`, UNCOPIED)
  for (const name of Object.keys(given)) {
    if (!MEMBERS.has(name)) fail(`/${name}`, 'is not a member of a context; what has none of its own belongs in more')
    const member = given[name]
    if (member === undefined) continue
    if (name === 'v') {
      if (member !== 1) fail('/v', 'is another version of the form than 1')
    } else {
      if (name === 'actor') checkField('actor', member, fail)
      else if (name === 'more') checkMore(member)
      else checkText(name, member)
      context[name] = typeof member === 'object' ? JSON.parse(JSON.stringify(member)) : member
    }
  }
  return context
}

function checkText(name: string, value: unknown): void {
  if (typeof value !== 'string') fail(`/${name}`, 'must be a string')
  if (value.length > MAX_TEXT) fail(`/${name}`, `must have at most ${MAX_TEXT} characters`)
  if (!value.isWellFormed()) fail(`/${name}`, 'holds half of a surrogate pair')
  if (name === 'traceparent' && !isTraceparent(value)) fail('/traceparent', 'is not a W3C traceparent')
}

function checkMore(value: unknown): void {
  checkField('context', value, failMore)
  for (const name of TEXTS)
    if (Object.hasOwn(value as object, name))
      fail(`/more/${name}`, `is a member of the context itself: give it as ${name}`)
}

/** `inner` over `outer`: members that `inner` has win, and those of `more` one by one. Both are as `parseContext` returns them. */
export function mergeContexts(outer: AuditContext | undefined, inner: AuditContext): AuditContext {
  if (outer === undefined) return inner
  const merged = { ...outer, ...inner }
  return outer.more && inner.more ? { ...merged, more: { ...outer.more, ...inner.more } } : merged
}

const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/

/** Whether a text is a `traceparent` as W3C Trace Context defines it; versions after 00 may go on behind a hyphen. */
export function isTraceparent(text: unknown): text is string {
  const match = typeof text === 'string' && text.length <= 512 ? TRACEPARENT.exec(text) : null
  return match !== null && (match[1] !== '00' || match[2] === undefined)
}
