// Answers of the proxy's own: problem documents (RFC 9457) with a code.
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { isAnswering } from '../answering.ts'
import { HTTP_CODES, type HttpCode, type HttpRefusal } from './errors.ts'
import { isHttp2 } from './headers.ts'

const MEDIA_TYPE = 'application/problem+json'
/** Seconds after which a request is worth repeating: a spool that is full is not free at once. */
const RETRY_AFTER = { http_not_recorded: 5, http_busy: 1, http_draining: 2 } as Partial<Record<HttpCode, number>>
/** How long a peer may take to read why it is cut off, ms. */
const LINGER_MS = 1_000

function documentOf(code: HttpCode, detail: string, details: Readonly<Record<string, unknown>> = {}): string {
  const [status, title] = HTTP_CODES[code]
  return JSON.stringify({ type: `urn:killick:problem:${code}`, title, status, code, detail, ...details })
}

/** Answers with the problem document, if nothing was answered yet. A body that was not read to its end ends its connection of HTTP/1.1. */
export function sendProblem(req: IncomingMessage, res: ServerResponse, { code, message, details }: HttpRefusal): void {
  if (res.headersSent || res.destroyed) return
  const [status] = HTTP_CODES[code]
  const body = documentOf(code, message, details)
  for (const name of res.getHeaderNames()) res.removeHeader(name)
  res.statusCode = status
  // A head of the upstream's that could not be said leaves its own words here.
  if (!isHttp2(req)) res.statusMessage = STATUS_CODES[status]!
  res.setHeader('content-type', MEDIA_TYPE)
  res.setHeader('content-length', Buffer.byteLength(body))
  res.setHeader('cache-control', 'no-store')
  if (RETRY_AFTER[code] !== undefined) res.setHeader('retry-after', String(RETRY_AFTER[code]))
  if (status === 401) res.setHeader('www-authenticate', 'Bearer')
  // What follows a request that was read in one way may be part of it in another.
  if (!isHttp2(req) && (!req.complete || status === 400 || status === 431)) res.setHeader('connection', 'close')
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** For what never became a request: too slow, too large headers, not HTTP. @returns what was answered, if anything was */
export function refusePeer(error: NodeJS.ErrnoException, socket: Socket): HttpCode | null {
  const codes: Record<string, HttpCode> = {
    ERR_HTTP_REQUEST_TIMEOUT: 'http_timeout',
    HPE_HEADER_OVERFLOW: 'http_headers_too_large',
  }
  const code = codes[error.code ?? ''] ?? 'http_request_invalid'
  if (!socket.writable || error.code === 'ECONNRESET' || isAnswering(socket)) {
    socket.destroy()
    return null
  }
  const body = documentOf(code, HTTP_CODES[code][1])
  socket.end(
    `HTTP/1.1 ${HTTP_CODES[code][0]} Refused\r\nContent-Type: ${MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  return code
}
