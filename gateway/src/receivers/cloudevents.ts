// CloudEvents 1.0 over HTTP: structured, batched and binary. The mapping is the sdk's.
import type { IncomingHttpHeaders } from 'node:http'
import { KillickError } from '@killick/sdk'
import { eventOfCloudEvent } from '@killick/sdk/cloudevents'
import { isObject, type JsonObject, type JsonValue, parseJson } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { headerText, textOf } from '../utf8.ts'
import { nameOf } from './json.ts'

/** Media types of the JSON format: one event, and a batch. */
export const STRUCTURED = 'application/cloudevents+json'
export const BATCHED = 'application/cloudevents-batch+json'

/** Whether a request carries a CloudEvent in binary mode: attributes as headers, data as the body. */
export const isBinary = (headers: IncomingHttpHeaders): boolean => headers['ce-specversion'] !== undefined

/** @throws GatewayRefusal, KillickError with `at`, the place of the event in a batch */
export function readStructured(text: string): Received[] {
  return [readCloudEvent(parseJson(text), '')]
}

/** @throws as `readStructured` */
export function readBatched(text: string): Received[] {
  const value = parseJson(text)
  if (!Array.isArray(value)) throw new GatewayRefusal('collect_input_invalid', 'A batch must be an array.', { at: '' })
  return value.map((each, i) => readCloudEvent(each, `/${i}`))
}

/** @throws as `readStructured` */
export function readBinary(headers: IncomingHttpHeaders, bytes: Buffer): Received[] {
  const attributes = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('ce-') && typeof value === 'string' ? [[name.slice(3), unescapeHeader(name, value)]] : [],
  )
  const type = headers['content-type']
  const cloudEvent: JsonObject = {
    ...Object.fromEntries(attributes),
    ...(type !== undefined && { datacontenttype: type }),
    ...dataOf(type ?? 'application/json', bytes),
  }
  return [readCloudEvent(cloudEvent, '')]
}

/** Where a CloudEvent names nobody, its source is who did it: that much it says. */
const ACTOR_TYPE = 'cloudevents-source'

function readCloudEvent(value: JsonValue, at: string): Received {
  if (!isObject(value)) throw new GatewayRefusal('collect_input_invalid', 'A CloudEvent must be an object.', { at })
  const id = nameOf(value.id ?? null, 'id', at)
  const source = nameOf(value.source ?? null, 'source', at)
  const hasActor = typeof value.authtype === 'string' && typeof value.authid === 'string'
  const byDefault = hasActor || source === null ? {} : { actor: { type: ACTOR_TYPE, id: source } }
  try {
    return { fields: eventOfCloudEvent(value, byDefault) as unknown as JsonObject, id, source, at }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new KillickError(error.code, error.message, { ...error.details, at })
  }
}

/** Data is JSON where its type says so, text where it says that, and else base64. */
function dataOf(type: string, bytes: Buffer): JsonObject {
  if (bytes.length === 0) return {}
  if (/^[^;]*[/+]json\s*(;|$)/i.test(type)) return { data: parseJson(textOf(bytes)) }
  return /^text\//i.test(type) ? { data: textOf(bytes) } : { data_base64: bytes.toString('base64') }
}

/** Attributes in headers are percent-encoded (CloudEvents HTTP binding §3.1.3.2); not all senders do it. */
function unescapeHeader(name: string, value: string): string {
  try {
    return decodeURIComponent(headerText(value).replace(/%(?![0-9a-f]{2})/gi, '%25'))
  } catch {
    throw new GatewayRefusal('collect_input_invalid', `The header ${name} is not percent-encoded UTF-8.`, { at: name })
  }
}
