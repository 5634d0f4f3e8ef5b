import { Readable } from 'node:stream'
import { Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../../errors.ts'
import type { EventError, EventPlace, FoundEvent, UnreadableEvent } from '../../ledger/read/events.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import { type EventConditions, searchEvents } from '../../ledger/read/search.ts'
import { actorOf, requireToken } from '../auth.ts'
import { CSV_HEADER, csvLine } from '../csv.ts'
import type { App, AppDeps } from '../deps.ts'
import { Conditions, parseConditions } from '../query.ts'
import { ProblemSchema } from '../schemas.ts'

/** Exports per minute and address; each is an event of the log. */
const EXPORT_LIMIT = 30
const MAX_EXPORT = 100_000
/** Proofs cost several reads each. */
const MAX_EXPORT_PROOFS = 10_000
const PAGE = 500

/** Found events as files. */
export function eventFileRoutes(app: App, { ledger, tokens, rateLimit }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const reader = { tags: ['console'], security: [{ reader: [] }] }
  const any = { 200: Type.Any(), default: ProblemSchema }

  app.get(
    '/v1/events/export',
    {
      ...(rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, EXPORT_LIMIT) } } } : {}),
      onRequest,
      schema: {
        ...reader,
        operationId: 'exportEvents',
        summary: 'Found events as a file: CSV, or NDJSON with the proof of each; the export is itself recorded',
        querystring: Type.Intersect([
          Conditions,
          Type.Object({ format: Type.Union([Type.Literal('csv'), Type.Literal('ndjson')]) }),
        ]),
        response: any,
      },
    },
    async (request, reply) => {
      const { format, ...conditions } = request.query
      const query = parseConditions(conditions)
      await ledger.record({
        action: 'events.export',
        actor: actorOf(request),
        targets: [],
        metadata: { format, ...conditions },
      })
      const isCsv = format === 'csv'
      return reply
        .headers({
          'content-type': isCsv ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
          'content-disposition': `attachment; filename="events.${format}"`,
          'cache-control': 'no-store',
        })
        .send(Readable.from(isCsv ? csv(query) : ndjson(query)))
    },
  )

  async function* found(query: EventConditions, most: number): AsyncGenerator<FoundEvent | UnreadableEvent> {
    let before: EventPlace | undefined
    for (let left = most; left > 0; left -= PAGE) {
      const { events, next } = await searchEvents(ledger.db, {
        ...query,
        limit: Math.min(PAGE, left),
        ...(before && { before }),
      })
      await ledger.registry.explainMissing(ledger.db, events)
      yield* events
      if (next === null) return
      before = next
    }
  }

  async function* csv(query: EventConditions): AsyncGenerator<string> {
    yield CSV_HEADER
    for await (const event of found(query, MAX_EXPORT)) yield csvLine(event)
  }

  async function* ndjson(query: EventConditions): AsyncGenerator<string> {
    for await (const event of found(query, MAX_EXPORT_PROOFS)) {
      const { proof, error } = 'error' in event ? { proof: null, error: event.error } : await proofOf(event)
      const { token: _, ...shown } = { token: '', ...event, ...(error && { error }) }
      yield `${JSON.stringify(shown).slice(0, -1)},"proof":${proof}}\n`
    }
  }

  /** One event without a proof must not end an export. */
  async function proofOf({ leafHash }: FoundEvent): Promise<{ proof: string | null; error?: EventError }> {
    try {
      return { proof: await readProof(ledger, leafHash) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { proof: null, error: { code: error.code, detail: error.message } }
    }
  }
}
