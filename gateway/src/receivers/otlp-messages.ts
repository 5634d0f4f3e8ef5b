// The messages of an OTLP logs request, as far as this reader needs them, described here instead of generated: eight messages of
// opentelemetry/proto/{collector/logs,logs,common,resource}/v1, which are stable. Members that are not listed are skipped.
import { create, createFileRegistry, fromBinary, toBinary, toJson } from '@bufbuild/protobuf'
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'
import type { JsonObject } from '@killick/sdk/core'
import { GatewayRefusal } from '../errors.ts'

type Field = [name: string, number: number, type: keyof typeof Type | string, more?: 'repeated' | 'oneof']

const PACKAGE = 'killick.otlp'

/** Names and numbers of the members; the messages' own names are not on the wire. */
const MESSAGES: Record<string, readonly Field[]> = {
  Request: [['resource_logs', 1, 'ResourceLogs', 'repeated']],
  ResourceLogs: [
    ['resource', 1, 'Resource'],
    ['scope_logs', 2, 'ScopeLogs', 'repeated'],
  ],
  Resource: [['attributes', 1, 'KeyValue', 'repeated']],
  ScopeLogs: [
    ['scope', 1, 'Scope'],
    ['log_records', 2, 'LogRecord', 'repeated'],
  ],
  Scope: [
    ['name', 1, 'STRING'],
    ['version', 2, 'STRING'],
  ],
  LogRecord: [
    ['time_unix_nano', 1, 'FIXED64'],
    // An enumeration, which is an integer in OTLP's JSON.
    ['severity_number', 2, 'INT32'],
    ['severity_text', 3, 'STRING'],
    ['body', 5, 'AnyValue'],
    ['attributes', 6, 'KeyValue', 'repeated'],
    ['flags', 8, 'FIXED32'],
    ['trace_id', 9, 'BYTES'],
    ['span_id', 10, 'BYTES'],
    ['observed_time_unix_nano', 11, 'FIXED64'],
    ['event_name', 12, 'STRING'],
  ],
  KeyValue: [
    ['key', 1, 'STRING'],
    ['value', 2, 'AnyValue'],
  ],
  AnyValue: [
    ['string_value', 1, 'STRING', 'oneof'],
    ['bool_value', 2, 'BOOL', 'oneof'],
    ['int_value', 3, 'INT64', 'oneof'],
    ['double_value', 4, 'DOUBLE', 'oneof'],
    ['array_value', 5, 'ArrayValue', 'oneof'],
    ['kvlist_value', 6, 'KeyValueList', 'oneof'],
    ['bytes_value', 7, 'BYTES', 'oneof'],
  ],
  ArrayValue: [['values', 1, 'AnyValue', 'repeated']],
  KeyValueList: [['values', 1, 'KeyValue', 'repeated']],
  Response: [['partial_success', 1, 'PartialSuccess']],
  PartialSuccess: [
    ['rejected_log_records', 1, 'INT64'],
    ['error_message', 2, 'STRING'],
  ],
}

const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: 'killick-otlp.proto',
    package: PACKAGE,
    syntax: 'proto3',
    messageType: Object.entries(MESSAGES).map(([name, fields]) => ({
      name,
      oneofDecl: fields.some(([, , , more]) => more === 'oneof') ? [{ name: 'value' }] : [],
      field: fields.map(([field, number, type, more]) => ({
        name: field,
        jsonName: field.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
        number,
        label: more === 'repeated' ? Label.REPEATED : Label.OPTIONAL,
        ...(type in MESSAGES
          ? { type: Type.MESSAGE, typeName: `.${PACKAGE}.${type}` }
          : { type: Type[type as keyof typeof Type] }),
        ...(more === 'oneof' && { oneofIndex: 0 }),
      })),
    })),
  }),
  () => undefined,
)
const REQUEST = registry.getMessage(`${PACKAGE}.Request`)!
const RESPONSE = registry.getMessage(`${PACKAGE}.Response`)!

/** An ExportLogsServiceRequest in the form of OTLP's JSON. @throws GatewayRefusal `collect_input_invalid` */
export function decodeLogs(bytes: Buffer): JsonObject {
  let request: JsonObject
  try {
    request = toJson(REQUEST, fromBinary(REQUEST, bytes, { readUnknownFields: false })) as JsonObject
  } catch (error) {
    const reason = `The body is not an ExportLogsServiceRequest: ${(error as Error).message}`
    throw new GatewayRefusal('collect_input_invalid', reason, { at: '' })
  }
  // Where OTLP's JSON differs from that of Protocol Buffers: trace ids are hex.
  for (const group of (request.resourceLogs ?? []) as JsonObject[])
    for (const scoped of (group.scopeLogs ?? []) as JsonObject[])
      for (const record of (scoped.logRecords ?? []) as JsonObject[])
        for (const name of ['traceId', 'spanId'])
          if (typeof record[name] === 'string') record[name] = Buffer.from(record[name], 'base64').toString('hex')
  return request
}

/** An ExportLogsServiceResponse as JSON, and as it is on the wire. */
export function encodeResponse(response: {
  partialSuccess?: { rejectedLogRecords: string; errorMessage: string }
}): Buffer {
  const { partialSuccess } = response
  const value = partialSuccess && {
    rejectedLogRecords: BigInt(partialSuccess.rejectedLogRecords),
    errorMessage: partialSuccess.errorMessage,
  }
  return Buffer.from(toBinary(RESPONSE, create(RESPONSE, value ? { partialSuccess: value as never } : {})))
}
