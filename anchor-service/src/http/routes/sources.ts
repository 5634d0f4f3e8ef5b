import { KillickError, parseJson, parsePublicJwk, thumbprint } from '@killick/sdk'
import { Refusal } from '../../errors.ts'
import { insertSource, readSource, readSources, type SourceKey } from '../../ledger/sources.ts'
import { SYSTEM } from '../../ledger/system.ts'
import { actorOf, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import {
  PAGE_LIMIT,
  ProblemSchema,
  RegisteredSchema,
  RegistrationSchema,
  SourcesQuery,
  SourcesSchema,
} from '../schemas.ts'

export function sourceRoutes(app: App, { ledger, tokens }: AppDeps): void {
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    parseJson(body),
  )

  app.post(
    '/v1/sources',
    {
      onRequest: requireToken(tokens, 'admin'),
      schema: {
        summary: 'Register a source, add keys to it, or change the validity of its keys',
        description:
          'Keys that are not named stay as they are; of a key that is named again, the new validity counts. The registration is itself an event in the stream of the source "killick".',
        tags: ['administration'],
        security: [{ admin: [] }],
        body: RegistrationSchema,
        response: { 201: RegisteredSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { source } = request.body
      if (source === SYSTEM.source) throw new Refusal('source_reserved')
      const keys = request.body.keys.map((key, i) => {
        const jwk = atKey(i, () => parsePublicJwk(key.jwk))
        const validity = { notBefore: parseDate(key.notBefore, i), notAfter: parseDate(key.notAfter, i) }
        return { jwk, kid: thumbprint(jwk), ...validity }
      })
      const known = await readSource(ledger.db, source)
      if (known === undefined && keys.length === 0) throw new Refusal('request_invalid', 'A new source needs a key.')
      const eventSignatures = request.body.eventSignatures ?? known?.eventSignatures ?? 'required'
      const event = await ledger.record(
        {
          action: known === undefined ? 'source.register' : 'source.change',
          actor: actorOf(request),
          targets: [{ type: 'source', id: source }],
          metadata: { eventSignatures, keys: keys.map((key) => ({ jwk: { ...key.jwk }, ...printKey(key) })) },
        },
        (db) => insertSource(db, { source, eventSignatures, keys }),
      )
      reply.code(201)
      return { source, eventSignatures, keys: keys.map(printKey), event: { id: event.id, leafHash: event.leafHash } }
    },
  )

  app.get(
    '/v1/sources',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        summary: 'Registered sources and their keys, by name',
        tags: ['reading'],
        security: [{ reader: [] }],
        querystring: SourcesQuery,
        response: { 200: SourcesSchema, default: ProblemSchema },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, source } }) => {
      const { sources, next } =
        source === undefined
          ? await readSources(ledger.db, { limit, after: cursor })
          : { sources: [await readSource(ledger.db, source)].filter((found) => found !== undefined), next: null }
      return {
        next,
        sources: sources.map((s) => ({ ...s, keys: s.keys.map((key) => ({ jwk: key.jwk, ...printKey(key) })) })),
      }
    },
  )
}

function printKey({ kid, notBefore, notAfter }: SourceKey) {
  return { kid, notBefore: notBefore?.toISOString() ?? null, notAfter: notAfter?.toISOString() ?? null }
}

function parseDate(text: string | null | undefined, i: number): Date | null {
  if (text === null || text === undefined) return null
  const date = new Date(text)
  if (Number.isNaN(date.getTime())) throw new Refusal('request_invalid', `keys/${i}: validity must be RFC 3339 times.`)
  return date
}

function atKey<T>(i: number, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new KillickError(error.code, error.message, { ...error.details, key: i })
  }
}
