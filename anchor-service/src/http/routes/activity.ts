import { Type } from '@fastify/type-provider-typebox'
import { readDays } from '../../ledger/read/days.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { Nullable, ProblemSchema } from '../schemas.ts'

const FEW_DAYS = 14
const MAX_DAYS = 92
/** However many consoles are open, days are counted once in this time. ms */
const FRESH_MS = 5_000

const tooMany = (what: string) => Nullable(Type.Integer({ description: `${what}; null: too many to count` }))

export const ActivitySchema = Type.Object({
  events: Type.Integer({ description: 'in the whole log' }),
  days: Type.Array(
    Type.Object({
      day: Type.String({ description: 'UTC, YYYY-MM-DD; by when the ledger accepted the events' }),
      events: Type.Integer(),
      own: tooMany('of them the ledger’s own'),
      denied: tooMany('of them denied, as search keys say'),
      failed: tooMany('of them failed, as search keys say'),
    }),
    { description: 'oldest first; the last is today' },
  ),
})

/** How much happens, day by day. */
export function activityRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const kept = new Map<number, { at: number; counts: ReturnType<typeof readDays> }>()

  app.get(
    '/v1/activity',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        operationId: 'countDays',
        summary: 'How many events were accepted day by day, and how many of them were denied or failed',
        tags: ['reading'],
        security: [{ reader: [] }],
        querystring: Type.Object(
          { days: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_DAYS, default: FEW_DAYS })) },
          { additionalProperties: false },
        ),
        response: { 200: ActivitySchema, default: ProblemSchema },
      },
    },
    ({ query: { days = FEW_DAYS } }) => {
      const known = kept.get(days)
      if (known !== undefined && performance.now() - known.at < FRESH_MS) return known.counts
      const counts = readDays(ledger.db, days, Date.now())
      kept.set(days, { at: performance.now(), counts })
      counts.catch(() => kept.delete(days))
      return counts
    },
  )
}
