import { Type } from '@fastify/type-provider-typebox'
import { readProof } from '../../ledger/read/proofs.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema } from '../schemas.ts'

export function proofRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/proofs/:eventId',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'readProof',
        summary: 'The proof of an event (killick-proof/1), by its id or leaf hash',
        params: Type.Object({ eventId: Type.String({ maxLength: 64 }) }),
        response: { 200: Type.Unknown({ description: 'killick-proof/1' }), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const proof = await readProof(ledger, request.params.eventId)
      return reply.type('application/json; charset=utf-8').serializer(String).send(proof)
    },
  )
}
