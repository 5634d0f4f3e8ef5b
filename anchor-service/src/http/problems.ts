import type { Socket } from 'node:net'
import { ERROR_CODES, type ErrorCode, KillickError } from '@killick/sdk/core'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isOutage } from '../database/outage.ts'
import { Refusal, SERVICE_CODES, type ServiceCode } from '../errors.ts'
import { schemaError } from './schema-words.ts'

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** RFC 9457, with a stable `code` and the evidence as further members. */
export type Problem = {
  type: string
  title: string
  status: number
  code: string
  detail: string
  [evidence: string]: unknown
}

/** HTTP status of those codes of the sdk whose status is not 400. */
const SDK_STATUS: Partial<Record<ErrorCode, number>> = { batch_too_large: 413, event_too_large: 413, key_unknown: 403 }

/** Our codes for the errors of fastify and its plugins. */
const FRAMEWORK_CODES: Record<string, ServiceCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_NOT_FOUND: 'not_found',
}

function problem(code: string, status: number, title: string, detail: string, evidence: object = {}): Problem {
  return { type: `urn:killick:problem:${code}`, title, status, code, detail, ...evidence }
}

function ofService(code: ServiceCode, detail?: string, evidence?: object): Problem {
  const [status, title] = SERVICE_CODES[code]
  return problem(code, status, title, detail ?? title, evidence)
}

/** The problem document for anything that was thrown. A fault of our own reveals nothing about its cause. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Refusal) {
    const { cause: _, ...evidence } = error.details
    return ofService(error.code, error.message, evidence)
  }
  if (error instanceof KillickError) {
    return problem(error.code, SDK_STATUS[error.code] ?? 400, ERROR_CODES[error.code], error.message, error.details)
  }
  if (isOutage(error)) return ofService('unavailable')
  const { code = '', validation, statusCode = 500, message } = error as FastifyError
  const known = FRAMEWORK_CODES[code]
  if (known !== undefined) return ofService(known)
  if (validation !== undefined) return ofService('request_invalid', message)
  if (statusCode === 429) return ofService('rate_limited')
  if (statusCode >= 400 && statusCode < 500) return ofService('request_invalid')
  return ofService('internal')
}

/** Seconds after which a request that was refused for lack of room is worth repeating. */
const RETRY_AFTER = '1'
/** Seconds for which wrong tokens are counted; what else counts says itself when it begins anew. */
const COUNTED = '60'

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const document = toProblem(error)
  if (document.status >= 500) request.log.error({ err: error }, document.code)
  if (document.status === 503) reply.header('retry-after', RETRY_AFTER)
  if (document.code === 'rate_limited' && !reply.hasHeader('retry-after')) reply.header('retry-after', COUNTED)
  if (document.status === 401) reply.header('www-authenticate', 'Bearer')
  // Something that does not exist or is not allowed now may exist or be allowed a moment later.
  reply.header('cache-control', 'no-store')
  reply.problemCode = document.code
  return reply.code(document.status).type(PROBLEM_MEDIA_TYPE).send(JSON.stringify(document))
}

/** Every error of a route, and every address without one, becomes a problem document. */
export function installProblems(app: FastifyInstance): void {
  app.decorateReply('problemCode', '')
  app.setErrorHandler(sendProblem)
  app.setSchemaErrorFormatter(schemaError)
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new Refusal('not_found', `There is nothing at this address for ${request.method}.`), request, reply),
  )
}

/** How long a peer may take to read why it is cut off, even if it never closes its side. ms */
const LINGER_MS = 1_000

/** For requests that never became one: too slow, too large headers, not HTTP. @returns what was answered, if anything was */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): ServiceCode | null {
  const code =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request_timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'headers_too_large'
        : 'request_invalid'
  const body = JSON.stringify(ofService(code))
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return null
  }
  socket.end(
    `HTTP/1.1 ${SERVICE_CODES[code][0]} Refused\r\nContent-Type: ${PROBLEM_MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  return code
}

declare module 'fastify' {
  interface FastifyReply {
    /** Code of the problem document that was sent; empty when all went well. */
    problemCode: string
  }
}
