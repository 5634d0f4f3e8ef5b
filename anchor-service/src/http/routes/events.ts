import { searchEvents } from '../../ledger/read/search.ts'
import { requireToken } from '../auth.ts'
import { EVENT_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { parseConditions } from '../query.ts'
import { EventsSchema, PAGE_LIMIT, ProblemSchema, SearchQuery } from '../schemas.ts'

export function eventRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/events',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'searchEvents',
        summary: 'Search events, newest first',
        querystring: SearchQuery,
        response: { 200: EventsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, ...conditions } }) => {
      const before = EVENT_CURSOR.parse(cursor)
      const { events, next } = await searchEvents(ledger.db, { ...parseConditions(conditions), limit, before })
      await ledger.registry.explainMissing(ledger.db, events)
      return { events, next: EVENT_CURSOR.print(next) }
    },
  )
}
