import { Readable } from 'node:stream'
import { Type } from '@fastify/type-provider-typebox'
import { BATCH_MEDIA_TYPE } from '@killick/sdk/core'
import { EXPORT_BYTES, exportBatches } from '../../ledger/read/batches.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema } from '../schemas.ts'
import { weigh } from '../unread.ts'

const ExportQuery = Type.Object(
  {
    from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'log index of the first batch' }),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, default: 256, description: 'how many batches at most' }),
    ),
  },
  { additionalProperties: false },
)

/** The ledger as it was handed in, for auditors and for those who keep a copy. */
export function exportRoutes(app: App, { ledger, tokens }: AppDeps): void {
  app.get(
    '/v1/batches',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        summary: 'Accepted batches in log order, as they were handed in',
        description:
          'Batches one after another: each is its header line, then as many event lines as the header says. There may be fewer than asked for; there are none only behind the end of the log.',
        tags: ['reading'],
        security: [{ reader: [] }],
        querystring: ExportQuery,
        response: { 200: Type.Any({ description: BATCH_MEDIA_TYPE }), default: ProblemSchema },
      },
    },
    async ({ query, raw }, reply) => {
      const chunks = exportBatches(ledger.db, query.from, query.limit ?? 256)
      // A failure before the first byte can still become a problem document.
      const first = await chunks.next()
      const body = Readable.from(resume(first, chunks), { highWaterMark: 1 })
      // Without chunks (HTTP/1.0, which some proxies speak) the end of the connection ends the answer; only a reset shows a failure.
      body.once('error', () => raw.socket.resetAndDestroy())
      return reply.type(BATCH_MEDIA_TYPE).send(weigh(body, EXPORT_BYTES))
    },
  )
}

async function* resume<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void>): AsyncGenerator<T> {
  if (!first.done) yield first.value
  yield* rest
}
