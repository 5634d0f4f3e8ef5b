import type { FastifyInstance } from 'fastify'
import { GatewayRefusal } from '../errors.ts'
import { readEventList } from '../receivers/kubernetes.ts'
import { textOf } from '../utf8.ts'
import {
  aboutEvents,
  type CollectorDeps,
  checkCount,
  mediaType,
  reachGoal,
  readGoal,
  recordingRoute,
} from './recording-route.ts'

/** POST /v1/kubernetes: the address for `--audit-webhook-config-file`. The API server posts again what is not answered by 2xx. */
export function kubernetesRoute(app: FastifyInstance, deps: CollectorDeps, isSocket: boolean): void {
  recordingRoute(
    app,
    deps,
    isSocket,
    '/v1/kubernetes',
    () => 'kubernetes',
    async (handling, reply, request) => {
      const goal = readGoal(request)
      if (mediaType(request) !== 'application/json') throw new GatewayRefusal('collect_media_type_unsupported')
      const { bytes } = await handling.whole()
      const received = readEventList(textOf(bytes))
      checkCount(received, deps.limits.bodyEvents)
      const events = await handling.record(received, bytes.length)
      const { status, reached } = await reachGoal(goal, events, deps)
      return reply.code(status).send({ ...aboutEvents(deps, reached), events })
    },
  )
}
