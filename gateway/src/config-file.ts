import { readFileSync } from 'node:fs'
import { type JsonValue, parseJson } from '@killick/sdk/core'
import { GatewayStartError } from './errors.ts'

/** What a configuration file holds. @throws GatewayStartError `gateway_config_invalid` where it cannot be read or is no JSON */
export function readConfigFile(file: string): JsonValue {
  try {
    return parseJson(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new GatewayStartError('gateway_config_invalid', `${file}: ${(error as Error).message}`)
  }
}
