import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AuditLog, KillickError } from '@killick/sdk'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import type { CollectorLimits } from '../config.ts'
import type { Authenticate, Authenticated } from '../emitters.ts'
import { GatewayRefusal } from '../errors.ts'
import type { FairShare } from '../fairness.ts'
import type { CollectorMetrics } from '../metrics.ts'
import type { Received } from '../received.ts'
import { readPlainJson, readPlainLine } from '../receivers/json.ts'
import type { AnsweredEvent, EmitterRecording } from '../recording.ts'
import { type EventState, type ProofAccess, type Reached, reach } from '../standing.ts'
import { type BodyBounds, readLines, readWhole, textOf, type WholeBody } from './body.ts'
import { refusePeer, sendGatewayProblem } from './problems.ts'

/** What the listeners share. */
export type CollectorDeps = {
  readonly source: string
  readonly log: AuditLog
  readonly recording: EmitterRecording
  readonly authenticate: Authenticate
  readonly requests: FairShare
  readonly memory: FairShare
  readonly limits: CollectorLimits
  readonly metrics: CollectorMetrics
  readonly proofs: ProofAccess | null
  readonly logLevel: string
  /** Whether the collector is being stopped. */
  readonly isDraining: () => boolean
}

/** One listener: a unix socket, or a port with or without TLS. */
export type ListenerOptions = {
  readonly isSocket: boolean
  readonly tls: { cert: string; key: string; ca?: string; rejectUnauthorized?: boolean } | null
}

/** How long a connection may stay open between requests. Proxies keep theirs for less, so they close first. */
const KEEP_ALIVE_MS = 72_000
const NDJSON = new Set(['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/x-jsonlines'])
/** Node's default is 30 s, which is longer than most limits. */
const CHECK_MS = 1_000

/** The HTTP interface of one listener, apart from listening. Every refusal is a problem document with a code of docs/ERRORS.md. */
export function buildCollectorApp(deps: CollectorDeps, { isSocket, tls }: ListenerOptions): FastifyInstance {
  const { limits, metrics } = deps
  const times = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: limits.requestMs,
    headersTimeout: Math.min(limits.requestMs, 30_000),
    connectionsCheckingInterval: Math.min(limits.requestMs, CHECK_MS),
  }
  const app = Fastify({
    logger: deps.logLevel === 'silent' ? false : { level: deps.logLevel, serializers: { err: printError } },
    logController: new LogController({ disableRequestLogging: true }),
    serverFactory: (handle) =>
      tls === null
        ? createServer(times, handle)
        : createTlsServer({ ...times, ...tls, requestCert: tls.ca !== undefined, minVersion: 'TLSv1.2' }, handle),
    clientErrorHandler(error, socket) {
      const code = refusePeer(error, socket)
      if (code !== null) metrics.refusals.inc({ code, emitter: '', via: '' })
    },
    frameworkErrors: (error, request, reply) => sendGatewayProblem(error, request as never, reply as never),
  }) as unknown as FastifyInstance
  app.server.maxConnections = limits.connections
  app.server.on('drop', () => metrics.dropped.inc())
  app.decorateReply('gatewayCode', '')
  app.setErrorHandler(sendGatewayProblem)
  app.setNotFoundHandler((request, reply) =>
    sendGatewayProblem(new GatewayRefusal('collect_not_found'), request, reply),
  )
  // Receivers read bodies themselves, within their bounds.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  operationRoutes(app, deps)
  eventRoutes(app, deps, isSocket)
  return app
}

/** Of an error, only what cannot hold an event's content. */
function printError({ name, message, stack, code }: Error & { code?: unknown }) {
  return { type: name, message: code === undefined ? message : String(code), stack: stack ?? '', code }
}

function operationRoutes(app: FastifyInstance, { log, isDraining, metrics }: CollectorDeps): void {
  app.get('/healthz', () => ({ status: 'ok' }))
  app.get('/readyz', (_request, reply) => {
    const { state, pending } = log.status
    // A ledger that is away is no reason to send requests elsewhere: the spool takes them.
    const isReady = !isDraining() && state !== 'halted' && state !== 'closed'
    const status = isReady ? 'ready' : isDraining() ? 'draining' : state
    return reply.code(isReady ? 200 : 503).send({ status, ledger: state, pending })
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.registry.metrics()
    return reply.type(metrics.registry.contentType).send(text)
  })
}

/** One request as receivers see it. */
export type Handling = {
  readonly request: IncomingMessage
  readonly who: Authenticated
  readonly body: BodyBounds
  /** Reads the body; its memory is given back when the request is answered. */
  whole(): Promise<WholeBody>
  /** Records events of `via`, all or none. */
  record(received: readonly Received[], bytes: number): Promise<AnsweredEvent[]>
}

/**
 * A route that records: authentication before the body, a share of what is under way, one measurement.
 * @param via the receiver's name, as events and metrics show it
 */
export function recordingRoute(
  app: FastifyInstance,
  deps: CollectorDeps,
  isSocket: boolean,
  path: string,
  via: string,
  handle: (handling: Handling, reply: FastifyReply, request: FastifyRequest) => Promise<unknown>,
): void {
  const { requests, memory, limits, metrics } = deps
  app.post(path, async (request, reply) => {
    let who: Authenticated | null = null
    let body: WholeBody | null = null
    try {
      who = deps.authenticate(request.raw, isSocket)
      const { name } = who.emitter
      if (deps.isDraining()) throw new GatewayRefusal('collect_draining')
      if (!requests.take(name, 1)) throw new GatewayRefusal('emitter_busy')
      try {
        const bounds = { maxBytes: limits.bodyBytes, memory, emitter: name }
        return await handle(
          {
            request: request.raw,
            who,
            body: bounds,
            async whole() {
              body = await readWhole(request.raw, bounds)
              return body
            },
            record: (received, bytes) => deps.recording.record(received, who!, via, bytes),
          },
          reply,
          request,
        )
      } finally {
        ;(body as WholeBody | null)?.release()
        requests.give(name, 1)
      }
    } catch (error) {
      sendGatewayProblem(error, request, reply)
      metrics.refusals.inc({ code: reply.gatewayCode, emitter: who?.emitter.name ?? '', via })
      return reply
    } finally {
      metrics.requests.observe({ via, status: reply.statusCode }, reply.elapsedTime / 1000)
    }
  })
}

function eventRoutes(app: FastifyInstance, deps: CollectorDeps, isSocket: boolean): void {
  const { limits } = deps
  recordingRoute(app, deps, isSocket, '/v1/events', 'json', async (handling, reply, request) => {
    const goal = readGoal(request)
    const type = mediaType(request)
    if (NDJSON.has(type)) return recordLines(handling, deps, goal, reply, idempotencyKey(request))
    if (type !== 'application/json') throw new GatewayRefusal('collect_media_type_unsupported')
    const { bytes } = await handling.whole()
    const { received, isArray } = readPlainJson(textOf(bytes))
    if (received.length > limits.bodyEvents) throw tooMany(limits.bodyEvents)
    const events = await handling.record(named(received, idempotencyKey(request)), bytes.length)
    const reached = await reach(goal, events, deps.log, deps.proofs, limits.waitMs)
    const about = { source: deps.source, stream: deps.log.status.stream, ...reached }
    return reply.code(statusOf(goal, reached)).send(isArray ? { ...about, events } : { ...about, ...events[0] })
  })
}

/**
 * NDJSON is recorded as it arrives, so it may be longer than memory. A line at fault ends it; what was recorded before stays, and
 * the refusal says how much that is.
 */
async function recordLines(
  { request, body, record }: Handling,
  { source, log, limits, proofs }: CollectorDeps,
  goal: EventState,
  reply: FastifyReply,
  key: string | null,
) {
  let recorded = 0
  let last: AnsweredEvent | null = null
  try {
    for await (const { lines, bytes } of readLines(request, body, limits.streamBytes)) {
      for (let at = 0; at < lines.length; at += limits.bodyEvents) {
        const group = lines.slice(at, at + limits.bodyEvents).map((line) => readPlainLine(line))
        const events = await record(named(group, key), bytes)
        recorded += events.length
        for (const event of events) if (last === null || event.seq > last.seq) last = event
      }
    }
  } catch (error) {
    throw withRecorded(error, recorded)
  }
  const reached = await reach(goal, last === null ? [] : [last], log, proofs, limits.waitMs)
  return reply.code(statusOf(goal, reached)).send({ source, stream: log.status.stream, ...reached, recorded })
}

const tooMany = (most: number): GatewayRefusal =>
  new GatewayRefusal('collect_body_too_large', `At most ${most} events are taken in one body.`, { maxEvents: most })

const mediaType = (request: FastifyRequest): string =>
  (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()

const GOALS: readonly EventState[] = ['durable', 'accepted', 'anchored']

function readGoal(request: FastifyRequest): EventState {
  const { wait = 'durable' } = request.query as { wait?: unknown }
  const goal = GOALS.find((each) => each === wait)
  if (goal === undefined)
    throw new GatewayRefusal('collect_request_invalid', `wait must be one of ${GOALS.join(', ')}.`)
  return goal
}

/** 202 where what was waited for has not come in time; the events are durable all the same. */
const statusOf = (goal: EventState, { state }: Reached): number => (state === goal ? 200 : 202)

function idempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key']
  if (key === undefined) return null
  if (typeof key !== 'string' || key === '' || key.length > 256)
    throw new GatewayRefusal('collect_request_invalid', 'Idempotency-Key must have 1 to 256 characters.')
  return key
}

/** Events without an id of their own are named by the request's key and their place in it. */
const named = (received: readonly Received[], key: string | null): readonly Received[] =>
  key === null
    ? received
    : received.map((each) => (each.id === null ? { ...each, id: `${key} ${each.at}`.trimEnd() } : each))

/** The same refusal, with the number of events that were recorded before it. */
function withRecorded(error: unknown, recorded: number): unknown {
  if (error instanceof GatewayRefusal)
    return new GatewayRefusal(error.code, error.message, { ...error.details, recorded })
  if (error instanceof KillickError) return new KillickError(error.code, error.message, { ...error.details, recorded })
  return error
}
