// OTLP/HTTP logs, as protobuf and as JSON. On /v1/logs, records with `audit.*` attributes; on /v1/audit, OTEP 0267's draft, in which
// each record is one. Both are all or nothing here: a record that was dropped without a word would be worse than one sent again.
import { isObject, type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { textOf } from '../utf8.ts'
import { decodeLogs } from './otlp-messages.ts'

/** Depth of OTLP JSON: a value of 30 levels takes three of OTLP for each. */
const MAX_DEPTH = 128

/** Whether every record must be an audit record, or those that are none are left out and counted. */
export type OtlpPath = 'logs' | 'audit'

/** What a request held. `others`: log records that are no audit records. */
export type OtlpRecords = { readonly received: Received[]; readonly others: number }

/**
 * @param isJson whether the body is OTLP's JSON, or protobuf
 * @throws GatewayRefusal, KillickError with the place of the record at fault, as a JSON pointer into the JSON form
 */
export function readOtlp(bytes: Buffer, isJson: boolean, path: OtlpPath): OtlpRecords {
  const request = isJson ? parseJson(quoteIntegers(textOf(bytes)), MAX_DEPTH) : decodeLogs(bytes)
  if (!isObject(request)) throw invalid('The body must be an ExportLogsServiceRequest.', '')
  const received: Received[] = []
  let others = 0
  for (const [i, group] of listOf(request, 'resourceLogs', '').entries()) {
    const at = `/resourceLogs/${i}`
    const resource = isObject(group.resource) ? attributesOf(group.resource, `${at}/resource`) : {}
    for (const [j, scoped] of listOf(group, 'scopeLogs', at).entries()) {
      const scope = isObject(scoped.scope) ? scoped.scope : null
      for (const [k, record] of listOf(scoped, 'logRecords', `${at}/scopeLogs/${j}`).entries()) {
        const place = `${at}/scopeLogs/${j}/logRecords/${k}`
        const attributes = attributesOf(record, place)
        if (path === 'logs' && !Object.keys(attributes).some((name) => name.startsWith('audit.'))) others += 1
        else received.push(readRecord(record, attributes, resource, scope, place))
      }
    }
  }
  return { received, others }
}

/**
 * OTLP's JSON may write 64 bits as numbers, which JSON would round; they are read as the text that they stand for. A quote within a
 * text is escaped, so a name in quotes before a colon is a member's.
 */
const quoteIntegers = (text: string): string =>
  text.replace(/("(?:timeUnixNano|observedTimeUnixNano|intValue)"\s*:\s*)(-?\d+)(?=\s*[,}])/g, '$1"$2"')

const REQUIRED = ['audit.record.id', 'audit.actor.id', 'audit.actor.type', 'audit.action', 'audit.outcome']
/** What has a member of its own in an event. */
const MAPPED = new Set([...REQUIRED, 'audit.target.id', 'audit.target.type', 'audit.source.id', 'audit.source.type'])

function readRecord(
  record: JsonObject,
  attributes: JsonObject,
  resource: JsonObject,
  scope: JsonObject | null,
  at: string,
): Received {
  const text = (name: string): string => {
    const value = attributes[name]
    if (typeof value !== 'string' || value === '') throw invalid(`The attribute ${name} is missing.`, at)
    return value
  }
  const [id, actorId, actorType, action, outcome] = REQUIRED.map(text) as [string, string, string, string, string]
  if (outcome !== 'success' && outcome !== 'failure' && outcome !== 'denied' && outcome !== 'unknown')
    throw invalid('audit.outcome must be success, failure, denied or unknown.', at)
  const rest = Object.fromEntries(Object.entries(attributes).filter(([name]) => !MAPPED.has(name)))
  const { 'audit.target.id': targetId, 'audit.source.id': from, 'audit.source.type': fromType } = attributes
  const traceparent = traceOf(record)
  const { eventName, severityText, body } = record
  const service = resource['service.name']
  return {
    fields: {
      action: typeof eventName === 'string' && eventName !== '' ? eventName : action,
      actor: { type: actorType, id: actorId },
      targets:
        typeof targetId === 'string'
          ? [{ type: String(attributes['audit.target.type'] ?? 'resource'), id: targetId }]
          : [],
      ...(outcome !== 'unknown' && { outcome }),
      ...timeOf(record, at),
      context: {
        ...(typeof from === 'string' &&
          (fromType === 'ipv4' || fromType === 'ipv6' ? { ip: from } : { from: { type: fromType ?? null, id: from } })),
        ...(traceparent !== null && { traceparent }),
      },
      metadata: {
        verb: action,
        ...(isObject(body) && { body: jsonOf(body, `${at}/body`) }),
        ...(typeof severityText === 'string' && severityText !== '' && { severity: severityText }),
        ...(Object.keys(rest).length > 0 && { attributes: rest }),
        ...(Object.keys(resource).length > 0 && { resource }),
        ...(typeof scope?.name === 'string' && scope.name !== '' && { scope: scope.name }),
      },
    },
    id,
    source: typeof service === 'string' && service !== '' ? service : null,
    at,
  }
}

const BILLION = 1_000_000_000n

/** When it happened: nanoseconds since 1970, as decimal text. Absent or zero: not known. */
function timeOf(record: JsonObject, at: string): { occurredAt?: string } {
  const given = record.timeUnixNano ?? '0'
  if (!/^\d{1,20}$/.test(String(given)))
    throw invalid('timeUnixNano must be nanoseconds since 1970.', `${at}/timeUnixNano`)
  const ns = BigInt(String(given))
  if (ns === 0n) return {}
  const seconds = new Date(Number(ns / BILLION) * 1000)
  if (Number.isNaN(seconds.getTime())) throw invalid('timeUnixNano is too large.', `${at}/timeUnixNano`)
  const fraction = (ns % BILLION).toString().padStart(9, '0').replace(/0+$/, '')
  return { occurredAt: seconds.toISOString().replace('.000Z', fraction === '' ? 'Z' : `.${fraction}Z`) }
}

/** W3C Trace Context of a record that has one. */
function traceOf({ traceId, spanId, flags }: JsonObject): string | null {
  if (typeof traceId !== 'string' || typeof spanId !== 'string') return null
  if (!/^[0-9a-f]{32}$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(spanId)) return null
  const sampled = (Number(flags ?? 0) & 1).toString().padStart(2, '0')
  return `00-${traceId.toLowerCase()}-${spanId.toLowerCase()}-${sampled}`
}

function listOf(parent: JsonObject, member: string, at: string): JsonObject[] {
  const list = parent[member] ?? []
  if (!Array.isArray(list) || !list.every(isObject))
    throw invalid(`${member} must be an array of objects.`, `${at}/${member}`)
  return list
}

function attributesOf(parent: JsonObject, at: string): JsonObject {
  const attributes: JsonObject = {}
  for (const [i, { key, value = {} }] of listOf(parent, 'attributes', at).entries()) {
    const place = `${at}/attributes/${i}`
    if (typeof key !== 'string' || !isObject(value)) throw invalid('An attribute must have a key and a value.', place)
    if (Object.hasOwn(attributes, key)) throw invalid(`The attribute ${key} occurs twice.`, place)
    attributes[key] = jsonOf(value, place)
  }
  return attributes
}

/** An AnyValue as JSON. Integers that JSON would round stay text, and bytes base64. */
function jsonOf(value: JsonObject, at: string): JsonValue {
  const { stringValue, boolValue, intValue, doubleValue, arrayValue, kvlistValue, bytesValue } = value
  if (typeof stringValue === 'string') return stringValue
  if (typeof boolValue === 'boolean') return boolValue
  if (intValue !== undefined) {
    if (!/^-?\d{1,19}$/.test(String(intValue))) throw invalid('intValue must be an integer.', at)
    return Number.isSafeInteger(Number(intValue)) ? Number(intValue) : String(intValue)
  }
  // NaN and the infinities are text in JSON.
  if (typeof doubleValue === 'number' || typeof doubleValue === 'string') return doubleValue
  if (isObject(arrayValue)) return listOf(arrayValue, 'values', at).map((each) => jsonOf(each, at))
  if (isObject(kvlistValue))
    return Object.fromEntries(
      listOf(kvlistValue, 'values', at).map((each) => [
        String(each.key),
        isObject(each.value) ? jsonOf(each.value, at) : null,
      ]),
    )
  return typeof bytesValue === 'string' ? bytesValue : null
}

const invalid = (message: string, at: string): GatewayRefusal =>
  new GatewayRefusal('collect_input_invalid', message, { at })
