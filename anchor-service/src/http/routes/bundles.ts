import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { type Static, Type } from '@fastify/type-provider-typebox'
import { KillickError } from '@killick/sdk/core'
import { bundleRequest } from '@killick/sdk/make-bundle'
import type { BundleJob, RequestedBundle } from '../../bundles/job.ts'
import { Refusal } from '../../errors.ts'
import { actorOf, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { parseConditions } from '../query.ts'
import { Nullable, ProblemSchema, SearchQuery, Time } from '../schemas.ts'

/** Requests for bundles, and downloads, per minute and address; each is an event of the log. */
const LIMIT = 60

const Place = (which: string) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: `the ${which} place of the stream` })

const ConditionsSchema = Type.Object(
  {
    ...Type.Omit(SearchQuery, ['limit', 'cursor', 'own']).properties,
    first: Type.Optional(Place('first')),
    last: Type.Optional(Place('last')),
  },
  { additionalProperties: false },
)

const RequestSchema = Type.Object(
  {
    ...ConditionsSchema.properties,
    again: Type.Optional(
      Type.Boolean({ default: false, description: 'true: make it even if there is one that was asked for the same' }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'A source, with times or without, or a source and a stream, with places or without: the bundle shows that it is complete. Any other search: it holds what the index finds.',
    examples: [{ source: 'billing-api', from: '2026-04-01T00:00:00Z', to: '2026-07-01T00:00:00Z' }],
  },
)

const Count = (of: string) => Type.Integer({ minimum: 0, description: of })

export const BundleSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  state: Type.Union([Type.Literal('waiting'), Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')], {
    description: 'one runs at a time; what a process that was killed had begun is begun again',
  }),
  conditions: ConditionsSchema,
  askedAt: Time,
  startedAt: Nullable(Time),
  finishedAt: Nullable(Time),
  removedAt: Nullable(Time),
  entries: Count('entries of the log in it, so far'),
  of: Nullable(Count('how many there will be; null: not known yet')),
  events: Count('events in it, so far; registrations of keys among them'),
  bytes: Count('size of the file, so far'),
  sha256: Nullable(Type.String({ description: 'of the file, lower-case hex; null: it is not made' })),
  scope: Nullable(
    Type.Object({}, { additionalProperties: true, description: 'what it holds all of: `scope` of its manifest' }),
  ),
  error: Nullable(Type.Object({ code: Type.String(), detail: Type.String() })),
})

export const BundlesSchema = Type.Object({ bundles: Type.Array(BundleSchema, { description: 'newest first' }) })

const Id = Type.Object({ id: Type.String({ format: 'uuid' }) })

/** Bundles: asked for, watched, taken away and removed by readers. Asking, taking away and removing are events of the system stream. */
export function bundleRoutes(app: App, { bundles, ledger, tokens, rateLimit }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['bundles'], security: [{ reader: [] }] }
  const limited = rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, LIMIT) } } } : {}
  const printed = (job: BundleJob) => {
    const { by: _, attempts: __, gone: ___, ...shown } = job
    return { ...shown, removedAt: bundles.removedAt(job) }
  }

  app.post(
    '/v1/bundles',
    {
      ...limited,
      onRequest,
      schema: {
        ...common,
        operationId: 'makeBundle',
        summary:
          'Ask for a bundle; 200 with the one that there is, if the same was asked for before and `again` is not set',
        body: RequestSchema,
        response: { 200: BundleSchema, 202: BundleSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { again = false, ...given } = request.body
      const conditions = checked(given)
      // Whom a search was about must not stay in the log for good, where no erasure reaches it.
      const { actor, target, tenant, ...others } = conditions
      const by = Object.entries({ actor, target, tenant }).flatMap(([name, id]) => (id === undefined ? [] : [name]))
      const { job, isNew } = await bundles.take(conditions, request.role!, again, (id) =>
        ledger.record({
          action: 'bundle.create',
          actor: actorOf(request),
          targets: [{ type: 'bundle', id }],
          metadata: { ...others, ...(by.length > 0 && { by }) },
        }),
      )
      return reply
        .code(isNew ? 202 : 200)
        .header('location', `/v1/bundles/${job.id}`)
        .send(printed(job))
    },
  )

  app.get(
    '/v1/bundles',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listBundles',
        summary: 'Bundles of this process, newest first, and how far they are',
        response: { 200: BundlesSchema, default: ProblemSchema },
      },
    },
    async () => ({ bundles: bundles.list().map(printed) }),
  )

  app.get(
    '/v1/bundles/:id',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'readBundle',
        summary: 'How far a bundle is',
        params: Id,
        response: { 200: BundleSchema, default: ProblemSchema },
      },
    },
    async ({ params: { id } }) => printed(bundles.find(id)),
  )

  app.get(
    '/v1/bundles/:id/file',
    {
      ...limited,
      onRequest,
      schema: {
        ...common,
        operationId: 'downloadBundle',
        produces: ['application/x-tar'],
        summary: 'The file, `killick-bundle/1`, whole or a range of its bytes; taking it from the start is recorded',
        params: Id,
        response: { 200: Type.Any(), 206: Type.Any(), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { job, path, removed } = await bundles.file(request.params.id)
      const { bytes, sha256, id } = job
      const etag = `"${sha256}"`
      reply.headers({
        'content-type': 'application/x-tar',
        'content-disposition': `attachment; filename="${nameOf(job)}"`,
        'cache-control': 'no-store',
        'accept-ranges': 'bytes',
        ...{ etag, digest: `sha-256=${Buffer.from(sha256!, 'hex').toString('base64')}` },
      })
      const { range, 'if-range': ifRange = etag } = request.headers
      const wanted = ifRange === etag ? rangeOf(range, bytes) : null
      if (wanted === 'none') {
        reply.header('content-range', `bytes */${bytes}`)
        throw new Refusal('range_not_satisfiable')
      }
      const { start, end } = wanted ?? { start: 0, end: bytes - 1 }
      if (wanted !== null) reply.code(206).header('content-range', `bytes ${start}-${end}/${bytes}`)
      reply.header('content-length', end - start + 1)
      // A stream, so that the length stays what GET would have.
      if (request.method === 'HEAD') return reply.send(Readable.from([]))
      if (start === 0)
        await ledger.record({
          action: 'bundle.download',
          actor: actorOf(request),
          targets: [{ type: 'bundle', id }],
          metadata: { sha256, bytes },
        })
      const file = createReadStream(path, { start, end, signal: removed })
      // Removed before anything of it was told.
      await once(file, 'readable').catch((error) => {
        throw removed.aborted ? new Refusal('bundle_not_found') : error
      })
      return reply.send(file)
    },
  )

  app.delete(
    '/v1/bundles/:id',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'removeBundle',
        summary: 'Remove a bundle; one that is being made is given up',
        params: Id,
        response: { 204: Type.Null(), default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { id } = bundles.find(request.params.id)
      await ledger.record({ action: 'bundle.delete', actor: actorOf(request), targets: [{ type: 'bundle', id }] })
      await bundles.remove(id)
      return reply.code(204).send(null)
    },
  )
}

/** @throws Refusal request_invalid */
function checked(given: Static<typeof ConditionsSchema>): RequestedBundle {
  const { first: _, last: __, ...conditions } = given
  parseConditions(conditions)
  try {
    bundleRequest(given)
    return given
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new Refusal('request_invalid', error.message)
  }
}

/** "billing-api-2026-11-27.bundle": what people recognize, and no character that a file system dislikes. */
function nameOf({ conditions: { source, stream }, askedAt }: BundleJob): string {
  const what = [source, stream].filter(Boolean).join('-') || 'search'
  return `${what.replaceAll(/[^\w.-]/g, '_').slice(0, 100)}-${askedAt.slice(0, 10)}.bundle`
}

/** One range of bytes (RFC 9110 §14). Null: none was asked for, or several were, and all is sent. */
export function rangeOf(header: string | undefined, bytes: number): { start: number; end: number } | 'none' | null {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === undefined || to === undefined || from + to === '') return null
  const start = from === '' ? Math.max(0, bytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1)
  if (to !== '' && from !== '' && Number(to) < start) return null
  return start > end ? 'none' : { start, end }
}
