// `killick-gateway map`: a mapping's dry run.
import { readFileSync } from 'node:fs'
import { checkEventInput } from '@killick/sdk/core'
import type { CollectorConfig } from './config.ts'
import { GatewayStartError } from './errors.ts'
import type { Received } from './received.ts'
import { parseForeign } from './receivers/json.ts'
import { mapInput } from './receivers/mapping.ts'
import { readOtlp } from './receivers/otlp.ts'
import { makeRecordMapper } from './receivers/otlp-mapping.ts'

/** What a dry run shows: the events as JSON, one after the other, and a sentence about log records of which none was made. */
export type MappingTrial = { readonly events: string; readonly left: string | null }

/**
 * What a mapping makes of a file, checked as it would be before it is recorded.
 * @param more `--header`, `<name>: <value>`, as often as needed; `--otlp`, `json` or `protobuf`, if the file is a request to /v1/logs
 * @throws GatewayStartError, GatewayRefusal, KillickError as a request would be refused
 */
export function tryMapping(config: CollectorConfig, name: string, file: string, more: readonly string[]): MappingTrial {
  const mapping = Object.hasOwn(config.mappings, name) ? config.mappings[name]! : null
  if (mapping === null) throw new GatewayStartError('gateway_start_failed', `There is no mapping ${name}.`)
  const { headers, otlp } = readOptions(more)
  const declared = new Set(config.fields)
  const bytes = readFileSync(file)
  if (otlp === null) return { events: show(mapInput(mapping, parseForeign(`${bytes}`), headers), declared), left: null }
  const mapper = makeRecordMapper({ mapping, declared }, headers, config.limits.bodyEvents)
  const { received } = readOtlp(bytes, otlp === 'json', 'logs', mapper)
  return { events: show(received, declared), left: mapper.unmapped()?.sentence ?? null }
}

function show(received: readonly Received[], declared: ReadonlySet<string>): string {
  for (const { fields } of received) checkEventInput(fields, declared)
  return received.map(({ id, source, fields }) => `${JSON.stringify({ id, source, ...fields }, null, 2)}\n`).join('')
}

function readOptions(given: readonly string[]): {
  headers: Record<string, string>
  otlp: 'json' | 'protobuf' | null
} {
  const headers: Record<string, string> = {}
  let otlp: 'json' | 'protobuf' | null = null
  for (let i = 0; i < given.length; i += 2) {
    const [option, value = ''] = given.slice(i)
    const [, header, text] = /^([\w-]+): *(.*)$/.exec(value) ?? []
    if (option === '--otlp' && (value === 'json' || value === 'protobuf')) otlp = value
    else if (option === '--header' && header !== undefined) headers[header.toLowerCase()] = text!
    else
      throw new GatewayStartError(
        'gateway_start_failed',
        `${option} ${value} is not --header "<name>: <value>", --otlp json or --otlp protobuf.`,
      )
  }
  return { headers, otlp }
}
