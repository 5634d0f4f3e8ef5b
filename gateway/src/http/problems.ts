import type { Socket } from 'node:net'
import { ERROR_CODES, type ErrorCode, KillickError } from '@killick/sdk'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isAnswering } from '../answering.ts'
import { GATEWAY_CODES, type GatewayCode, GatewayRefusal } from '../errors.ts'

/** RFC 9457, with a stable `code` and the evidence as further members. */
export type GatewayProblem = {
  type: string
  title: string
  status: number
  code: string
  detail: string
  [evidence: string]: unknown
}

const MEDIA_TYPE = 'application/problem+json'

/** HTTP status of those codes of the sdk whose status is not 400. */
const SDK_STATUS: Partial<Record<ErrorCode, number>> = {
  event_too_large: 413,
  spool_full: 503,
  spool_disk_full: 503,
  spool_failed: 503,
  log_closed: 503,
}

/** Seconds after which a request is worth repeating: the share of an emitter is free soon, a spool that is full is not. */
const RETRY_AFTER: Record<string, number> = { emitter_busy: 1, spool_full: 5, spool_disk_full: 30, spool_failed: 30 }
const RETRY_AFTER_OTHERS = 2

function problem(code: string, status: number, title: string, detail: string, evidence: object = {}): GatewayProblem {
  return { type: `urn:killick:problem:${code}`, title, status, code, detail, ...evidence }
}

/** The problem document for anything that was thrown. A fault of our own reveals nothing about its cause. */
export function toGatewayProblem(error: unknown): GatewayProblem {
  if (error instanceof GatewayRefusal) {
    const { cause: _, ...evidence } = error.details
    const [status, title] = GATEWAY_CODES[error.code]
    return problem(error.code, status, title, error.message, evidence)
  }
  if (error instanceof KillickError && error.code === 'log_closed') return ofCode('collect_draining')
  if (error instanceof KillickError) {
    // The folder is the operator's business.
    const { dir: _, ...evidence } = error.details
    const detail = 'dir' in error.details ? ERROR_CODES[error.code] : error.message
    return problem(error.code, SDK_STATUS[error.code] ?? 400, ERROR_CODES[error.code], detail, evidence)
  }
  const { code, statusCode = 500 } = error as FastifyError
  if (code === 'FST_ERR_NOT_FOUND') return ofCode('collect_not_found')
  if (statusCode === 415) return ofCode('collect_media_type_unsupported')
  return ofCode(statusCode >= 400 && statusCode < 500 ? 'collect_request_invalid' : 'collect_internal')
}

function ofCode(code: GatewayCode): GatewayProblem {
  const [status, title] = GATEWAY_CODES[code]
  return problem(code, status, title, title)
}

/** Answers with the problem document. A body that was not read to its end ends its connection. */
export function sendGatewayProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const document = toGatewayProblem(error)
  if (document.status >= 500) request.log.warn({ err: error, code: document.code }, 'refused')
  if (document.status === 503 || document.status === 429)
    reply.header('retry-after', String(RETRY_AFTER[document.code] ?? RETRY_AFTER_OTHERS))
  if (document.status === 401) reply.header('www-authenticate', 'Bearer')
  if (!request.raw.complete) reply.header('connection', 'close')
  reply.gatewayCode = document.code
  return reply.code(document.status).type(MEDIA_TYPE).send(JSON.stringify(document))
}

/** How long a peer may take to read why it is cut off, ms. */
const LINGER_MS = 1_000

/** For requests that never became one: too slow, too large headers, not HTTP. @returns what was answered, if anything was */
export function refusePeer(error: NodeJS.ErrnoException, socket: Socket): GatewayCode | null {
  const codes: Record<string, GatewayCode> = {
    ERR_HTTP_REQUEST_TIMEOUT: 'collect_timeout',
    HPE_HEADER_OVERFLOW: 'collect_headers_too_large',
  }
  const code = codes[error.code ?? ''] ?? 'collect_request_invalid'
  if (!socket.writable || error.code === 'ECONNRESET' || isAnswering(socket)) {
    socket.destroy()
    return null
  }
  const body = JSON.stringify(ofCode(code))
  socket.end(
    `HTTP/1.1 ${GATEWAY_CODES[code][0]} Refused\r\nContent-Type: ${MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  return code
}

declare module 'fastify' {
  interface FastifyReply {
    /** Code of the problem document that was sent; empty when all went well. */
    gatewayCode: string
  }
}
