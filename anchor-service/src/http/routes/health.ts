import { Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../../errors.ts'
import { readAnchoredSize } from '../../ledger/registry/anchors.ts'
import { readRole, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { HealthSchema, ProblemSchema, ReadinessSchema } from '../schemas.ts'

/** What the routes are given by a service, and by a worker that runs by itself. */
export type OperationDeps = Pick<AppDeps, 'ledger' | 'metrics' | 'tokens' | 'anchoring' | 'auditing'>

export function healthRoutes(app: App, { ledger, metrics, tokens, anchoring, auditing }: OperationDeps): void {
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
        summary: 'The service can take batches; with a token also what anchoring and audit say of themselves',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (request, reply) => {
      const readiness = await readReadiness()
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

  async function readReadiness() {
    // Trouble with anchoring or an audit is reported here, but never stops batches from being accepted.
    const registry = ledger.registry.status()
    const status = { registry, anchoring: anchoring() ?? null, audit: auditing() ?? null }
    try {
      const logSize = (await ledger.head())?.size ?? 0
      const anchoredSize = await readAnchoredSize(ledger.db)
      const fault = await ledger.checkHead()
      const writable = fault === null && ledger.isWritable()
      const wentBack = fault && { remembered: fault.remembered.size, found: fault.found?.size ?? 0 }
      const what = { database: true, writable, wentBack, logSize, anchoredSize, ...status }
      // If one source was altered, the others go on.
      const isReady = writable && registry.altered.every(({ source }) => source !== null)
      return { status: isReady ? 'ready' : 'not ready', ...what } as const
    } catch {
      const what = { database: false, writable: false, wentBack: null, logSize: null, anchoredSize: null, ...status }
      return { status: 'not ready', ...what } as const
    }
  }

  app.get(
    '/metrics',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        ...common,
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
