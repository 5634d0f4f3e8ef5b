import { dirname } from 'node:path'
import type { JsonValue } from '@killick/sdk/core'
import { readConfigFile } from '../config-file.ts'
import { MAX_BYTES, MAX_MS, type Members, members } from '../members.ts'
import { DETAILS } from '../sessions/event.ts'
import {
  type RecorderLimits,
  type RecorderSettings,
  recorderLimitsOf,
  recorderSettingsOf,
  regExpOf,
  throwFaults,
} from '../sessions/settings.ts'
import type { McpApprovals, McpApprover } from './approval-desk.ts'
import { asksPeople, type McpArgumentRule, type McpPolicy } from './policy.ts'

/** Fields of their own beside those of the protocol, so that an event can be shown without them. */
export const MCP_FIELDS = ['arguments', 'result'] as const

/**
 * Everything that can be set for `killick-gateway mcp`, from one JSON file. This is the manual, with that of `RecorderSettings`. Paths are
 * relative to the file's folder; a member that is not listed here or there is a fault. Default of `actor`:
 * `{ "type": "agent", "id": <name that the client gives itself> }`.
 */
export type McpConfig = RecorderSettings & {
  /** Name of the server, by which its tools are remembered. `--server` overrides it. Default: its command, without secrets. */
  server: string | null
  /** Which calls are denied or wait for a person. Default: none. `allow`, `deny`, `approve` and `rules`: src/mcp/policy.ts has them. */
  policy: McpPolicy
  /** Who decides about the calls that wait: src/mcp/approval-desk.ts has its members. Default: none, where no call waits. */
  approvals: McpApprovals | null
  /** For `killick-gateway mcp-http`. Default: none; `mcp` has no use for it. */
  http: McpHttp | null
  limits: McpLimits
}

/** Where the recorder stands between clients and a server over HTTP. */
export type McpHttp = {
  /** Host and port that clients connect to, e.g. `127.0.0.1:8790`, the default. TLS and who may connect are for what stands in front. */
  listen: string
  /** The server's MCP endpoint, e.g. `https://tools.example.com/mcp`. Clients ask the recorder for the same path. */
  upstream: string
  /**
   * Names in the Host header by which clients call the recorder, with or without a port; loopback names are always taken. Default: only those,
   * or, where `listen` is no loopback address, any.
   */
  hosts: readonly string[]
  /** Origins of web pages whose scripts may ask, e.g. `https://chat.example.com`; pages of this machine always may. Default: none. */
  origins: readonly string[]
}

/** Bounds on what the recorder keeps and how long it waits. */
export type McpLimits = RecorderLimits & {
  /** Largest line in each direction, in bytes; a longer one ends the session. 1,024 to 256 MiB, default 16 MiB. */
  lineBytes: number
  /** Requests without an answer, in each direction of a session. Default 10,000. */
  openRequests: number
  /** How long the server has to end when its input has ended, before SIGTERM, and again before SIGKILL, ms. Default 1,000. */
  graceMs: number
  /** Connections of clients over HTTP. Default 10,000. */
  connections: number
  /** How long a request over HTTP may take to arrive, its body included, ms. Default 300,000. */
  requestMs: number
  /**
   * Bytes of the bodies that clients have sent over HTTP and that have no answer yet. Addresses share them: one takes half at most.
   * Default 128 MiB, at least twice `lineBytes`.
   */
  memoryBytes: number
  /** Sessions over HTTP at a time; of more, the one that was used least lately ends. Default 1,000. */
  sessions: number
  /** How long nothing is asked in a session over HTTP before it counts as ended, ms. Default 15 minutes. */
  idleMs: number
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
    ...recorderSettingsOf(root, folder, faults, { fields: [...MCP_FIELDS, DETAILS] }),
    server: root.optional('server'),
    policy: policyOf(root.object('policy'), faults),
    approvals: root.has('approvals') ? approvalsOf(root.object('approvals'), faults) : null,
    http: root.has('http') ? httpOf(root.object('http')) : null,
    limits: limitsOf(root.object('limits')),
  }
  if (asksPeople(config.policy) && config.approvals === null)
    faults.push('/approvals is missing: the policy lets calls wait')
  root.done()
  throwFaults(faults)
  return config
}

function httpOf(http: Members): McpHttp {
  const made: McpHttp = {
    listen: http.text('listen', /^(?:[^:\s/]+|\[[\da-fA-F:]+\]):\d{1,5}$/, 'must be host:port', '127.0.0.1:8790'),
    upstream: http.text('upstream', /^https?:\/\/[^/@\s]+(?:\/[^\s#]*)?$/, 'must be an http(s) URL without a password'),
    hosts: http.texts('hosts') ?? [],
    origins: http.texts('origins') ?? [],
  }
  http.done()
  return made
}

function approvalsOf(approvals: Members, faults: string[]): McpApprovals {
  const approvers = approvals.list('approvers').map((each, i): McpApprover => {
    const approver = members(each, `/approvals/approvers/${i}`, faults)
    const entry = 'must be an entry as killick-gateway key prints it'
    const made = { name: approver.text('name'), key: approver.text('key', /^[a-z0-9]{8}:[0-9a-f]{64}$/, entry) }
    approver.done()
    return made
  })
  if (approvals.has('approvers') && approvers.length === 0) approvals.fault('approvers', 'must name somebody')
  const made: McpApprovals = {
    approvers,
    host: approvals.text('host', /./, 'must not be empty', '127.0.0.1'),
    port: approvals.integer('port', 0, 0, 65_535),
    url: approvals.has('url')
      ? approvals.text('url', /^https?:\/\/[^/@\s?#]+$/, 'must be an origin, such as https://approve.example.com')
      : null,
    timeoutMs: approvals.integer('timeoutMs', 240_000, 1_000, 86_400_000),
    waiting: approvals.integer('waiting', 1_000, 1, 1_000),
  }
  approvals.done()
  return made
}

function policyOf(policy: Members, faults: string[]): McpPolicy {
  const made: McpPolicy = {
    allow: policy.texts('allow'),
    deny: policy.texts('deny') ?? [],
    approve: policy.texts('approve') ?? [],
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
    effect: rule.choice('effect', ['require', 'deny', 'approve']),
    fits: isEqual
      ? { equals: rule.any('equals') }
      : { matches: rule.has('matches') ? regExpOf(rule.any('matches'), `${at}/matches`, faults) : /(?!)/ },
  }
  rule.done()
  return made
}

function limitsOf(limits: Members): McpLimits {
  const lineBytes = limits.integer('lineBytes', 16 << 20, 1024, 256 << 20)
  const made: McpLimits = {
    ...{ ...recorderLimitsOf(limits), lineBytes },
    openRequests: limits.integer('openRequests', 10_000, 1, 1e6),
    graceMs: limits.integer('graceMs', 1_000, 1, MAX_MS),
    connections: limits.integer('connections', 10_000, 1, 1e6),
    requestMs: limits.integer('requestMs', 300_000, 100, MAX_MS),
    memoryBytes: limits.integer('memoryBytes', Math.max(128 << 20, 2 * lineBytes), 2 * lineBytes, MAX_BYTES),
    sessions: limits.integer('sessions', 1_000, 1, 1e6),
    idleMs: limits.integer('idleMs', 900_000, 1, MAX_MS),
  }
  limits.done()
  return made
}
