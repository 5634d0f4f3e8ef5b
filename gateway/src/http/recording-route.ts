// What all receivers over HTTP share: who sends, how much may be under way, how far the answer waits.
import type { IncomingMessage } from 'node:http'
import type { AuditLog } from '@killick/sdk'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CollectorConfig, CollectorLimits, EmitterConfig } from '../config.ts'
import type { Authenticate, Authenticated } from '../emitters.ts'
import { GatewayRefusal } from '../errors.ts'
import type { FairShare } from '../fairness.ts'
import type { CollectorMetrics } from '../metrics.ts'
import type { Received } from '../received.ts'
import type { RecordMapping } from '../receivers/otlp-mapping.ts'
import type { AnsweredEvent, EmitterRecording } from '../recording.ts'
import { type EventState, type ProofAccess, type Reached, reach } from '../standing.ts'
import { type BodyBounds, readWhole, type WholeBody } from './body.ts'
import { sendGatewayProblem } from './problems.ts'

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
  readonly emitters: readonly EmitterConfig[]
  readonly mappings: CollectorConfig['mappings']
  /** For log records of OTLP that have no `audit.*` attributes; null: they are rejected. */
  readonly otlp: RecordMapping | null
  /** Whether the collector is being stopped. */
  readonly isDraining: () => boolean
}

/** One request as receivers see it. */
export type Handling = {
  readonly request: IncomingMessage
  readonly who: Authenticated
  readonly body: BodyBounds
  /** Reads the body; its memory is given back when the request is answered. */
  whole(): Promise<WholeBody>
  /** Records events, all or none. @param bytes of the input that they were made of */
  record(received: readonly Received[], bytes: number): Promise<AnsweredEvent[]>
}

/**
 * A route that records: authentication before the body, a share of what is under way, one measurement.
 * @param viaOf the receiver's name, as events and metrics show it
 * @param identify who sends; by default whoever shows a key or a certificate
 */
export function recordingRoute(
  app: FastifyInstance,
  deps: CollectorDeps,
  isSocket: boolean,
  path: string,
  viaOf: (request: FastifyRequest) => string,
  handle: (handling: Handling, reply: FastifyReply, request: FastifyRequest) => Promise<unknown>,
  identify: (request: FastifyRequest) => Authenticated = (request) => deps.authenticate(request.raw, isSocket),
): void {
  const { requests, memory, limits, metrics } = deps
  app.post(path, async (request, reply) => {
    const via = viaOf(request)
    let who: Authenticated | null = null
    let body: WholeBody | null = null
    try {
      who = identify(request)
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

/** @throws GatewayRefusal where a body has too many events */
export function checkCount(events: readonly unknown[], most: number): void {
  if (events.length > most)
    throw new GatewayRefusal('collect_body_too_large', `At most ${most} events are taken in one body.`, {
      maxEvents: most,
    })
}

/** Media types of NDJSON. */
export const NDJSON = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonlines',
])

/** The media type of a body, without its parameters. */
export const mediaType = (request: FastifyRequest): string =>
  (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()

const GOALS: readonly EventState[] = ['durable', 'accepted', 'anchored']

/** What `?wait=` asks for. */
export function readGoal(request: FastifyRequest): EventState {
  const { wait = 'durable' } = request.query as { wait?: unknown }
  const goal = GOALS.find((each) => each === wait)
  if (goal === undefined)
    throw new GatewayRefusal('collect_request_invalid', `wait must be one of ${GOALS.join(', ')}.`)
  return goal
}

/** Waits as far as was asked for. The status is 202 where that has not come in time; the events are durable all the same. */
export async function reachGoal(
  goal: EventState,
  events: readonly AnsweredEvent[],
  { log, proofs, limits }: CollectorDeps,
): Promise<{ status: 200 | 202; reached: Reached }> {
  const reached = await reach(goal, events, log, proofs, limits.waitMs)
  return { status: reached.state === goal ? 200 : 202, reached }
}

/** What every answer says: under whose name the events stand, in which stream, and how far they have come. */
export const aboutEvents = ({ source, log }: CollectorDeps, reached: Reached) => ({
  source,
  stream: log.status.stream,
  ...reached,
})

/** The header `Idempotency-Key`. */
export function idempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key']
  if (key === undefined) return null
  if (typeof key !== 'string' || key === '' || key.length > 256)
    throw new GatewayRefusal('collect_request_invalid', 'Idempotency-Key must have 1 to 256 characters.')
  return key
}
