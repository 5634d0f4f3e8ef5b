import { Type } from '@fastify/type-provider-typebox'
import { readNeighbours } from '../../ledger/read/tail.ts'
import { readStream, readStreams } from '../../ledger/registry/streams.ts'
import { requireToken } from '../auth.ts'
import { STREAM_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { EventsSchema, PAGE_LIMIT, ProblemSchema, SourcesQuery, StreamSchema, StreamsSchema } from '../schemas.ts'

const StreamParams = Type.Object({ source: Type.String({ maxLength: 64 }), stream: Type.String({ maxLength: 64 }) })

/** Streams, where each stands, and the events around one of its positions. */
export function streamRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/streams',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listStreams',
        summary: 'Streams by name, with how far each is and when it last grew',
        querystring: SourcesQuery,
        response: { 200: StreamsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, source } }) => {
      const { streams, next } = await readStreams(ledger.db, { limit, source, after: STREAM_CURSOR.parse(cursor) })
      return {
        streams: streams.map((stream) => ({
          ...stream,
          lastAt: stream.lastAt.toISOString(),
          heartbeat: ledger.registry.source(stream.source)?.heartbeat ?? null,
        })),
        next: STREAM_CURSOR.print(next),
      }
    },
  )

  app.get(
    '/v1/streams/:source/:stream',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'readStream',
        summary: 'Where a stream stands',
        params: StreamParams,
        response: { 200: StreamSchema, default: ProblemSchema },
      },
    },
    (request) => readStream(ledger.db, request.params.source, request.params.stream),
  )

  app.get(
    '/v1/streams/:source/:stream/events',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'readNeighbours',
        summary: 'An event of a stream with its neighbours, in order',
        params: StreamParams,
        querystring: Type.Object({
          seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER - 50 }),
          span: Type.Optional(Type.Integer({ minimum: 0, maximum: 50, default: 3 })),
        }),
        response: { 200: Type.Pick(EventsSchema, ['events']), default: ProblemSchema },
      },
    },
    async ({ params, query: { seq, span = 3 } }) => {
      const events = await readNeighbours(ledger.db, { ...params, seq, span })
      await ledger.registry.explainMissing(ledger.db, events)
      return { events }
    },
  )
}
