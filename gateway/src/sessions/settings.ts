// What all recorders' configurations share.
import { basename, dirname, join, resolve } from 'node:path'
import { isObject, isSourceName, type JsonObject, type JsonValue } from '@killick/sdk/core'
import {
  compileRedaction,
  KitError,
  type Redaction,
  type RedactionRule,
  type RedactionRules,
  STANDARD_RULES,
} from '@killick/sdk/kit'
import { GatewayStartError } from '../errors.ts'
import { MAX_BYTES, MAX_MS, type Members } from '../members.ts'
import { type SealedSettings, sealedSettingsOf } from '../sealed/settings.ts'

/** The members that each recorder's configuration has. Paths are relative to the file's folder; a member that is not listed is a fault. */
export type RecorderSettings = {
  /** Base URL of the anchor service, e.g. `https://audit.example.com`. */
  url: string
  /** The recorder's own name: the source that its key is registered for, and under which its events stand. */
  source: string
  /** File with the private JWK of that source, mode 600; `killick keygen` makes one. */
  key: string
  /**
   * Folder for events that the ledger has not accepted. One for each process; where several are started at a time, let its last name
   * hold `{worker}`, e.g. `/var/lib/killick/mcp-{worker}`.
   */
  spool: string
  /** Folder for what is remembered beside the spool, such as open intents. Default: beside the spool, its name with `-state` behind it. */
  state: string
  /** C2SP verifier key of the log. Pin it. Default: the key that the service names first. */
  logKey: string | null
  /**
   * `strict`: what is asked waits until its intent is durable, and is refused if it cannot be recorded. `observe`: it is relayed at once and
   * recorded beside; what could not be recorded is counted and said on stderr. Default `strict`.
   */
  mode: 'strict' | 'observe'
  /** Who acts, where the configuration says it: an object with `type` and `id`. */
  actor: JsonObject | null
  /** What stands in the context of each event, such as `tenant`. Default: nothing. */
  context: JsonObject
  /**
   * What to remove before anything is signed, beside the kit's standard rules: `name`, and one of `keys`, `values` (regular
   * expressions), `paths` (JSON pointers into the event, e.g. `/arguments/card`). Default: the standard rules only.
   */
  redaction: Redaction
  /** Which fields only holders of a key can read: `SealedSettings` has the members. Default: none. */
  sealed: SealedSettings | null
  limits: RecorderLimits
}

/** Bounds on what any recorder keeps and how long it waits. */
export type RecorderLimits = {
  /** Largest fields that events show, such as arguments and results, in bytes of JSON; of larger ones they have hash and length. At most 98,304, or 65,536 where fields are sealed; default 32 KiB. */
  discloseBytes: number
  /** Size of the spool at which nothing more is recorded, in bytes; at least 1 MiB. Default 256 MiB. */
  spoolBytes: number
  /** How long what is asked waits for room in the spool, ms. Default 1,000. */
  spoolWaitMs: number
  /** How long the end waits for the ledger to accept what is in the spool, ms. What is left is sent at the next start. Default 1,000. */
  drainMs: number
}

const WORKER = '{worker}'

/** The spool of one of several recorders. */
export const placeOf = (spool: string, place: number): string =>
  join(dirname(spool), basename(spool).replace(WORKER, `${place}`))

/** Two fields of so many bytes fit into an event when they are sealed. */
const MAX_SEALED = 64 << 10

/**
 * Takes the shared members out of a configuration. `limits` is left to the recorder, which adds its own to `recorderLimitsOf`.
 * @param folder what paths are relative to @param faults where what is wrong is added
 * @param own `fields`: those of the recorder's events that can be sealed beside actor and context; `rules`: those that it adds to the standard ones
 */
export function recorderSettingsOf(
  root: Members,
  folder: string,
  faults: string[],
  { fields, rules = [] }: { fields: readonly string[]; rules?: RedactionRules },
): Omit<RecorderSettings, 'limits'> {
  const spool = resolve(folder, root.text('spool'))
  const state = root.optional('state')
  const settings = {
    url: root.text('url', /^https?:\/\/./, 'must be an http(s) URL'),
    source: root.text('source', /./, 'is missing'),
    key: resolve(folder, root.text('key')),
    spool,
    state: state === null ? `${spool.replace(WORKER, 'workers')}-state` : resolve(folder, state),
    logKey: root.optional('logKey'),
    mode: root.choice('mode', ['strict', 'observe']),
    actor: root.has('actor') ? actorOf(root, faults) : null,
    context: root.has('context') ? root.json('context') : {},
    redaction: redactionOf(root, faults, rules),
    // Not metadata, nor a session's targets: by those, intents and outcomes of a session are found.
    sealed: sealedSettingsOf(root, folder, ['actor', 'context', ...fields], ['targets', 'metadata']),
  }
  const disclosed = root.has('limits') ? root.object('limits').any('discloseBytes') : null
  if (settings.sealed !== null && typeof disclosed === 'number' && disclosed > MAX_SEALED)
    faults.push(
      `/limits/discloseBytes must be at most ${MAX_SEALED} where fields are sealed, which makes a third more of them`,
    )
  if (settings.source !== '' && !isSourceName(settings.source))
    faults.push('/source must be 1 to 64 lower-case letters, digits, dots, underscores or hyphens')
  if (spool.includes(WORKER) && !basename(spool).includes(WORKER))
    faults.push('/spool may have {worker} in its last name only')
  return settings
}

/** The shared members of `limits`; the recorder calls `limits.done()` when it has taken its own. */
export function recorderLimitsOf(limits: Members): RecorderLimits {
  return {
    discloseBytes: limits.integer('discloseBytes', 32 << 10, 0, 96 << 10),
    spoolBytes: limits.integer('spoolBytes', 256 << 20, 1 << 20, MAX_BYTES),
    spoolWaitMs: limits.integer('spoolWaitMs', 1_000, 0, MAX_MS),
    drainMs: limits.integer('drainMs', 1_000, 0, MAX_MS),
  }
}

/** @throws GatewayStartError `gateway_config_invalid` with every fault, if there is one */
export function throwFaults(faults: readonly string[]): void {
  if (faults.length === 0) return
  const list = faults.map((fault) => `- ${fault}`).join('\n')
  throw new GatewayStartError('gateway_config_invalid', `The configuration has faults:\n${list}`, faults)
}

/** A regular expression of a configuration; of what is none, one that nothing fits. @param at its place, a JSON pointer */
export function regExpOf(value: JsonValue | undefined, at: string, faults: string[]): RegExp {
  try {
    if (typeof value === 'string') return new RegExp(value, 'u')
    faults.push(`${at} must be a text`)
  } catch (error) {
    faults.push(`${at} is no regular expression: ${(error as Error).message}`)
  }
  return /(?!)/
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

function redactionOf(root: Members, faults: string[], own: RedactionRules): Redaction {
  const rules = root.has('redaction') ? root.list('redaction').map((each, i) => ruleOf(each, i, faults)) : []
  try {
    return compileRedaction([...STANDARD_RULES, ...own, ...rules])
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
    values: values.map((each, j) => regExpOf(each, `/redaction/${i}/values/${j}`, faults)),
  }
  return { ...rest, ...patterns } as unknown as RedactionRule
}
