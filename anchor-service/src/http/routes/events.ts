import { searchEvents } from '../../ledger/read/search.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { parseConditions, parseCursor } from '../query.ts'
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
        summary: 'Search events, newest first',
        querystring: SearchQuery,
        response: { 200: EventsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, ...conditions } }) => {
      const before = parseCursor(cursor, 2) as [number, number] | undefined
      const { events, next } = await searchEvents(ledger.db, { ...parseConditions(conditions), limit, before })
      await ledger.registry.forgiveDecoys(ledger.db, events)
      return { events, next: next === null ? null : next.join('.') }
    },
  )
}
