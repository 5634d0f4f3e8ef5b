import { printHash } from '@killick/sdk/core'
import { readAnchors, type StoredAnchor } from '../../ledger/registry/anchors.ts'
import { requireToken } from '../auth.ts'
import { ROW_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { AnchorsSchema, PAGE_LIMIT, PageQuery, ProblemSchema } from '../schemas.ts'

export function anchorRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['reading'], security: [{ reader: [] }] }

  app.get(
    '/v1/anchors',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listAnchors',
        summary: 'Anchors and what became of them, newest first',
        querystring: PageQuery,
        response: { 200: AnchorsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor } }) => {
      const rows = await readAnchors(ledger.db, { limit: limit + 1, before: ROW_CURSOR.parse(cursor) })
      const page = rows.slice(0, limit)
      return { anchors: page.map(printAnchor), next: ROW_CURSOR.print(rows.length > limit ? page.at(-1)!.id : null) }
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
