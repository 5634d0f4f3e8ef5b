// Websockets: a session from the request that asks for one to the end of the connection. Its bytes pass untouched, counted and hashed.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { JsonObject } from '@killick/sdk/core'
import { BodyMeter } from './bodies.ts'
import { type HttpCode, HttpRefusal } from './errors.ts'
import { begin, deny, finish, isTls, type Looked, look, meaningOf, recordingOf } from './exchange.ts'
import { type HeaderMap, requestHeaders, responseHeaders } from './headers.ts'
import type { ProxyParts } from './parts.ts'
import { sendProblem } from './problems.ts'

/** How a session ended. */
type Ended = {
  readonly state: 'ended' | 'cut' | 'refused' | 'unknown' | 'cancelled'
  readonly by: 'client' | 'upstream' | 'timeout' | 'proxy'
  /** What the upstream answered; 101 where the session was opened. */
  readonly status: number | null
  readonly code?: HttpCode
}

/** How long the other side may take to end when one has, ms. */
const LINGER_MS = 2_000

/** Only these are passed on; a request for another protocol is passed on without its wish. */
export const isWebsocket = ({ headers, method }: IncomingMessage): boolean =>
  method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket'

/** Takes one websocket from its request to its end. Never rejects. */
export async function upgrade(
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
  parts: ProxyParts,
  isBusy: boolean,
): Promise<void> {
  const { metrics } = parts
  const start = performance.now()
  const res = new ServerResponse(req)
  try {
    if (isBusy) throw new HttpRefusal('http_busy')
    if (carriesBody(req)) throw new HttpRefusal('http_request_invalid', 'A request for a websocket must have no body.')
    const looked = await look(req, parts)
    const recording = recordingOf(looked.asked, parts)
    deny(looked, recording, parts)
    const begun =
      recording &&
      (await begin(recording, looked.asked, {
        action: 'session.start',
        known: { kind: 'intent', transport: 'websocket' },
      }))
    const bodies = looked.asked.match.route?.bodies === 'none' || !looked.asked.match.route ? 'none' : 'hash'
    const meters = { fromClient: new BodyMeter(bodies, 0), fromUpstream: new BodyMeter(bodies, 0) }
    const ended = await session(req, socket, head, looked, meters, parts)
    const { state, by, status, code } = ended
    const known: JsonObject = {
      ...{ kind: 'outcome', transport: 'websocket', state, by, status, ...(code && { code }) },
      ms: Math.round((performance.now() - start) * 10) / 10,
      ...{ fromClient: meters.fromClient.facts(), fromUpstream: meters.fromUpstream.facts() },
    }
    const outcome =
      state === 'unknown' || state === 'cancelled'
        ? undefined
        : state === 'refused'
          ? 'failure'
          : meaningOf(state === 'cut' && status !== 101 ? 'cut' : 'answered', status, by)
    if (begun !== null) finish(begun, { action: 'session.end', outcome, known }, parts)
    metrics.requests.inc({ recorded: `${begun !== null}`, result: `${status ?? state}` })
    if (code !== undefined) throw new HttpRefusal(code)
  } catch (error) {
    const refusal = error instanceof HttpRefusal ? error : parts.internal(error)
    metrics.refusals.inc({ code: refusal.code })
    if (socket.destroyed) return
    res.assignSocket(socket)
    res.once('finish', () => socket.end())
    res.shouldKeepAlive = false
    sendProblem(req, res, refusal)
  }
}

const carriesBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

function session(
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
  { peer, target }: Looked,
  meters: { fromClient: BodyMeter; fromUpstream: BodyMeter },
  { config, upstream, isTrusted, isBelieved, stop }: ProxyParts,
): Promise<Ended> {
  const { connectMs, answerMs, idleMs } = config.limits
  return new Promise((resolve) => {
    const { name } = config.who.header ?? {}
    const identity = name === undefined ? null : { name, isBelieved: isBelieved(peer) }
    const headers = requestHeaders(req, { peer, isTls: isTls(req), isTrusted, host: upstream.host, identity })
    headers.connection = 'Upgrade'
    headers.upgrade = 'websocket'
    let other: Duplex | null = null
    let status: number | null = null
    let isSent = false
    let isDone = false
    const end = (state: Ended['state'], by: Ended['by'], code?: HttpCode): void => {
      if (isDone) return
      isDone = true
      clearTimeout(connecting)
      stop.removeEventListener('abort', stopped)
      // With a code the client is still to be told.
      if (code === undefined) socket.destroySoon()
      if (other === null) out.destroy()
      else (other as Socket).destroySoon()
      resolve({ state, by, status, ...(code && { code }) })
    }
    const stopped = () => {
      end(other === null ? 'unknown' : 'cut', 'proxy')
      socket.destroy()
      other?.destroy()
    }
    const failed = (by: 'upstream' | 'timeout') => {
      if (status !== null) end('cut', by)
      else if (!isSent) end('refused', by, 'http_upstream_unreachable')
      else end('unknown', by, by === 'timeout' ? 'http_upstream_timeout' : 'http_upstream_broken')
    }
    const out = upstream.request('GET', target, headers, true)
    const connecting = setTimeout(() => failed('timeout'), connectMs)
    out.once('socket', (connection) => {
      connection.once(upstream.isTls ? 'secureConnect' : 'connect', () => {
        clearTimeout(connecting)
        isSent = true
        out.setTimeout(answerMs, () => failed('timeout'))
      })
    })
    out.on('error', () => failed('upstream'))
    socket.once('close', () => {
      if (other === null) end(status === null ? 'cancelled' : 'cut', 'client')
    })
    stop.addEventListener('abort', stopped)
    out.once('response', (answer) => {
      status = answer.statusCode!
      let res: ServerResponse
      try {
        res = answerOf(req, answer)
      } catch {
        end('cut', 'upstream', 'http_upstream_broken')
        return
      }
      answer.on('data', meters.fromUpstream.take)
      relayAnswer(res, socket, answer).then(
        () => end('ended', 'upstream'),
        () => end('cut', 'upstream'),
      )
    })
    out.once('upgrade', (answer, connection, rest) => {
      if (answer.headers.upgrade?.toLowerCase() !== 'websocket') {
        // The client would be told of a websocket that there is none of.
        connection.destroy()
        failed('upstream')
        return
      }
      status = answer.statusCode!
      other = connection
      out.setTimeout(0)
      socket.write(headOf(answer), 'latin1')
      join(socket, connection, idleMs, () => end('cut', 'timeout'))
      // What came behind the heads, before anybody listens: a stream that flows hands it to those who listen already, and to nobody else.
      if (rest.length > 0) connection.unshift(rest)
      if (head.length > 0) socket.unshift(head)
      socket.on('data', meters.fromClient.take)
      connection.on('data', meters.fromUpstream.take)
      connection.on('error', () => end('cut', 'upstream'))
      // The first that ends is who ended it; what the other one still says goes on.
      let first: Ended['by'] | null = null
      const leave = (who: 'client' | 'upstream') => {
        first ??= who
        setTimeout(() => end('ended', first!), LINGER_MS).unref()
      }
      connection.once('end', () => leave('upstream'))
      socket.once('end', () => leave('client'))
      connection.once('close', () => end('ended', first ?? 'upstream'))
      socket.once('close', () => end('ended', first ?? 'client'))
      connection.pipe(socket)
      socket.pipe(connection)
    })
    out.end()
    if (stop.aborted) stopped()
    else if (socket.destroyed) end('cancelled', 'client')
  })
}

/** Each side ends when nothing has passed for a time. */
function join(socket: Socket, connection: Duplex, idleMs: number, late: () => void): void {
  for (const each of [socket, connection as Socket]) {
    each.setNoDelay?.(true)
    each.setTimeout?.(idleMs, late)
  }
}

/** Hop by hop headers belong to an upgrade, so they are said again. */
function headOf(answer: IncomingMessage): string {
  const headers: HeaderMap = { ...responseHeaders(answer), connection: 'Upgrade', upgrade: 'websocket' }
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((each) => `${name}: ${each}\r\n`))
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`
}

/** The upstream wants no websocket; its answer goes back as to any request. @throws if its head cannot be said to the client */
function answerOf(req: IncomingMessage, answer: IncomingMessage): ServerResponse {
  const res = new ServerResponse(req)
  res.shouldKeepAlive = false
  res.sendDate = false
  for (const [name, value] of Object.entries(responseHeaders(answer))) res.setHeader(name, value)
  res.writeHead(answer.statusCode!, answer.statusMessage)
  return res
}

function relayAnswer(res: ServerResponse, socket: Socket, answer: IncomingMessage): Promise<void> {
  res.assignSocket(socket)
  return new Promise((resolve, reject) => {
    res.once('finish', resolve)
    answer.once('close', () => {
      if (!answer.complete) reject(new Error('cut'))
    })
    answer.on('error', reject)
    answer.pipe(res)
  })
}
