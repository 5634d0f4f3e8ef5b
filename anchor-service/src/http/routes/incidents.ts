import { Type } from '@fastify/type-provider-typebox'
import { printHash } from '@killick/sdk/core'
import { readEquivocations, type SignedHeader } from '../../ledger/registry/equivocations.ts'
import { requireToken } from '../auth.ts'
import { ROW_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { Hash, LogPageQuery, Nullable, PAGE_LIMIT, ProblemSchema, Time } from '../schemas.ts'

const SignedHeaderSchema = Type.Object({
  header: Type.String({ description: 'compact JWS, as the source signed it' }),
  said: Type.Union(
    [
      Type.Object({
        seq: Type.Integer(),
        n: Type.Integer(),
        root: Hash,
        prev: Nullable(Hash),
        time: Time,
        kid: Hash,
        leafHash: Hash,
      }),
      Type.Null(),
    ],
    { description: 'what the header says; null: it cannot be read' },
  ),
  key: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()], {
    description: 'public JWK of the key that signed it',
  }),
})

export const EquivocationsSchema = Type.Object({
  equivocations: Type.Array(
    Type.Object({
      source: Type.String(),
      stream: Type.String(),
      seq: Type.Integer({ description: 'first position that both claim' }),
      logIndex: Type.Integer({ description: 'of the accepted header' }),
      told: Type.Integer({ description: 'log index of the event that tells of it' }),
      recordedAt: Time,
      accepted: SignedHeaderSchema,
      refused: SignedHeaderSchema,
    }),
  ),
  next: Nullable(Type.String()),
})

export const RefusalsSchema = Type.Object({
  since: Type.String({ format: 'date-time', description: 'when this process began; earlier refusals are not known' }),
  refusals: Type.Array(
    Type.Object({
      source: Type.String(),
      stream: Type.String(),
      code: Type.String(),
      seq: Type.Integer({ description: 'where the refused batch starts' }),
      expected: Type.Integer({ description: 'where the stream went on' }),
      at: Time,
      times: Type.Integer({ description: 'refusals of this stream since the process began' }),
    }),
  ),
})

/** What speaks against sources: contradictions that they signed, and batches that did not follow. */
export function incidentRoutes(app: App, { ledger, tokens, refusals }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/equivocations',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listEquivocations',
        summary: 'Pairs of signed headers for one position of a stream, newest first (behind `after`, oldest first)',
        querystring: LogPageQuery,
        response: { 200: EquivocationsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, after } }) => {
      const page = { limit, before: ROW_CURSOR.parse(cursor), after }
      const { equivocations, next } = await readEquivocations(ledger.db, page)
      return {
        equivocations: equivocations.map(({ id, ...pair }) => ({
          ...pair,
          told: id,
          recordedAt: pair.recordedAt.toISOString(),
          accepted: printSigned(pair.accepted),
          refused: printSigned(pair.refused),
        })),
        next: ROW_CURSOR.print(next),
      }
    },
  )

  app.get(
    '/v1/refusals',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listRefusals',
        summary: 'Streams of which a batch was refused for its place, newest first; at most 200, of this process alone',
        response: { 200: RefusalsSchema, default: ProblemSchema },
      },
    },
    async () => ({
      since: refusals.since.toISOString(),
      refusals: refusals.list().map((refused) => ({ ...refused, at: refused.at.toISOString() })),
    }),
  )
}

function printSigned({ text, said, key }: SignedHeader) {
  if (said === null) return { header: text, said, key }
  const { seq, n, root, prev, time, signature, leafHash } = said
  return {
    ...{ header: text, key },
    said: {
      ...{ seq, n, root: printHash(root), prev: prev ? printHash(prev) : null },
      ...{ time: new Date(time).toISOString(), kid: signature.kid, leafHash: printHash(leafHash) },
    },
  }
}
