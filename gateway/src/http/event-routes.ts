// POST /v1/events: plain JSON, NDJSON, and CloudEvents in all their modes, told apart by their media types.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { BATCHED, isBinary, readBatched, readBinary, readStructured, STRUCTURED } from '../receivers/cloudevents.ts'
import { readPlainJson, readPlainLine } from '../receivers/json.ts'
import { type AnsweredEvent, withRecorded } from '../recording.ts'
import type { EventState } from '../standing.ts'
import { textOf } from '../utf8.ts'
import { readLines } from './body.ts'
import {
  aboutEvents,
  type CollectorDeps,
  checkCount,
  type Handling,
  idempotencyKey,
  mediaType,
  NDJSON,
  reachGoal,
  readGoal,
  recordingRoute,
} from './recording-route.ts'

const CLOUDEVENTS = new Set([STRUCTURED, BATCHED])

const viaOf = (request: FastifyRequest): string =>
  CLOUDEVENTS.has(mediaType(request)) || isBinary(request.headers) ? 'cloudevents' : 'json'

export function eventRoutes(app: FastifyInstance, deps: CollectorDeps, isSocket: boolean): void {
  recordingRoute(app, deps, isSocket, '/v1/events', viaOf, async (handling, reply, request) => {
    const goal = readGoal(request)
    if (NDJSON.has(mediaType(request)) && !isBinary(request.headers))
      return recordLines(handling, deps, goal, reply, idempotencyKey(request))
    const { received, isArray, bytes } = await readEvents(handling, request)
    checkCount(received, deps.limits.bodyEvents)
    const events = await handling.record(named(received, idempotencyKey(request)), bytes)
    const { status, reached } = await reachGoal(goal, events, deps)
    const about = aboutEvents(deps, reached)
    return reply.code(status).send(isArray ? { ...about, events } : { ...about, ...events[0] })
  })
}

async function readEvents(
  { whole }: Handling,
  request: FastifyRequest,
): Promise<{ received: Received[]; isArray: boolean; bytes: number }> {
  const type = mediaType(request)
  const { headers } = request
  if (!isBinary(headers) && type !== 'application/json' && !CLOUDEVENTS.has(type))
    throw new GatewayRefusal('collect_media_type_unsupported')
  const { bytes } = await whole()
  const { length } = bytes
  if (type === BATCHED) return { received: readBatched(textOf(bytes)), isArray: true, bytes: length }
  if (type === STRUCTURED) return { received: readStructured(textOf(bytes)), isArray: false, bytes: length }
  if (isBinary(headers)) return { received: readBinary(headers, bytes), isArray: false, bytes: length }
  return { ...readPlainJson(textOf(bytes)), bytes: length }
}

/**
 * NDJSON is recorded as it arrives, so it may be longer than memory. A line at fault ends it; what was recorded before stays, and
 * the refusal says how much that is.
 */
async function recordLines(
  { request, body, record }: Handling,
  deps: CollectorDeps,
  goal: EventState,
  reply: FastifyReply,
  key: string | null,
) {
  const { bodyEvents } = deps.limits
  let recorded = 0
  let last: AnsweredEvent | null = null
  try {
    for await (const { lines, bytes } of readLines(request, body, deps.limits.streamBytes)) {
      for (let at = 0; at < lines.length; at += bodyEvents) {
        const group = lines.slice(at, at + bodyEvents).map((line) => readPlainLine(line))
        const events = await record(named(group, key), bytes)
        recorded += events.length
        for (const event of events) if (last === null || event.seq > last.seq) last = event
      }
    }
  } catch (error) {
    throw withRecorded(error, recorded)
  }
  const { status, reached } = await reachGoal(goal, last === null ? [] : [last], deps)
  return reply.code(status).send({ ...aboutEvents(deps, reached), recorded })
}

/** Events without an id of their own are named by the request's key and their place in it. */
const named = (received: readonly Received[], key: string | null): readonly Received[] =>
  key === null
    ? received
    : received.map((each) => (each.id === null ? { ...each, id: `${key} ${each.at}`.trimEnd() } : each))
