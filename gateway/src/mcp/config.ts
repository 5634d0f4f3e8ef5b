import { dirname } from 'node:path'
import type { JsonValue } from '@killick/sdk/core'
import { readConfigFile } from '../config-file.ts'
import { MAX_MS, type Members, members } from '../members.ts'
import {
  type RecorderLimits,
  type RecorderSettings,
  recorderLimitsOf,
  recorderSettingsOf,
  regExpOf,
  throwFaults,
} from '../sessions/settings.ts'
import type { McpArgumentRule, McpPolicy } from './policy.ts'

/**
 * Everything that can be set for `killick-gateway mcp`, from one JSON file. This is the manual, with that of `RecorderSettings`. Paths are
 * relative to the file's folder; a member that is not listed here or there is a fault. Default of `actor`:
 * `{ "type": "agent", "id": <name that the client gives itself> }`.
 */
export type McpConfig = RecorderSettings & {
  /** Name of the server, by which its tools are remembered. `--server` overrides it. Default: its command, without secrets. */
  server: string | null
  /** Which calls are denied. Default: none. `allow`, `deny` and `rules`: src/mcp/policy.ts has them. */
  policy: McpPolicy
  limits: McpLimits
}

/** Bounds on what the recorder keeps and how long it waits. */
export type McpLimits = RecorderLimits & {
  /** Largest line in each direction, in bytes; a longer one ends the session. 1,024 to 256 MiB, default 16 MiB. */
  lineBytes: number
  /** Requests without an answer, in each direction. Default 10,000. */
  openRequests: number
  /** How long the server has to end when its input has ended, before SIGTERM, and again before SIGKILL, ms. Default 1,000. */
  graceMs: number
}

/** The configuration that is read where none is named. */
export const DEFAULT_CONFIG = 'killick-mcp.json'

/**
 * The configuration in a file.
 * @throws GatewayStartError `gateway_config_invalid` with every fault at once, each with the place of its member as a JSON pointer
 */
export function readMcpConfig(file: string): McpConfig {
  return checkMcpConfig(readConfigFile(file), dirname(file))
}

/** The same, of what the file holds. @param folder what paths are relative to */
export function checkMcpConfig(value: JsonValue, folder: string = process.cwd()): McpConfig {
  const faults: string[] = []
  const root = members(value, '', faults)
  const config: McpConfig = {
    ...recorderSettingsOf(root, folder, faults),
    server: root.optional('server'),
    policy: policyOf(root.object('policy'), faults),
    limits: limitsOf(root.object('limits')),
  }
  root.done()
  throwFaults(faults)
  return config
}

function policyOf(policy: Members, faults: string[]): McpPolicy {
  const made: McpPolicy = {
    allow: policy.texts('allow'),
    deny: policy.texts('deny') ?? [],
    rules: policy.has('rules')
      ? policy.list('rules').map((each, i) => argumentRuleOf(members(each, `/policy/rules/${i}`, faults), i, faults))
      : [],
  }
  policy.done()
  return made
}

function argumentRuleOf(rule: Members, i: number, faults: string[]): McpArgumentRule {
  const at = `/policy/rules/${i}`
  const isEqual = rule.has('equals')
  if (isEqual === rule.has('matches')) faults.push(`${at} must have one of equals and matches`)
  const made: McpArgumentRule = {
    name: rule.text('name', /^[A-Za-z0-9._-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, hyphens and underscores'),
    tools: rule.texts('tools') ?? ['*'],
    argument: rule.text('argument', /^(\/([^~/]|~[01])*)+$/, 'must be a JSON pointer, such as /path'),
    effect: rule.choice('effect', ['require', 'deny']),
    fits: isEqual
      ? { equals: rule.any('equals') }
      : { matches: rule.has('matches') ? regExpOf(rule.any('matches'), `${at}/matches`, faults) : /(?!)/ },
  }
  rule.done()
  return made
}

function limitsOf(limits: Members): McpLimits {
  const made: McpLimits = {
    ...recorderLimitsOf(limits),
    lineBytes: limits.integer('lineBytes', 16 << 20, 1024, 256 << 20),
    openRequests: limits.integer('openRequests', 10_000, 1, 1e6),
    graceMs: limits.integer('graceMs', 1_000, 1, MAX_MS),
  }
  limits.done()
  return made
}
