import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { normalizeIP } from '@fastify/rate-limit'
import { InvariantError } from '@killick/sdk/core'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

export type UnreadLimits = {
  /** Requests of one connection that may be unanswered at a time; one more closes it. Default 16. */
  requests: number
  /** Bytes of answers that one address (IPv6: one /64) may leave unread. Default 32 MiB. */
  address: number
  /** Bytes of answers that all together may leave unread. Default 128 MiB. */
  total: number
}

const MEBIBYTE = 1024 * 1024
const UNREAD_LIMITS: UnreadLimits = { requests: 16, address: 32 * MEBIBYTE, total: 128 * MEBIBYTE }

/** Upper bounds for what an answer costs besides its body, and for what an answer that is made while it is read may hold. */
const ANSWER_BYTES = 4 * 1024
const STREAM_BYTES = 512 * 1024
/** Holders of a token may read more slowly by this factor: an audit at a slow pace pauses within an answer. */
const READER_PATIENCE = 10

/** What Node's parser of HTTP takes for the end of HTTP on a connection. */
const UPGRADED = 2

/** Why a connection was closed: it kept asking without reading, its unread answers were the oldest of too many, or it stalled. */
export type CutReason = 'pipelined' | 'unread' | 'stalled'

type Answer = { connection: Connection; address: string; bytes: number }
/** `waiting`: requests that arrived before the answer to the one before them was sent, oldest first. */
type Connection = { socket: Socket; unanswered: number; waiting: (() => void)[]; answers: Set<Answer> }

/** Bodies that exist once, however many answers carry them. */
const shared = new WeakSet<object>()

/** Marks a body that is kept for many answers, so that it is not counted for each. */
export function share(body: Buffer): Buffer {
  shared.add(body)
  return body
}

/** Bodies that are made while they are read, and what each may hold. Bytes. */
const weights = new WeakMap<object, number>()

/** Says how many bytes a stream may hold while nobody reads it; of others it is assumed. */
export function weigh<T extends Readable>(body: T, bytes: number): T {
  weights.set(body, bytes)
  return body
}

/**
 * Bounds the memory of answers that peers do not read. A peer that reads is never cut off: where there is too much, the
 * connection is closed whose answer has waited longest, among those of the address that has too much, or among all.
 *
 * @param timeoutMs how long a peer may read nothing of an answer that waits for it
 * @param cut told of each connection that is closed
 */
export function boundUnread(timeoutMs: number, cut: (reason: CutReason) => void, limits: UnreadLimits = UNREAD_LIMITS) {
  const connections = new Map<Socket, Connection>()
  /** Oldest first. */
  const held = new Set<Answer>()
  const addresses = new Map<string, number>()
  let total = 0

  function add(answer: Answer): void {
    held.add(answer)
    answer.connection.answers.add(answer)
    total += answer.bytes
    addresses.set(answer.address, (addresses.get(answer.address) ?? 0) + answer.bytes)
  }

  function remove(answer: Answer): void {
    if (!held.delete(answer)) return
    answer.connection.answers.delete(answer)
    total -= answer.bytes
    const rest = addresses.get(answer.address)! - answer.bytes
    if (rest > 0) addresses.set(answer.address, rest)
    else addresses.delete(answer.address)
  }

  function forget(connection: Connection): void {
    connections.delete(connection.socket)
    connection.waiting.length = 0
    for (const answer of connection.answers) remove(answer)
  }

  function close(connection: Connection, reason: CutReason): void {
    forget(connection)
    stopParsing(connection.socket)
    connection.socket.destroy()
    cut(reason)
  }

  /** Makes room for an answer that has just been added; one that is alone may be as large as it is. */
  function makeRoom(newest: Answer): void {
    while (held.has(newest)) {
      const isFull = total > limits.total
      if (!isFull && addresses.get(newest.address)! <= limits.address) return
      const oldest = oldestOf(isFull ? null : newest.address)
      if (oldest === newest) return
      close(oldest.connection, 'unread')
    }
  }

  function oldestOf(address: string | null): Answer {
    for (const answer of held) if (address === null || answer.address === address) return answer
    throw new InvariantError('bytes are counted that no answer holds')
  }

  function connectionOf(socket: Socket): Connection {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { socket, unanswered: 0, waiting: [], answers: new Set() }
    connections.set(socket, connection)
    socket.once('close', () => forget(connection))
    return connection
  }

  /**
   * Has a connection's requests handled one after another: who asks on without reading costs one answer at a time. Node handles
   * them all at once, and only sends the answers in order.
   */
  function inOrder(handle: RequestListener, request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    // Node reads on to the end of what has arrived, so of a closed connection more may still come.
    if (socket.destroyed) return
    const connection = connectionOf(socket)
    if (connection.unanswered === limits.requests) {
      close(connection, 'pipelined')
      return
    }
    response.once('finish', () => {
      connection.unanswered--
      // An answer may have been the last of its connection.
      if (socket.writable) connection.waiting.shift()?.()
    })
    connection.unanswered++
    if (connection.unanswered === 1) handle(request, response)
    else connection.waiting.push(() => handle(request, response))
  }

  function answered(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    const connection = connections.get(request.raw.socket)
    if (connection === undefined) return
    const answer: Answer = { connection, address: normalizeIP(request.ip), bytes: sizeOf(payload) }
    add(answer)
    reply.raw.once('finish', () => remove(answer))
    if (request.role !== null) connection.socket.setTimeout(READER_PATIENCE * timeoutMs)
    makeRoom(answer)
  }

  /** Called for sockets on which nothing has moved for as long as they may; Node leaves it to us what becomes of them. */
  function quiet(socket: Socket): void {
    const connection = connections.get(socket)
    // A peer that has not sent a request yet is left to the request timeout.
    if (connection === undefined) return
    if (connection.unanswered === 0) socket.destroy()
    else if (socket.writableLength > 0) close(connection, 'stalled')
  }

  return {
    /** The server's handler of requests, given to it by this. */
    guard:
      (handle: RequestListener): RequestListener =>
      (request, response) =>
        inOrder(handle, request, response),
    watch(app: FastifyInstance): void {
      app.addHook('onSend', (request, reply, payload, done) => {
        answered(request, reply, payload)
        done()
      })
      ;(app.server as Server).setTimeout(timeoutMs, quiet)
    },
  }
}

/**
 * Node parses what has arrived to its end even where its connection has been closed meanwhile, and aborts each request with an error
 * of its own: a thousand that fit into one read keep the event loop for a tenth of a second and more. There is no public way to
 * stop that. This takes what parsed requests are handed to (`_http_server.js`) and answers as Node does to an upgrade, behind which
 * nothing is parsed; where that is gone, it only takes longer.
 */
function stopParsing(socket: Socket & { parser?: { onIncoming?: unknown } | null }): void {
  if (typeof socket.parser?.onIncoming === 'function') socket.parser.onIncoming = () => UPGRADED
}

function sizeOf(payload: unknown): number {
  if (typeof payload === 'string') return ANSWER_BYTES + Buffer.byteLength(payload)
  if (payload instanceof Uint8Array) return ANSWER_BYTES + (shared.has(payload) ? 0 : payload.byteLength)
  if (payload === null || payload === undefined) return ANSWER_BYTES
  return weights.get(payload) ?? STREAM_BYTES
}
