import { Type } from '@fastify/type-provider-typebox'
import { printHash } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import { searchEvents } from '../../ledger/read/search.ts'
import { readAnchors, type StoredAnchor } from '../../ledger/registry/anchors.ts'
import { readNotes } from '../../ledger/tree/checkpoints.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { AnchorsSchema, EventsSchema, PAGE_LIMIT, PageQuery, ProblemSchema, SearchQuery } from '../schemas.ts'

export function readingRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/proofs/:eventId',
    {
      onRequest,
      schema: {
        ...common,
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

  app.get(
    '/v1/events',
    {
      onRequest,
      schema: {
        ...common,
        summary: 'Search events, newest first',
        querystring: SearchQuery,
        response: { 200: EventsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, from, to, cursor, ...terms } }) => {
      const page = {
        ...terms,
        limit,
        from: parseTime('from', from),
        to: parseTime('to', to),
        before: parseCursor(cursor, 2),
      }
      const { events, next } = await searchEvents(ledger.db, page as typeof page & { before?: [number, number] })
      await ledger.registry.forgiveDecoys(ledger.db, events)
      return { events, next: next === null ? null : next.join('.') }
    },
  )

  app.get(
    '/v1/checkpoints',
    {
      onRequest,
      schema: {
        ...common,
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

  app.get(
    '/v1/anchors',
    {
      onRequest,
      schema: {
        ...common,
        summary: 'Anchors and what became of them, newest first',
        querystring: PageQuery,
        response: { 200: AnchorsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor } }) => {
      const rows = await readAnchors(ledger.db, { limit: limit + 1, before: parseCursor(cursor, 1)?.[0] })
      const page = rows.slice(0, limit)
      return { anchors: page.map(printAnchor), next: rows.length > limit ? String(page.at(-1)!.id) : null }
    },
  )
}

function printAnchor(anchor: StoredAnchor) {
  return {
    ...anchor,
    root: printHash(anchor.root),
    plannedAt: anchor.plannedAt.toISOString(),
    changedAt: anchor.recordedAt.toISOString(),
  }
}

export function parseTime(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  // Years of four digits, as RFC 3339 has them; not every other is one to the database.
  const isYear = time.getTime() >= Date.UTC(1000, 0) && time.getTime() < Date.UTC(9999, 11, 31)
  if (!isYear) throw new Refusal('request_invalid', `${name} is not a time as in RFC 3339.`)
  return time
}

/** A cursor is the place of the last row, as numbers joined by dots. */
export function parseCursor(text: string | undefined, parts: number): number[] | undefined {
  if (text === undefined) return undefined
  const numbers = text.split('.').map(Number)
  const isPlace = /^[\d.]+$/.test(text) && numbers.length === parts && numbers.every(Number.isSafeInteger)
  if (!isPlace || numbers.slice(1).some((part) => part > 2 ** 31 - 1)) {
    throw new Refusal('request_invalid', 'The cursor is not one that this service gave.')
  }
  return numbers
}
