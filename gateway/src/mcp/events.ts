// The events of a session: what every one of them says of client and server.
import { isObject, type JsonValue } from '@killick/sdk/core'
import { hashOf, shortened } from '../sessions/disclosed.ts'
import type { EventFacts, Thing } from '../sessions/event.ts'
import type { McpConfig } from './config.ts'
import type { Direction } from './message.ts'

/** Name and version that a client or a server gives itself. */
export type Implementation = { readonly name: string; readonly version?: string }

/** What an event is made of. */
export type McpFacts = Omit<
  EventFacts,
  'actor' | 'targets' | 'fields' | 'hasJsonTexts' | 'circumstances' | 'message'
> & {
  /** The bytes of the message, for their hash. */
  message?: Buffer | undefined
  /** Who asks. */
  direction: Direction
  /** Who acts, where it is neither client nor server. */
  actor?: EventFacts['actor'] | undefined
  /** What is asked for. */
  target?: Thing | undefined
  /** Becomes the field `arguments`, or of what is too large its hash. */
  arguments?: JsonValue | undefined
  /** Becomes the field `result`, in the same way. */
  result?: JsonValue | undefined
}

/** Makes the events of one session. `client` and `server` are set once they have said who they are. */
export class McpEvents {
  client: Implementation | null = null
  server: Implementation | null = null
  revision: string | null = null
  /** Whether several clients share the session: none of them is named then. */
  isShared = false
  readonly #serverName: string
  readonly #config: McpConfig

  /** @param serverName by which the server's tools are remembered */
  constructor(serverName: string, config: McpConfig) {
    this.#serverName = serverName
    this.#config = config
  }

  /** What an event says, with what every event of the session says. */
  facts({ direction, actor, target, arguments: asked, result, message, ...facts }: McpFacts): EventFacts {
    const server = { type: 'mcp-server', id: shortened(this.#serverName) }
    return {
      ...facts,
      message: message && hashOf(message),
      actor: actor ?? (direction === 'server-to-client' ? server : this.#actor()),
      targets: target === undefined ? [server] : [target, server],
      fields: { arguments: asked, result },
      hasJsonTexts: true,
      known: { ...facts.known, direction },
      circumstances: {
        ...(this.client !== null && !this.isShared && { agent: { ...this.client } }),
        ...(this.revision !== null && { protocolVersion: this.revision }),
      },
    }
  }

  /** What the client calls itself. */
  get agent(): string {
    return this.#actor().id
  }

  get serverName(): string {
    return this.#serverName
  }

  #actor(): EventFacts['actor'] {
    const { actor } = this.#config
    if (actor !== null) return actor as EventFacts['actor']
    return { type: 'agent', id: shortened((this.isShared ? null : this.client?.name) ?? 'unidentified') }
  }
}

/** Name and version in what a client or a server says of itself; null if it names nothing. */
export function implementationOf(value: JsonValue | undefined): Implementation | null {
  if (!isObject(value) || typeof value.name !== 'string') return null
  const { name, version } = value
  return { name: shortened(name), ...(typeof version === 'string' && { version: shortened(version) }) }
}
