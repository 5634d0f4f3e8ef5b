import { KillickError, parseJson, parsePublicJwk, printTime } from '@killick/sdk/core'
import { register } from '../../ledger/register.ts'
import { readSource, readSources } from '../../ledger/registry/sources.ts'
import { actorOf, requireToken } from '../auth.ts'
import { SOURCE_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { timeOf } from '../query.ts'
import {
  PAGE_LIMIT,
  ProblemSchema,
  RegisteredSchema,
  RegistrationSchema,
  SourcesQuery,
  SourcesSchema,
} from '../schemas.ts'

export function sourceRoutes(app: App, { ledger, tokens, silences }: AppDeps): void {
  const silenceOf = (source: string) => {
    const found = silences.of(source)
    return found && { streams: found.streams, since: found.since.toISOString() }
  }

  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    parseJson(body),
  )

  app.post(
    '/v1/sources',
    {
      onRequest: requireToken(tokens, 'admin'),
      schema: {
        operationId: 'registerSource',
        summary: 'Register a source, add keys to it, or change the validity of its keys',
        description:
          'Keys and settings that are not named stay as they are; of a key that is named again, the new validity counts. The registration is itself an event in the stream of the source "killick". For the source "killick" only keys can be named: that is how the ledger changes its own.',
        tags: ['administration'],
        security: [{ admin: [] }],
        body: RegistrationSchema,
        response: { 201: RegisteredSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { source, keys: named, ...settings } = request.body
      const keys = named.map((key, i) => ({
        jwk: atKey(i, () => parsePublicJwk(key.jwk)),
        ...{ notBefore: limit('notBefore', key, i), notAfter: limit('notAfter', key, i) },
      }))
      const { registration, logIndex, event } = await register(ledger, { source, keys, ...settings }, actorOf(request))
      const { eventSignatures, decoys, maxAge, maxAhead, heartbeat } = registration
      reply.code(201)
      return {
        ...{ source, eventSignatures, decoys, maxAge, maxAhead, heartbeat, logIndex, event },
        keys: registration.keys.map(({ kid, notBefore, notAfter }) => ({
          kid,
          ...{ notBefore: printDate(notBefore), notAfter: printDate(notAfter) },
        })),
      }
    },
  )

  app.get(
    '/v1/sources',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        operationId: 'listSources',
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
          ? await readSources(ledger.db, { limit, after: SOURCE_CURSOR.parse(cursor) })
          : { sources: [await readSource(ledger.db, source)].filter((found) => found !== undefined), next: null }
      return {
        next: SOURCE_CURSOR.print(next),
        sources: sources.map((source) => ({
          ...source,
          silence: silenceOf(source.source),
          keys: source.keys.map(({ notBefore, notAfter, ...key }) => ({
            ...key,
            ...{ notBefore: printDate(notBefore), notAfter: printDate(notAfter) },
          })),
        })),
      }
    },
  )
}

const printDate = (time: Date | number | null) => printTime(time === null ? null : Number(time))

type Limit = 'notBefore' | 'notAfter'

const limit = (name: Limit, key: { [L in Limit]?: string | null }, i: number): number | null => {
  const text = key[name]
  return text === null || text === undefined ? null : timeOf(`keys/${i}/${name}`, text, 1970).getTime()
}

function atKey<T>(i: number, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new KillickError(error.code, error.message, { ...error.details, key: i })
  }
}
