// OTLP/HTTP logs, as protobuf and as JSON. On /v1/logs, records with `audit.*` attributes, and those that a mapping covers; on
// /v1/audit, OTEP 0267's draft, in which each record is one. Audit records are all or nothing here: one that was dropped without a
// word would be worse than one sent again.
import { isObject, type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { type AuditRecord, dateTimeOf, eventOfAuditRecord, traceparentOf } from '@killick/sdk/otel'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { textOf } from '../utf8.ts'
import type { RecordMapper } from './otlp-mapping.ts'
import { decodeLogs } from './otlp-messages.ts'

/** Depth of OTLP JSON: a value of 30 levels takes three of OTLP for each. */
const MAX_DEPTH = 128

/** Whether every record must be an audit record, or those that are none are left out and counted. */
export type OtlpPath = 'logs' | 'audit'

/** What a request held. `others`: log records that are no audit records, where there is no mapping. */
export type OtlpRecords = { readonly received: Received[]; readonly others: number }

/**
 * @param isJson whether the body is OTLP's JSON, or protobuf
 * @param mapper for log records without `audit.*` attributes; null: they are left out and counted
 * @throws GatewayRefusal, KillickError with the place of the record at fault, as a JSON pointer into the JSON form
 */
export function readOtlp(bytes: Buffer, isJson: boolean, path: OtlpPath, mapper: RecordMapper | null): OtlpRecords {
  const request = isJson ? parseJson(quoteIntegers(textOf(bytes)), MAX_DEPTH) : decodeLogs(bytes)
  if (!isObject(request)) throw invalid('The body must be an ExportLogsServiceRequest.', '')
  const received: Received[] = []
  let others = 0
  for (const [i, group] of listOf(request, 'resourceLogs', '').entries()) {
    const at = `/resourceLogs/${i}`
    const resource = attributesOf(objectOf(group, 'resource', at) ?? {}, `${at}/resource`)
    for (const [j, scoped] of listOf(group, 'scopeLogs', at).entries()) {
      const scope = objectOf(scoped, 'scope', `${at}/scopeLogs/${j}`)
      for (const [k, record] of listOf(scoped, 'logRecords', `${at}/scopeLogs/${j}`).entries()) {
        const place = `${at}/scopeLogs/${j}/logRecords/${k}`
        const attributes = attributesOf(record, place)
        if (path === 'audit' || Object.keys(attributes).some((name) => name.startsWith('audit.')))
          received.push(readRecord(record, attributes, resource, scope, place))
        else if (mapper === null) others += 1
        else
          for (const each of mapper.map(mappable(record, attributes, resource, scope, place), place))
            received.push(each)
      }
    }
  }
  return { received, others }
}

/** A log record as mappings see it: values instead of OTLP's wrappings, and times as text. What is not known is not there. */
function mappable(
  record: JsonObject,
  attributes: JsonObject,
  resource: JsonObject,
  scope: JsonObject | null,
  at: string,
): JsonObject {
  const { eventName, severityText, severityNumber, traceId, spanId } = record
  const known = {
    eventName,
    severity: severityText,
    severityNumber,
    traceId,
    spanId,
    body: bodyOf(record, at),
    time: timeOf(record, 'timeUnixNano', at),
    observedTime: timeOf(record, 'observedTimeUnixNano', at),
    traceparent: traceOf(record),
    scope: scope === null ? undefined : { name: scope.name ?? '', version: scope.version ?? '' },
  }
  const there = Object.entries(known).filter(([, value]) => value !== undefined && value !== '') as [
    string,
    JsonValue,
  ][]
  return { ...Object.fromEntries(there), attributes, resource }
}

/**
 * OTLP's JSON may write 64 bits as numbers, which JSON would round; they are read as the text that they stand for. A quote within a
 * text is escaped, so a name in quotes before a colon is a member's.
 */
const quoteIntegers = (text: string): string =>
  text.replace(/("(?:timeUnixNano|observedTimeUnixNano|intValue)"\s*:\s*)(-?\d+)(?=\s*[,}])/g, '$1"$2"')

/** What the draft asks of every record; `outcome` may be `unknown`. */
const REQUIRED = ['audit.record.id', 'audit.actor.id', 'audit.actor.type', 'audit.action', 'audit.outcome']

function readRecord(
  record: JsonObject,
  attributes: JsonObject,
  resource: JsonObject,
  scope: JsonObject | null,
  at: string,
): Received {
  for (const name of REQUIRED) {
    if (typeof attributes[name] !== 'string' || attributes[name] === '')
      throw invalid(`The attribute ${name} is missing.`, at)
  }
  const { eventName, severityText: severity } = record
  if (Object.hasOwn(attributes, '__proto__')) throw invalid('No event can have the attribute __proto__.', at)
  const made: AuditRecord = {
    ...{ attributes, eventName, severity, resource, scope: scope?.name },
    body: bodyOf(record, at),
    traceparent: traceOf(record),
    occurredAt: timeOf(record, 'timeUnixNano', at),
  }
  const fail = (name: string, why: string): never => {
    throw invalid(`${name} ${why}.`, at)
  }
  const service = resource['service.name']
  return {
    // Of JSON nothing but JSON is made.
    fields: eventOfAuditRecord(made, fail, ['audit.record.id']) as unknown as JsonObject,
    id: attributes['audit.record.id'] as string,
    source: typeof service === 'string' && service !== '' ? service : null,
    at,
  }
}

const BILLION = 1_000_000_000n

/** When it happened: nanoseconds since 1970, as decimal text. Absent or zero: not known. */
function timeOf(record: JsonObject, member: string, at: string): string | undefined {
  const given = String(record[member] ?? '0')
  if (!/^\d{1,20}$/.test(given)) throw invalid(`${member} must be nanoseconds since 1970.`, `${at}/${member}`)
  return dateTimeOf(Number(BigInt(given) / BILLION), Number(BigInt(given) % BILLION))
}

function traceOf({ traceId, spanId, flags }: JsonObject): string | undefined {
  if (typeof traceId !== 'string' || typeof spanId !== 'string') return undefined
  if (!/^[0-9a-f]{32}$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(spanId)) return undefined
  return traceparentOf(traceId, spanId, Number(flags ?? 0))
}

function bodyOf(record: JsonObject, at: string): JsonValue | undefined {
  const body = objectOf(record, 'body', at)
  return body === null ? undefined : jsonOf(body, `${at}/body`)
}

/** A member that is a message. What is something else is no OTLP, and left out it would be lost. */
function objectOf(parent: JsonObject, member: string, at: string): JsonObject | null {
  const value = parent[member] ?? null
  if (value === null || isObject(value)) return value
  throw invalid(`${member} must be an object.`, `${at}/${member}`)
}

function listOf(parent: JsonObject, member: string, at: string): JsonObject[] {
  const list = parent[member] ?? []
  if (!Array.isArray(list) || !list.every(isObject))
    throw invalid(`${member} must be an array of objects.`, `${at}/${member}`)
  return list
}

const attributesOf = (parent: JsonObject, at: string): JsonObject => membersOf(parent, 'attributes', at)

/** A list of KeyValue. */
function membersOf(parent: JsonObject, list: string, at: string): JsonObject {
  const members = new Map<string, JsonValue>()
  for (const [i, { key, value = {} }] of listOf(parent, list, at).entries()) {
    const place = `${at}/${list}/${i}`
    if (typeof key !== 'string' || !isObject(value)) throw invalid('An attribute must have a key and a value.', place)
    if (members.has(key)) throw invalid(`The attribute ${key} occurs twice.`, place)
    members.set(key, jsonOf(value, place))
  }
  return Object.fromEntries(members)
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
  if (isObject(kvlistValue)) return membersOf(kvlistValue, 'values', at)
  if (typeof bytesValue === 'string') return bytesValue
  const wrong = VALUES.find((name) => (value[name] ?? null) !== null)
  if (wrong !== undefined) throw invalid(`${wrong} has another type.`, at)
  // An AnyValue without a value.
  return null
}

/** The members of an AnyValue that are looked at. */
const VALUES = ['stringValue', 'boolValue', 'doubleValue', 'arrayValue', 'kvlistValue', 'bytesValue']

const invalid = (message: string, at: string): GatewayRefusal =>
  new GatewayRefusal('collect_input_invalid', message, { at })
