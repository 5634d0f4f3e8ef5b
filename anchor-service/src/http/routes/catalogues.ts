import { parseActions, parseEnforced } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { readCatalogue, registerCatalogue } from '../../ledger/register-catalogue.ts'
import { actorOf, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import {
  CatalogueQuery,
  CatalogueRegisteredSchema,
  CatalogueRequestSchema,
  CatalogueSchema,
  ProblemSchema,
} from '../schemas.ts'

export function catalogueRoutes(app: App, { ledger, tokens }: AppDeps): void {
  app.post(
    '/v1/catalogues',
    {
      onRequest: requireToken(tokens, 'admin'),
      schema: {
        operationId: 'registerCatalogue',
        summary: 'Register a version of a source’s catalogue of actions, or hold the source to versions',
        description:
          'Both are one event in the stream of the source "killick". A version is registered once: the same again changes nothing, another of its name is refused. Events of a source that is held to versions must name one of them in the field `catalogue` and fit it.',
        tags: ['administration'],
        security: [{ admin: [] }],
        body: CatalogueRequestSchema,
        response: { 200: CatalogueRegisteredSchema, 201: CatalogueRegisteredSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { source, version, actions, enforced } = request.body
      if ((version === undefined) !== (actions === undefined))
        throw new Refusal('request_invalid', 'A version and its actions go together.')
      if (version === undefined && enforced === undefined)
        throw new Refusal('request_invalid', 'The request names neither a version nor what is enforced.')
      const registered = await registerCatalogue(
        ledger,
        {
          ...{ source, version },
          ...(actions !== undefined && { actions: parseActions(actions as never, '/actions') }),
          ...(enforced !== undefined && { enforced: parseEnforced(enforced) }),
        },
        actorOf(request),
      )
      reply.code(registered.logIndex === null ? 200 : 201)
      return { source, version: version ?? null, ...registered, enforced: [...registered.enforced] }
    },
  )

  app.get(
    '/v1/catalogues',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        operationId: 'readCatalogue',
        summary: 'The versions of a source’s catalogue, and which it is held to',
        tags: ['reading'],
        security: [{ reader: [] }],
        querystring: CatalogueQuery,
        response: { 200: CatalogueSchema, default: ProblemSchema },
      },
    },
    async ({ query: { source, version } }) => readCatalogue(ledger, source, version),
  )
}
