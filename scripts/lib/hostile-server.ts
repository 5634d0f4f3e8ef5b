import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Ways to give an answer that is meant to harm its reader. */
export type Harm =
  /** 900 MB, as fast as they are taken. */
  | 'flood'
  /** A byte at a time, without end. */
  | 'drip'
  /** Sent on to /elsewhere of the same server, which counts. */
  | 'redirect'
  /** The connection is reset. */
  | 'reset'
  /** Nothing, and the connection stays open. */
  | 'silence'

export const HARMS: readonly Harm[] = ['flood', 'drip', 'redirect', 'reset', 'silence']

const CHUNK = Buffer.alloc(64 << 10, ' ')
const FLOOD_BYTES = 900_000_000

/** Does harm to one request. @returns bytes sent so far, for a flood */
export function harm(how: Harm, response: ServerResponse, onSent: (bytes: number) => void = () => {}): void {
  if (how === 'silence') return
  if (how === 'reset') return void response.socket?.resetAndDestroy()
  if (how === 'redirect') return void response.writeHead(307, { location: '/elsewhere' }).end()
  response.writeHead(200, { 'content-type': 'application/json' })
  if (how === 'drip') {
    const timer = setInterval(() => response.write(' '), 20)
    response.once('close', () => clearInterval(timer))
    return
  }
  let sent = 0
  const pour = () => {
    while (!response.destroyed && sent < FLOOD_BYTES) {
      sent += CHUNK.length
      onSent(CHUNK.length)
      if (!response.write(CHUNK)) return void response.once('drain', pour)
    }
    response.end()
  }
  pour()
}

export type HostileServer = {
  readonly url: string
  /** Requests that came, as `GET /path`, with the token that they gave away. */
  readonly requests: { line: string; authorization: string | undefined }[]
  /** Bytes of floods that were handed to the system. */
  sent: number
  /** Answers; null: the harm that the path names, such as /flood. */
  reply: ((request: IncomingMessage, response: ServerResponse) => void) | null
  close(): Promise<void>
}

/** A stranger's server on a free loopback port. */
export async function startHostileServer(): Promise<HostileServer> {
  const server = createServer((request, response) => {
    hostile.requests.push({ line: `${request.method} ${request.url}`, authorization: request.headers.authorization })
    request.resume()
    request.on('error', () => {})
    response.on('error', () => {})
    if (hostile.reply) return hostile.reply(request, response)
    const how = HARMS.find((each) => request.url!.startsWith(`/${each}`))
    if (how === undefined) return void response.writeHead(404).end()
    harm(how, response, (bytes) => {
      hostile.sent += bytes
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const hostile: HostileServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    sent: 0,
    reply: null,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return hostile
}
