// OTLP/HTTP logs, as protobuf and as JSON. On /v1/logs, records with `audit.*` attributes; on /v1/audit, OTEP 0267's draft, in which
// each record is one. Both are all or nothing here: a record that was dropped without a word would be worse than one sent again.
import { isObject, type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { type AuditRecord, dateTimeOf, eventOfAuditRecord, traceparentOf } from '@killick/sdk/otel'
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
  const { eventName, severityText: severity, body } = record
  const made: AuditRecord = {
    ...{ attributes, eventName, severity, resource, scope: scope?.name },
    body: isObject(body) ? jsonOf(body, `${at}/body`) : undefined,
    traceparent: traceOf(record),
    occurredAt: timeOf(record, at),
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
function timeOf(record: JsonObject, at: string): string | undefined {
  const given = String(record.timeUnixNano ?? '0')
  if (!/^\d{1,20}$/.test(given)) throw invalid('timeUnixNano must be nanoseconds since 1970.', `${at}/timeUnixNano`)
  return dateTimeOf(Number(BigInt(given) / BILLION), Number(BigInt(given) % BILLION))
}

function traceOf({ traceId, spanId, flags }: JsonObject): string | undefined {
  if (typeof traceId !== 'string' || typeof spanId !== 'string') return undefined
  if (!/^[0-9a-f]{32}$/i.test(traceId) || !/^[0-9a-f]{16}$/i.test(spanId)) return undefined
  return traceparentOf(traceId, spanId, Number(flags ?? 0))
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
