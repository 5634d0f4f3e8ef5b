import { basename, dirname, resolve } from 'node:path'
import { isObject, isSourceName, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { compileRedaction, KitError, type Redaction, type RedactionRule, STANDARD_RULES } from '@killick/sdk/kit'
import { readConfigFile } from '../config-file.ts'
import { GatewayStartError } from '../errors.ts'
import { MAX_BYTES, MAX_MS, type Members, members } from '../members.ts'
import type { McpArgumentRule, McpPolicy } from './policy.ts'

/**
 * Everything that can be set for `killick-gateway mcp`, from one JSON file. This is the manual. Paths are relative to the file's folder;
 * a member that is not listed here is a fault.
 */
export type McpConfig = {
  /** Base URL of the anchor service, e.g. `https://audit.example.com`. */
  url: string
  /** The recorder's own name: the source that its key is registered for, and under which its events stand. */
  source: string
  /** File with the private JWK of that source, mode 600; `killick keygen` makes one. */
  key: string
  /**
   * Folder for events that the ledger has not accepted. One for each process; where clients start several at a time, let its last name
   * hold `{worker}`, e.g. `/var/lib/killick/mcp-{worker}`.
   */
  spool: string
  /** Folder for what is remembered of tools and open requests. Default: beside the spool, its name with `-state` behind it. */
  state: string
  /** C2SP verifier key of the log. Pin it. Default: the key that the service names first. */
  logKey: string | null
  /**
   * `strict`: a request waits until its intent is durable, and is refused if it cannot be recorded. `observe`: it is relayed at once and
   * recorded beside; what could not be recorded is counted and said on stderr. Default `strict`.
   */
  mode: 'strict' | 'observe'
  /** Name of the server, by which its tools are remembered. `--server` overrides it. Default: its command, without secrets. */
  server: string | null
  /** Who acts: an object with `type` and `id`. Default: `{ "type": "agent", "id": <name that the client gives itself> }`. */
  actor: JsonObject | null
  /** What stands in the context of each event, such as `tenant`. Default: nothing. */
  context: JsonObject
  /**
   * What to remove before anything is signed, beside the kit's standard rules: `name`, and one of `keys`, `values` (regular
   * expressions), `paths` (JSON pointers into the event, e.g. `/arguments/card`). Default: the standard rules only.
   */
  redaction: Redaction
  /** Which calls are denied. Default: none. `allow`, `deny` and `rules`: src/mcp/policy.ts has them. */
  policy: McpPolicy
  limits: McpLimits
}

/** Bounds on what the recorder keeps and how long it waits. */
export type McpLimits = {
  /** Largest line in each direction, in bytes; a longer one ends the session. 1,024 to 256 MiB, default 16 MiB. */
  lineBytes: number
  /** Largest arguments and results that events show, in bytes of JSON; of larger ones they have hash and length. At most 98,304, default 32 KiB. */
  discloseBytes: number
  /** Requests without an answer, in each direction. Default 10,000. */
  openRequests: number
  /** Size of the spool at which nothing more is recorded, in bytes; at least 1 MiB. Default 256 MiB. */
  spoolBytes: number
  /** How long a request waits for room in the spool, ms. Default 1,000. */
  spoolWaitMs: number
  /** How long the server has to end when its input has ended, before SIGTERM, and again before SIGKILL, ms. Default 1,000. */
  graceMs: number
  /** How long the end waits for the ledger to accept what is in the spool, ms. What is left is sent at the next start. Default 1,000. */
  drainMs: number
}

/** The configuration that is read where none is named. */
export const DEFAULT_CONFIG = 'killick-mcp.json'

const WORKER = '{worker}'

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
  const spool = resolve(folder, root.text('spool'))
  const state = root.optional('state')
  const config: McpConfig = {
    url: root.text('url', /^https?:\/\/./, 'must be an http(s) URL'),
    source: root.text('source', /./, 'is missing'),
    key: resolve(folder, root.text('key')),
    spool,
    state: state === null ? `${spool.replace(WORKER, 'workers')}-state` : resolve(folder, state),
    logKey: root.optional('logKey'),
    mode: root.choice('mode', ['strict', 'observe']),
    server: root.optional('server'),
    actor: root.has('actor') ? actorOf(root, faults) : null,
    context: root.has('context') ? root.json('context') : {},
    redaction: redactionOf(root, faults),
    policy: policyOf(root.object('policy'), faults),
    limits: limitsOf(root.object('limits')),
  }
  root.done()
  if (config.source !== '' && !isSourceName(config.source))
    faults.push('/source must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens')
  if (spool.includes(WORKER) && !basename(spool).includes(WORKER))
    faults.push('/spool may have {worker} in its last name only')
  if (faults.length > 0)
    throw new GatewayStartError(
      'gateway_config_invalid',
      `The configuration has faults:\n${faults.map((fault) => `- ${fault}`).join('\n')}`,
      faults,
    )
  return config
}

function actorOf(root: Members, faults: string[]): JsonObject {
  const actor = root.json('actor')
  for (const name of ['type', 'id']) {
    const text = actor[name]
    if (typeof text !== 'string' || text === '' || text.length > 512)
      faults.push(`/actor/${name} must be a text of 1 to 512 characters`)
  }
  return actor
}

function redactionOf(root: Members, faults: string[]): Redaction {
  const rules = root.has('redaction') ? root.list('redaction').map((each, i) => ruleOf(each, i, faults)) : []
  try {
    return compileRedaction([...STANDARD_RULES, ...rules])
  } catch (error) {
    if (!(error instanceof KitError)) throw error
    faults.push(`/redaction: ${error.message}`)
    return compileRedaction(STANDARD_RULES)
  }
}

/** As far as JSON can say it; `compileRedaction` checks the rest. */
function ruleOf(value: JsonValue, i: number, faults: string[]): RedactionRule {
  const { values, ...rest } = isObject(value) ? value : {}
  const patterns = Array.isArray(values) && {
    values: values.map((each, j) => regExp(each, `/redaction/${i}/values/${j}`, faults)),
  }
  return { ...rest, ...patterns } as unknown as RedactionRule
}

function regExp(value: JsonValue | undefined, at: string, faults: string[]): RegExp {
  try {
    if (typeof value === 'string') return new RegExp(value, 'u')
    faults.push(`${at} must be a text`)
  } catch (error) {
    faults.push(`${at} is no regular expression: ${(error as Error).message}`)
  }
  return /(?!)/
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
      : { matches: rule.has('matches') ? regExp(rule.any('matches'), `${at}/matches`, faults) : /(?!)/ },
  }
  rule.done()
  return made
}

function limitsOf(limits: Members): McpLimits {
  const made: McpLimits = {
    lineBytes: limits.integer('lineBytes', 16 << 20, 1024, 256 << 20),
    discloseBytes: limits.integer('discloseBytes', 32 << 10, 0, 96 << 10),
    openRequests: limits.integer('openRequests', 10_000, 1, 1e6),
    spoolBytes: limits.integer('spoolBytes', 256 << 20, 1 << 20, MAX_BYTES),
    spoolWaitMs: limits.integer('spoolWaitMs', 1_000, 0, MAX_MS),
    graceMs: limits.integer('graceMs', 1_000, 1, MAX_MS),
    drainMs: limits.integer('drainMs', 1_000, 0, MAX_MS),
  }
  limits.done()
  return made
}
