import type { IncomingMessage } from 'node:http'
import { normalizeIP } from '@fastify/rate-limit'
import { Type } from '@fastify/type-provider-typebox'
import { BATCH_MEDIA_TYPE } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { takeTurns } from '../../intake/admission/fair-queue.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema, ReceiptSchema } from '../schemas.ts'

/** How long the rest of a refused body is thrown away, so that its sender gets to read the refusal. */
const LINGER_MS = 2_000

export function batchRoutes(app: App, { intake }: AppDeps): void {
  const turns = takeTurns()
  app.addHook('preClose', async () => turns.close())
  app.addContentTypeParser(BATCH_MEDIA_TYPE, (_request, payload, done) => done(null, payload))

  app.post(
    '/v1/batches',
    {
      // The parsers of other routes would otherwise parse the body.
      onRequest: async (request) => {
        const [type = ''] = (request.headers['content-type'] ?? '').split(';')
        if (type.trim().toLowerCase() !== BATCH_MEDIA_TYPE)
          throw new Refusal('unsupported_media_type', `Content-Type must be ${BATCH_MEDIA_TYPE}.`)
      },
      schema: {
        summary: 'Hand in a batch',
        description:
          'The batch header on the first line, then one event per line, each line ended by LF. Content-Encoding gzip or zstd. All or nothing; sending the same batch again gives the same receipt.',
        tags: ['recording'],
        consumes: [BATCH_MEDIA_TYPE],
        body: Type.Unknown({ description: 'header line and event lines' }),
        response: { 200: ReceiptSchema, 201: ReceiptSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const body = request.body as IncomingMessage
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      try {
        const { receipt, isNew } = await turns.inTurn(normalizeIP(request.ip), gone.signal, () =>
          intake.take(body, request.headers['content-encoding']),
        )
        return reply.code(isNew ? 201 : 200).send(receipt)
      } finally {
        // No `connection: close` here: Node would close at once, and the reset would overtake the refusal.
        if (!body.complete) {
          body.resume()
          setTimeout(() => body.complete || body.destroy(), LINGER_MS).unref()
        }
      }
    },
  )
}
