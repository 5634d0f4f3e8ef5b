import { Type } from '@fastify/type-provider-typebox'
import { readAnchoredSize } from '../../ledger/anchors.ts'
import type { App, AppDeps } from '../deps.ts'
import { HealthSchema, ReadinessSchema } from '../schemas.ts'

/** What the routes are given by a service, and by a worker that runs by itself. */
export type OperationDeps = Pick<AppDeps, 'ledger' | 'metrics' | 'anchoring' | 'auditing'>

export function operationRoutes(app: App, { ledger, metrics, anchoring, auditing }: OperationDeps): void {
  const common = { tags: ['operation'] }

  app.get(
    '/healthz',
    { schema: { ...common, summary: 'The process is alive', response: { 200: HealthSchema } } },
    () => ({ status: 'ok' }),
  )

  app.get(
    '/readyz',
    {
      schema: {
        ...common,
        summary: 'The service can take batches; with what anchoring and audit say of themselves',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (_request, reply) => {
      // Anchoring or an audit that is in trouble is told here, but it never stops batches from being taken.
      const status = { anchoring: anchoring() ?? null, audit: auditing() ?? null }
      try {
        const logSize = (await ledger.head())?.size ?? 0
        const anchoredSize = await readAnchoredSize(ledger.db)
        const fault = await ledger.checkHead()
        const writable = fault === null && ledger.isWritable()
        if (!writable) reply.code(503)
        const sizes = { logSize, anchoredSize }
        const wentBack = fault && { remembered: fault.remembered.size, found: fault.found?.size ?? 0 }
        return {
          status: writable ? 'ready' : 'not ready',
          database: true,
          writable,
          wentBack,
          ...sizes,
          ...status,
        } as const
      } catch {
        reply.code(503)
        const sizes = { logSize: null, anchoredSize: null }
        return { status: 'not ready' as const, database: false, writable: false, wentBack: null, ...sizes, ...status }
      }
    },
  )

  app.get(
    '/metrics',
    { schema: { ...common, summary: 'Prometheus metrics', response: { 200: Type.String() } } },
    async (_request, reply) => {
      const text = await metrics.registry.metrics()
      return reply.type(metrics.registry.contentType).send(text)
    },
  )
}
