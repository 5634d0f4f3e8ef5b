// The server behind the recorder: what it is asked, and with which headers.
import { Agent, type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'

/** RFC 9110, 7.6.1: these are for the next hop only. */
const HOP_BY_HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'trailer', 'upgrade'],
  ...['proxy-authenticate', 'proxy-authorization'],
])

/** A server on the way to nobody else. Has a life: connections are kept until it is closed. */
export class McpUpstream {
  readonly url: URL
  readonly #agent: Agent | TlsAgent

  constructor(url: string) {
    this.url = new URL(url)
    const options = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY }
    this.#agent = this.url.protocol === 'https:' ? new TlsAgent(options) : new Agent(options)
  }

  /** Begins a request. @param headers as they go on */
  ask(method: string, headers: OutgoingHttpHeaders, body: Buffer | null): ClientRequest {
    const ask = this.url.protocol === 'https:' ? tlsRequest : request
    const asked = ask(this.url, { method, agent: this.#agent, headers })
    asked.end(body ?? undefined)
    return asked
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** The answer's head. @throws NotReached if the server has not seen the request; else what broke the connection */
export function answerOf(asked: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let isConnected = false
    asked.once('socket', (socket) => {
      isConnected = !socket.connecting
      if (isConnected) return
      socket.once(asked.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        isConnected = true
      })
    })
    asked.once('response', resolve)
    asked.once('error', (error) => reject(isConnected ? error : new NotReached(error.message)))
    // A change of protocols that nobody asked for closes it without a response or an error.
    asked.once('close', () => reject(new Error('It gave no answer.')))
  })
}

/** No connection to the server came about. */
export class NotReached extends Error {}

/** Where a server sends clients on, as a sentence; null: it does not. Clients would go there by themselves, and past the recorder. */
export function movedTo({ statusCode, headers: { location } }: IncomingMessage): string | null {
  if (statusCode! < 300 || statusCode! > 399 || location === undefined) return null
  return `It sends clients on to ${location.slice(0, 200).toWellFormed()}: if that is right, say it in http.upstream.`
}

/** The headers that Connection says are for the next hop only. */
export const namedIn = (connection = ''): string[] => connection.split(',').map((each) => each.trim().toLowerCase())

/** Headers that go on, in either direction. */
export function passedHeaders(message: IncomingMessage): OutgoingHttpHeaders {
  const { rawHeaders, headers } = message
  const named = namedIn(headers.connection)
  // Without a prototype, or a header named `constructor` would be there before it comes.
  const passed: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (HOP_BY_HOP.has(name) || named.includes(name)) continue
    const value = rawHeaders[i + 1]!
    const before = passed[name]
    passed[name] = before === undefined ? value : [...[before].flat(), value]
  }
  return passed
}
