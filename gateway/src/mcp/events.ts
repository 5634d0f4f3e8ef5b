// The events of a session: what every one of them says, and what is removed before it is signed.
import type { EventInput } from '@killick/sdk'
import { isObject, type JsonObject, type JsonValue } from '@killick/sdk/core'
import { isTraceparent, type Redaction, type Removal } from '@killick/sdk/kit'
import type { McpConfig } from './config.ts'
import { disclosed, hashOf, shortened } from '../sessions/disclosed.ts'
import type { Direction } from './message.ts'

/** Fields of their own beside those of the protocol, so that an event can be shown without them. */
export const MCP_FIELDS = ['arguments', 'result'] as const

/** An event as the recorder passes it to `record()`. */
export type McpEvent = EventInput & { arguments?: JsonValue; result?: JsonValue }

/** Name and version that a client or a server gives itself. */
export type Implementation = { readonly name: string; readonly version?: string }

/** What an event is made of. */
export type McpFacts = {
  /** What comes behind `mcp.`. */
  action: string
  /** Who asks. */
  direction: Direction
  target?: { type: string; id: string } | undefined
  outcome?: 'success' | 'failure' | 'denied' | undefined
  /** Becomes the field `arguments`, or of what is too large its hash. */
  arguments?: JsonValue | undefined
  /** Becomes the field `result`, in the same way. */
  result?: JsonValue | undefined
  changes?: NonNullable<EventInput['changes']>
  /** What is looked through by the redaction rules. */
  told?: JsonObject
  /** What the recorder knows by itself: names, numbers and hashes in which no rule may find anything. */
  known?: JsonObject
  /** The bytes of the message, for their hash. */
  message?: Buffer | undefined
  traceparent?: JsonValue | undefined
}

/** Removals that are listed one by one; of the others there are counts for each rule. */
const MAX_REMOVALS = 200

/** Makes the events of one session. `client` and `server` are set once they have said who they are. */
export class McpEvents {
  client: Implementation | null = null
  server: Implementation | null = null
  revision: string | null = null
  readonly #session: string
  readonly #serverName: string
  readonly #config: Pick<McpConfig, 'actor' | 'context' | 'mode' | 'limits'>
  readonly #redaction: Redaction

  /** @param serverName by which the server's tools are remembered */
  constructor(session: string, serverName: string, config: McpConfig) {
    this.#session = session
    this.#serverName = serverName
    this.#config = config
    this.#redaction = config.redaction
  }

  /** @throws KitError `event_invalid` if the event holds what cannot be looked into */
  make(facts: McpFacts): McpEvent {
    const { direction, target, outcome, changes, message } = facts
    const omitted: JsonObject = {}
    const shown: { arguments?: JsonValue; result?: JsonValue } = {}
    for (const name of MCP_FIELDS) {
      const value = facts[name]
      if (value === undefined) continue
      const found = disclosed(value, this.#config.limits.discloseBytes)
      if ('value' in found) shown[name] = found.value
      else omitted[name] = found.omitted
    }
    const told = facts.told && disclosed(facts.told, this.#config.limits.discloseBytes)
    const server = { type: 'mcp-server', id: shortened(this.#serverName) }
    const { event, removals } = this.#redaction.redactEvent({
      action: shortened(`mcp.${facts.action}`, 256),
      actor: direction === 'server-to-client' ? server : this.#actor(),
      targets: target === undefined ? [server] : [{ type: target.type, id: shortened(target.id) }, server],
      ...(outcome !== undefined && { outcome }),
      context: this.#config.context,
      metadata: told === undefined ? {} : 'value' in told ? (told.value as JsonObject) : { omitted: told.omitted },
      ...(changes !== undefined && { changes }),
      ...shown,
    } as EventInput)
    return {
      ...event,
      context: { ...event.context, ...this.#circumstances(facts.traceparent) },
      metadata: {
        ...event.metadata,
        mcp: {
          ...facts.known,
          direction,
          mode: this.#config.mode,
          // The hash of what a rule has removed would confirm a guess at it.
          ...(message && { message: removals.length > 0 ? { bytes: message.length } : hashOf(message) }),
          ...(Object.keys(omitted).length > 0 && { omitted }),
        },
        ...(removals.length > 0 && { redactions: listOf(removals) }),
      },
    }
  }

  #actor(): EventInput['actor'] {
    const { actor } = this.#config
    if (actor !== null) return actor as EventInput['actor']
    return { type: 'agent', id: shortened(this.client?.name ?? 'unidentified') }
  }

  #circumstances(traceparent: JsonValue | undefined): JsonObject {
    return {
      session: this.#session,
      ...(this.client !== null && { agent: { ...this.client } }),
      ...(this.revision !== null && { protocolVersion: this.revision }),
      ...(isTraceparent(traceparent) && { traceparent }),
    }
  }
}

function listOf(removals: readonly Removal[]): JsonValue {
  const list: JsonValue[] = removals.slice(0, MAX_REMOVALS).map(({ path, rule }) => ({ path: shortened(path), rule }))
  const more: Record<string, number> = {}
  for (const { rule } of removals.slice(MAX_REMOVALS)) more[rule] = (more[rule] ?? 0) + 1
  return [...list, ...Object.entries(more).map(([rule, count]) => ({ path: '/*', rule, count }))]
}

/** Name and version in what a client or a server says of itself; null if it names nothing. */
export function implementationOf(value: JsonValue | undefined): Implementation | null {
  if (!isObject(value) || typeof value.name !== 'string') return null
  const { name, version } = value
  return { name: shortened(name), ...(typeof version === 'string' && { version: shortened(version) }) }
}
