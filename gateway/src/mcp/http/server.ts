// `killick-gateway mcp-http`: between clients and a server that is reached over HTTP (streamable HTTP).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAnswering } from '../../answering.ts'
import { GatewayStartError } from '../../errors.ts'
import { FairShare } from '../../fairness.ts'
import { openRecorder } from '../../sessions/recorder.ts'
import { sparing } from '../../sparing.ts'
import { MAX_AT_A_TIME, takeTurns } from '../../turns.ts'
import { ApprovalDesk } from '../approval-desk.ts'
import { MCP_FIELDS, type McpConfig } from '../config.ts'
import { exchange, refuse } from './exchange.ts'
import { intruderOf } from './guard.ts'
import type { HttpParts } from './parts.ts'
import { passBack, write } from './pass-back.ts'
import { HttpSessions, idIn } from './sessions.ts'
import { answerOf, McpUpstream, movedTo, NotReached, namedIn, passedHeaders } from './upstream.ts'

/** A recorder that listens. */
export type McpHttpRecorder = {
  /** Where clients find the server, e.g. `http://127.0.0.1:8790/mcp`. */
  readonly url: string
  /** Takes nothing new, gives what is under way `limits.graceMs`, ends every session, and closes; a second call waits for the same. */
  close(): Promise<void>
}

/**
 * Starts a recorder between clients and the server of `http.upstream`.
 * @throws GatewayStartError `gateway_start_failed` without `http`, or if the address is taken; KillickError as `openAuditLog`
 */
export async function recordHttp(config: McpConfig, say: (text: string) => void): Promise<McpHttpRecorder> {
  const { http, limits } = config
  if (http === null)
    throw new GatewayStartError('gateway_start_failed', 'mcp-http needs the member "http" of its configuration.')
  const recorder = await openRecorder({ kind: 'mcp', settings: config, fields: MCP_FIELDS, say })
  const desk =
    config.approvals &&
    (await ApprovalDesk.open(config.approvals, say).catch(async (error) => {
      await recorder.close()
      throw error
    }))
  const upstream = new McpUpstream(http.upstream)
  const name = config.server ?? `${upstream.url.origin}${upstream.url.pathname}`
  const sessions = new HttpSessions(config, name, recorder, desk, say)
  const often = sparing(say)
  const memory = new FairShare(limits.memoryBytes)
  const parts: HttpParts = { config, http, sessions, upstream, memory, say, often }
  const underWay = new Set<Promise<void>>()
  let count = 0
  const inTurn = takeTurns(() =>
    often(`a connection was closed: more than ${MAX_AT_A_TIME} requests on it had no answer`),
  )
  // A stream of server-sent events may be silent for as long as it likes; this is about what clients send.
  const patience = {
    requestTimeout: limits.requestMs,
    headersTimeout: Math.min(HEADERS_MS, limits.requestMs),
    connectionsCheckingInterval: Math.min(CHECK_MS, limits.requestMs),
  }
  const server = createServer(patience, (req, res) => {
    const taken = inTurn(req, false, () => take(req, res, parts, `${++count}`))?.catch((error) => {
      often(`a request could not be relayed: ${(error as Error).message}`)
      res.destroy()
    })
    if (taken === undefined) return
    underWay.add(taken)
    taken.then(() => underWay.delete(taken))
  })
  server.maxConnections = limits.connections
  server.on('drop', () => often('a connection was closed: there are as many as limits.connections allows'))
  server.on('clientError', (error, socket) => often(refusePeer(error, socket as Socket)))
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(http.listen)!
  const close = async () => {
    upstream.close()
    await sessions.close()
    desk?.close()
    await recorder.close()
  }
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(Number(port), host, resolve))
  } catch (error) {
    await close()
    throw new GatewayStartError('gateway_start_failed', `${http.listen}: ${(error as Error).message}`)
  }
  server.on('error', (error) => say(`a connection could not be taken: ${error.message}`))
  const address = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  const shut = async () => {
    server.close()
    server.closeIdleConnections()
    await Promise.race([Promise.allSettled(underWay), sleep(limits.graceMs, undefined, { ref: false })])
    server.closeAllConnections()
    await Promise.allSettled(underWay)
    await close()
  }
  return {
    url: `http://${http.listen.replace(/\d+$/, String(address.port))}${upstream.url.pathname}`,
    close: () => (closing ??= shut()),
  }
}

/** How long the headers of a request may take, ms; and how often that is looked at. */
const HEADERS_MS = 60_000
const CHECK_MS = 1_000
/** How long a client may take to read why it is refused, ms. */
const LINGER_MS = 1_000

const REFUSALS: Record<string, string> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
}

/** Answers what never became a request. @returns what is said of it */
function refusePeer(error: NodeJS.ErrnoException, socket: Socket): string {
  if (!socket.writable || error.code === 'ECONNRESET' || isAnswering(socket)) socket.destroy()
  else {
    const status = REFUSALS[error.code ?? ''] ?? '400 Bad Request'
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
  return `a request did not arrive: ${error.message}`
}

/** Of several, servers take the first, the last or both. */
const ONCE = ['mcp-session-id', 'content-type', 'authorization']

/** What Connection may not name: it would be looked at here, and the server would not see it. */
const NEVER_REMOVED = /^(?:mcp-.*|authorization|content-.*|host|origin)$/

async function take(req: IncomingMessage, res: ServerResponse, parts: HttpParts, name: string): Promise<void> {
  res.on('error', () => {})
  const intruder = intruderOf(req, parts.http)
  if (intruder !== null) return refuse(res, 403, 'mcp_origin_refused', intruder)
  if (URL.parse(req.url!, 'http://recorder')?.pathname !== parts.upstream.url.pathname) {
    res.writeHead(404).end()
    return
  }
  const twice = ONCE.find((header) => (req.headersDistinct[header] ?? []).length > 1)
  if (twice !== undefined)
    return refuse(res, 400, 'mcp_header_mismatch', `The header ${twice} is there more than once.`)
  const removed = namedIn(req.headers.connection).find((each) => NEVER_REMOVED.test(each))
  if (removed !== undefined) return refuse(res, 400, 'mcp_header_mismatch', `The header connection names ${removed}.`)
  if (req.method === 'POST') return exchange(req, res, parts, name)
  if (req.method === 'GET' || req.method === 'DELETE' || req.method === 'OPTIONS') return passWithout(req, res, parts)
  res.writeHead(405, { allow: 'POST, GET, DELETE, OPTIONS' }).end()
}

/** Requests that carry no message: GET opens a stream for what the server says by itself, DELETE ends the server's session. */
async function passWithout(req: IncomingMessage, res: ServerResponse, parts: HttpParts): Promise<void> {
  const id = idIn(req)
  // No body goes on. Where its length were said all the same, the server would take the next request for it.
  const { 'content-length': _, ...passed } = passedHeaders(req)
  const headers = { ...passed, host: parts.upstream.url.host, 'accept-encoding': 'identity' }
  const asked = parts.upstream.ask(req.method!, headers, null)
  const left = () => asked.destroy()
  res.once('close', left)
  try {
    const reply = await answerOf(asked)
    const moved = movedTo(reply)
    if (moved !== null) {
      reply.destroy()
      return refuse(res, 502, 'mcp_upstream_unreachable', moved)
    }
    if (req.method !== 'GET' || reply.statusCode! >= 300) {
      res.writeHead(reply.statusCode!, passedHeaders(reply))
      for await (const chunk of reply as AsyncIterable<Buffer>) await write(res, chunk)
      res.end()
      if (req.method === 'DELETE' && id !== null && reply.statusCode! < 300) parts.sessions.drop(id)
      return
    }
    const kept = await parts.sessions.of(req, [])
    parts.sessions.vouched(req, kept, reply)
    parts.sessions.enter(kept)
    try {
      await passBack(reply, res, kept.session, parts, { name: undefined, id })
    } finally {
      parts.sessions.leave(kept)
    }
  } catch (error) {
    if (res.headersSent) res.destroy()
    else refuse(res, 502, 'mcp_upstream_unreachable', error instanceof NotReached ? error.message : '')
  } finally {
    res.off('close', left)
  }
}
