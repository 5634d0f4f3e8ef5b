import { Type } from '@fastify/type-provider-typebox'
import { readNotes } from '../../ledger/tree/checkpoints.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { PAGE_LIMIT, ProblemSchema } from '../schemas.ts'

export function checkpointRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/checkpoints',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listCheckpoints',
        summary: 'Every checkpoint that the log has signed, as signed notes, smallest first',
        querystring: Type.Object(
          {
            from: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: PAGE_LIMIT })),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({ checkpoints: Type.Array(Type.Object({ size: Type.Integer(), note: Type.String() })) }),
          default: ProblemSchema,
        },
      },
    },
    async ({ query: { from = 0, limit = PAGE_LIMIT } }) => ({
      checkpoints: await readNotes(ledger.db, { from, limit }),
    }),
  )
}
