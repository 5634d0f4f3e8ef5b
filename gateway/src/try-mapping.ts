// `killick-gateway map`: a mapping's dry run.
import { readFileSync } from 'node:fs'
import { checkEventInput, parseJson } from '@killick/sdk/core'
import type { CollectorConfig } from './config.ts'
import { GatewayStartError } from './errors.ts'
import { mapInput } from './receivers/mapping.ts'

/**
 * What a mapping makes of the JSON in a file, as text, checked as it would be before it is recorded.
 * @param more `--header`, `<name>: <value>`, as often as needed
 * @throws GatewayStartError, GatewayRefusal, KillickError as a request would be refused
 */
export function tryMapping(config: CollectorConfig, name: string, file: string, more: readonly string[]): string {
  const mapping = Object.hasOwn(config.mappings, name) ? config.mappings[name]! : null
  if (mapping === null) throw new GatewayStartError('gateway_start_failed', `There is no mapping ${name}.`)
  const headers: Record<string, string> = {}
  for (let i = 0; i < more.length; i += 2) {
    const [, header, value] = /^([\w-]+): *(.*)$/.exec(more[i + 1] ?? '') ?? []
    if (more[i] !== '--header' || header === undefined)
      throw new GatewayStartError('gateway_start_failed', `${more[i]} is not --header "<name>: <value>".`)
    headers[header.toLowerCase()] = value!
  }
  const received = mapInput(mapping, parseJson(readFileSync(file, 'utf8')), headers)
  for (const { fields } of received) checkEventInput(fields, new Set(config.fields))
  return received.map(({ id, source, fields }) => `${JSON.stringify({ id, source, ...fields }, null, 2)}\n`).join('')
}
