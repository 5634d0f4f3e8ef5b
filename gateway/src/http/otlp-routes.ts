import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GatewayRefusal } from '../errors.ts'
import type { Received } from '../received.ts'
import { readOtlp } from '../receivers/otlp.ts'
import { makeRecordMapper } from '../receivers/otlp-mapping.ts'
import { encodeResponse } from '../receivers/otlp-messages.ts'
import type { AnsweredEvent } from '../recording.ts'
import type { Reached } from '../standing.ts'
import { type CollectorDeps, checkCount, mediaType, reachGoal, readGoal, recordingRoute } from './recording-route.ts'

const PROTOBUF = 'application/x-protobuf'

/** POST /v1/logs as OTLP 1.x has it, and POST /v1/audit as OTEP 0267 drafts it. */
export function otlpRoutes(app: FastifyInstance, deps: CollectorDeps, isSocket: boolean): void {
  for (const path of ['logs', 'audit'] as const)
    recordingRoute(
      app,
      deps,
      isSocket,
      `/v1/${path}`,
      () => 'otlp',
      async (handling, reply, request) => {
        const goal = readGoal(request)
        const isJson = isJsonBody(request)
        const { bytes } = await handling.whole()
        const { otlp, limits } = deps
        const mapper = otlp && makeRecordMapper(otlp, request.headers, limits.bodyEvents)
        const { received, others } = readOtlp(bytes, isJson, path, mapper)
        checkCount(received, limits.bodyEvents)
        const events = received.length === 0 ? [] : await handling.record(received, bytes.length)
        const { status, reached } = await reachGoal(goal, events, deps)
        if (path === 'audit') return reply.code(status).send(receiptOf(received, events, reached))
        const emitter = handling.who.emitter.name
        if (others > 0) deps.metrics.others.inc({ emitter }, others)
        const unmapped = mapper?.unmapped() ?? null
        for (const [code, count] of unmapped?.counts ?? []) deps.metrics.unmapped.inc({ emitter, code }, count)
        reply.code(status)
        if (unmapped !== null) return sendLogs(reply, isJson, unmapped.count, unmapped.sentence)
        return sendLogs(
          reply,
          isJson,
          others,
          `${others} log records have no audit.* attributes, and were not recorded`,
        )
      },
    )
}

function isJsonBody(request: FastifyRequest): boolean {
  const type = mediaType(request)
  if (type !== PROTOBUF && type !== 'application/json') throw new GatewayRefusal('collect_media_type_unsupported')
  return type === 'application/json'
}

/** OTLP's answer. Records of which no event was made were rejected, which OTLP says in a successful answer. */
function sendLogs(reply: FastifyReply, isJson: boolean, rejected: number, errorMessage: string): FastifyReply {
  const response = rejected === 0 ? {} : { partialSuccess: { rejectedLogRecords: String(rejected), errorMessage } }
  return isJson ? reply.send(response) : reply.type(PROTOBUF).send(encodeResponse(response))
}

/** The draft's domain status: nothing here verifies `audit.integrity.value`, which is recorded as it came. */
const STATUS = { durable: 'accepted_pending_verify', accepted: 'delivered_all_sinks', anchored: 'delivered_all_sinks' }

/**
 * The draft's receipts, one or several. It has no `integrity_hash`: the draft does not say which JSON that hash is over, and a sender
 * that computed another one would take it for a forgery. `event_id` names the event, whose proof says more.
 */
function receiptOf(received: readonly Received[], events: readonly AnsweredEvent[], { state }: Reached) {
  const status = STATUS[state]
  const receipts = events.map(({ id, time }, i) => ({
    record_id: received[i]!.id,
    status,
    sink_timestamp: `${Date.parse(time)}000000`,
    verify_status: 'deferred',
    event_id: id,
  }))
  if (receipts.length === 1) return receipts[0]
  return { status, record_status_map: Object.fromEntries(receipts.map((receipt) => [receipt.record_id, receipt])) }
}
