import { Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../../errors.ts'
import { readRole, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { readReadiness } from '../readiness.ts'
import { HealthSchema, ProblemSchema, ReadinessSchema } from '../schemas.ts'

/** What the routes are given by a service, and by a worker that runs by itself. */
export type OperationDeps = Pick<AppDeps, 'ledger' | 'metrics' | 'tokens' | 'anchoring' | 'auditing'>

export function healthRoutes(app: App, { ledger, metrics, tokens, anchoring, auditing }: OperationDeps): void {
  const common = { tags: ['operation'] }

  app.get(
    '/healthz',
    {
      schema: {
        ...common,
        operationId: 'readHealth',
        summary: 'The process is alive',
        response: { 200: HealthSchema },
      },
    },
    () => ({ status: 'ok' }),
  )

  app.get(
    '/readyz',
    {
      schema: {
        ...common,
        operationId: 'readReadiness',
        summary: 'The service can take batches; with a token also what anchoring and audit say of themselves',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (request, reply) => {
      const readiness = await readReadiness({ ledger, anchoring, auditing })
      if (readiness.status !== 'ready') reply.code(503)
      // To anyone it tells no more than whether to send requests here.
      const role = await readRole(tokens, request).catch((error) => {
        // Sessions cannot be read while the database is down, which is just what this must be able to say.
        if (error instanceof Refusal) throw error
        return null
      })
      return role === null ? { status: readiness.status } : readiness
    },
  )

  app.get(
    '/metrics',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        ...common,
        operationId: 'readMetrics',
        produces: ['text/plain'],
        summary: 'Prometheus metrics',
        security: [{ reader: [] }],
        response: { 200: Type.String(), default: ProblemSchema },
      },
    },
    async (_request, reply) => {
      const text = await metrics.registry.metrics()
      return reply.type(metrics.registry.contentType).send(text)
    },
  )
}
