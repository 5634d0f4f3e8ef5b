/**
 * The event of an audit record by the draft OTEP 0267, whichever way the record came: from OpenTelemetry's SDK in this process, or
 * over OTLP to a collector.
 */
import type { EventInput, Recordable, RecordableObject } from '../core/fields.ts'
import { printTime } from '../core/time.ts'

/** A log record with its values as JSON. What is undefined, null or '' counts as absent. */
export type AuditRecord = {
  /** Those of the draft, `audit.*`, and any others. */
  readonly attributes: RecordableObject
  readonly eventName?: unknown
  readonly severity?: unknown
  readonly body?: Recordable | undefined
  readonly resource: RecordableObject
  /** Name of the instrumentation scope. */
  readonly scope?: unknown
  /** W3C Trace Context. */
  readonly traceparent?: string | undefined
  /** RFC 3339 date-time. */
  readonly occurredAt?: string | undefined
}

const OUTCOMES = ['success', 'failure', 'denied'] as const
const MAPPED = ['action', 'outcome', 'actor.id', 'actor.type']

/**
 * `eventName`, else `audit.action`, becomes the action, `audit.actor.*` the actor, `audit.target.*` the target, `audit.source.*` part of
 * the context. All other attributes, body, severity, resource and scope stand in `metadata`: nothing is left out.
 * @param known names of attributes that have a place elsewhere, besides the above
 * @param fail called with the name of the attribute at fault and the reason; it must throw
 */
export function eventOfAuditRecord(
  { attributes, eventName, severity, body, resource, scope, traceparent, occurredAt }: AuditRecord,
  fail: (name: string, why: string) => never,
  known: readonly string[] = [],
): EventInput {
  const text = (name: string): string => {
    const value = attributes[name]
    return typeof value === 'string' && value !== '' ? value : fail(name, 'must be a non-empty string')
  }
  const action = text('audit.action')
  const given = attributes['audit.outcome']
  const outcome = OUTCOMES.find((each) => each === given)
  if (!outcome && given !== undefined && given !== 'unknown')
    fail('audit.outcome', 'must be success, failure, denied or unknown')
  const { 'audit.target.type': kind, 'audit.target.id': target } = attributes
  const { 'audit.source.type': fromType, 'audit.source.id': from } = attributes
  const isAddress = fromType === 'ipv4' || fromType === 'ipv6'
  const context = {
    ...(typeof from === 'string' && (isAddress ? { ip: from } : { from: { type: fromType ?? null, id: from } })),
    ...(traceparent !== undefined && { traceparent }),
  }
  const mapped = [
    ...MAPPED,
    ...(target === undefined ? [] : ['target.id', 'target.type']),
    ...(typeof from === 'string' ? ['source.id', 'source.type'] : []),
  ]
  const placed = new Set([...mapped.map((name) => `audit.${name}`), ...known])
  const rest = Object.entries(attributes).filter(([name]) => !placed.has(name))
  return {
    action: nonEmpty(eventName) ? eventName : action,
    actor: { type: text('audit.actor.type'), id: text('audit.actor.id') },
    targets:
      target === undefined
        ? []
        : [{ type: kind === undefined ? 'resource' : text('audit.target.type'), id: text('audit.target.id') }],
    ...(outcome && { outcome }),
    ...(occurredAt !== undefined && { occurredAt }),
    ...(Object.keys(context).length > 0 && { context }),
    metadata: {
      verb: action,
      ...(body !== undefined && body !== null && { body }),
      ...(nonEmpty(severity) && { severity }),
      ...(rest.length > 0 && { attributes: Object.fromEntries(rest) }),
      ...(Object.keys(resource).length > 0 && { resource }),
      ...(nonEmpty(scope) && { scope }),
    },
  }
}

const nonEmpty = (value: unknown): value is string => typeof value === 'string' && value !== ''

/**
 * A time to the nanosecond as RFC 3339; undefined at zero, which stands for not known.
 * @param seconds since 1970, a whole number @param nanos below 1,000,000,000
 * @throws RangeError after the year 9999
 */
export function dateTimeOf(seconds: number, nanos: number): string | undefined {
  if (seconds === 0 && nanos === 0) return undefined
  const fraction = String(nanos).padStart(9, '0').replace(/0+$/, '')
  return printTime(seconds * 1000).replace('.000Z', fraction === '' ? 'Z' : `.${fraction}Z`)
}

/** W3C Trace Context (`traceparent`, version 00) of a span. @param traceId 32, spanId 16 hex digits */
export const traceparentOf = (traceId: string, spanId: string, flags: number): string =>
  `00-${traceId.toLowerCase()}-${spanId.toLowerCase()}-${(flags & 1).toString().padStart(2, '0')}`
