// One request on its way to the upstream and its answer on the way back, both streamed: neither side is read faster than the other writes.
import type { ClientRequest, IncomingMessage, InformationEvent, ServerResponse } from 'node:http'
import type { BodyMeter } from './bodies.ts'
import type { HttpCode } from './errors.ts'
import { type HeaderMap, responseHeaders, trailersOf } from './headers.ts'
import type { Upstream } from './upstream.ts'

/** How it ended, as far as the proxy saw it. */
export type PassedRequest = {
  /**
   * `answered`: the whole answer went back. `cut`: it began, and ended early. `cancelled`: the client left before it. `unknown`: the upstream
   * may have seen the request and said nothing. `refused`: the upstream has not seen it.
   */
  readonly state: 'answered' | 'cut' | 'cancelled' | 'unknown' | 'refused'
  readonly status: number | null
  /** Who ended it early. */
  readonly by?: 'client' | 'upstream' | 'timeout' | 'proxy'
  readonly code?: HttpCode
  /** Whether it ended before all of its body had come. */
  readonly isPartial: boolean
  /** Headers of the answer. */
  readonly answer: IncomingMessage | null
  /** From when it was passed on to the answer's head, ms. */
  readonly headMs: number | null
}

/** Bounds on waiting, ms. */
export type ForwardPatience = { readonly connectMs: number; readonly answerMs: number; readonly idleMs: number }

/** What is forwarded. */
export type ForwardedRequest = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly method: string
  readonly path: string
  readonly headers: HeaderMap
  readonly hasBody: boolean
  /** Header in which proxies say who asks; null: none does. */
  readonly identity: string | null
  readonly meters: { readonly request: BodyMeter; readonly response: BodyMeter } | null
  /** Aborted when the proxy will wait no longer. */
  readonly stop: AbortSignal
}

/** How long a client may go on with an upload that is answered, ms. */
const LINGER_MS = 1_000

/** Passing these twice does what once does. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** Forwards it. Resolves when it has ended; never rejects. What the client has to be told itself is answered by the caller (`code`). */
export function forward(what: ForwardedRequest, upstream: Upstream, patience: ForwardPatience): Promise<PassedRequest> {
  const { req, res, method, path, headers, hasBody, identity, meters, stop } = what
  const start = performance.now()
  return new Promise((resolve) => {
    let out: ClientRequest
    let answer: IncomingMessage | null = null
    let headMs: number | null = null
    let isSent = false
    let isDone = false
    let isPartial = false
    let connecting: NodeJS.Timeout | undefined
    const end = (state: PassedRequest['state'], by?: PassedRequest['by'], code?: HttpCode): void => {
      if (isDone) return
      isDone = true
      clearTimeout(connecting)
      stop.removeEventListener('abort', stopped)
      // One that has ended well is back in the pool.
      if (state !== 'answered' || !out.writableFinished) out?.destroy()
      const status = answer?.statusCode ?? null
      resolve({
        state,
        status,
        answer,
        headMs,
        isPartial: hasBody && (isPartial || !req.complete || req.aborted),
        ...(by && { by }),
        ...(code && { code }),
      })
    }
    const left = () => end(answer === null ? 'cancelled' : 'cut', 'client')
    const stopped = () => {
      end(answer === null ? 'unknown' : 'cut', 'proxy')
      cut(req, res)
    }
    const failed = (by: 'upstream' | 'timeout', code: HttpCode): void => {
      if (answer !== null) {
        end('cut', by)
        cut(req, res)
      } else if (!isSent) end('refused', by, code)
      else end('unknown', by, code)
    }
    const late = () => failed('timeout', req.complete || !hasBody ? 'http_upstream_timeout' : 'http_timeout')

    const answered = (incoming: IncomingMessage): void => {
      answer = incoming
      headMs = Math.round((performance.now() - start) * 10) / 10
      out.setTimeout(patience.idleMs)
      try {
        writeHead(req, res, incoming)
      } catch {
        end('cut', 'upstream', 'http_upstream_broken')
        return
      }
      if (meters !== null) incoming.on('data', meters.response.take)
      incoming.once('end', () => {
        const trailers = trailersOf(incoming)
        if (trailers !== null) res.addTrailers(trailers as Record<string, string>)
      })
      incoming.once('close', () => {
        if (!incoming.complete) failed('upstream', 'http_upstream_broken')
      })
      incoming.on('error', () => failed('upstream', 'http_upstream_broken'))
      res.once('finish', () => (streamOf(res)?.writableFinished === false ? left() : end('answered')))
      if (hasBody)
        endEarly(req, res, () => {
          isPartial = true
        })
      incoming.pipe(res)
    }
    const attempt = (isRepeated: boolean): void => {
      const asked = upstream.request(method, path, headers)
      out = asked
      const broken = () => failed('upstream', isSent ? 'http_upstream_broken' : 'http_upstream_unreachable')
      connecting = setTimeout(() => failed('timeout', 'http_upstream_unreachable'), patience.connectMs)
      out.once('socket', (socket) => {
        const sent = () => {
          clearTimeout(connecting)
          isSent = true
          out.setTimeout(patience.answerMs, late)
        }
        if (socket.connecting) socket.once(upstream.isTls ? 'secureConnect' : 'connect', sent)
        else sent()
      })
      out.once('response', answered)
      out.on('continue', () => {
        if (!res.headersSent && !isGone(res)) res.writeContinue()
      })
      out.on('information', (hints) => passHints(req, res, hints))
      out.on('error', (error: NodeJS.ErrnoException) => {
        // A body behind an answer that has none, as of HEAD or 204, is no part of it, and ends its connection.
        if (answer?.complete) return
        // The upstream closed a connection of the pool just when it was taken. It has seen nothing, or what may be asked twice.
        const isStale = out.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '')
        if (!isDone && !isRepeated && isStale && SAFE.has(method) && !hasBody && answer === null) {
          clearTimeout(connecting)
          attempt(true)
        } else broken()
      })
      // A change of protocols that nobody asked for closes it without a response or an error.
      out.once('close', () => {
        if (answer === null && out === asked) broken()
      })
    }

    res.once('close', left)
    // Of HTTP/2, a request that is reset ends like a whole one, and its answer too: only this comes before.
    req.once('aborted', left)
    req.on('error', () => {})
    res.on('error', () => {})
    stop.addEventListener('abort', stopped)
    try {
      attempt(false)
    } catch {
      // A header or path that no server may be sent.
      end('refused', 'proxy', 'http_request_invalid')
      return
    }
    if (stop.aborted) stopped()
    else if (isGone(res) || req.aborted) end('cancelled', 'client')
    else if (hasBody) passBody(req, out!, meters?.request ?? null, identity)
    else out!.end()
  })
}

function passBody(req: IncomingMessage, out: ClientRequest, meter: BodyMeter | null, identity: string | null): void {
  if (meter !== null) req.on('data', meter.take)
  req.once('end', () => {
    const trailers = trailersOf(req, identity)
    if (trailers !== null && !out.destroyed) out.addTrailers(trailers as Record<string, string>)
  })
  // What comes after an early answer is read and dropped, or the client would not get to read the answer.
  out.once('close', () => req.resume())
  req.pipe(out)
}

/** Early Hints (RFC 8297); of other interim answers Node cannot write, and nobody loses anything by that. */
function passHints(req: IncomingMessage, res: ServerResponse, hints: InformationEvent): void {
  if (hints.statusCode !== 103 || req.httpVersion === '1.0') return
  // They may be left out, so a client that does not read is sent no more of them.
  if (res.headersSent || isGone(res) || res.writableNeedDrain) return
  const { link, ...others } = responseHeaders(hints)
  if (link === undefined) return
  try {
    res.writeEarlyHints({ ...others, link })
  } catch {
    // Links that Node does not write.
  }
}

/** @throws if the upstream's headers cannot be said to the client */
function writeHead(req: IncomingMessage, res: ServerResponse, answer: IncomingMessage): void {
  const { statusCode, statusMessage } = answer
  const headers = responseHeaders(answer)
  const isFirst = req.httpVersionMajor === 1
  // Only chunks can be followed by trailers.
  if (req.httpVersion === '1.0' || headers['content-length'] !== undefined) delete headers.trailer
  // RFC 9110, 8.6: not here, or the next one to read it takes for a body what is none.
  if (statusCode === 204) delete headers['content-length']
  res.sendDate = false
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
  // The rest of an upload stands where the next request would be.
  if (isFirst && !req.complete) res.setHeader('connection', 'close')
  if (isFirst && statusMessage) res.writeHead(statusCode!, statusMessage)
  else res.writeHead(statusCode!)
}

/** Of HTTP/2, whose answers have no `destroyed`. */
type Stream = {
  readonly destroyed: boolean
  readonly writableFinished: boolean
  once(name: 'finish', then: () => void): void
  close(code: number): void
}
const streamOf = (res: ServerResponse) => (res as unknown as { readonly stream?: Stream }).stream

/** Whether the client has left before anybody listened for that. */
const isGone = (res: ServerResponse): boolean => res.destroyed || streamOf(res)?.destroyed === true

/** An answer may come before the end of an upload. With HTTP/2 the request would stay open for as long as the client leaves it so. */
function endEarly(req: IncomingMessage, res: ServerResponse, ending: () => void): void {
  const stream = streamOf(res)
  const late = () => {
    if (req.complete) return
    ending()
    stream!.close(0)
  }
  stream?.once('finish', () => {
    if (!req.complete) setTimeout(late, LINGER_MS).unref()
  })
}

/** So that the client sees that something is missing. */
function cut(req: IncomingMessage, res: ServerResponse): void {
  const stream = streamOf(res)
  if (req.httpVersionMajor > 1 && stream !== undefined) stream.close(2)
  else res.destroy()
}
