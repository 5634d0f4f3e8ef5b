import { randomBytes, randomUUID } from 'node:crypto'
import { Type } from '@fastify/type-provider-typebox'
import { parseEvent, parseProof, printHash } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import {
  AlreadyRevoked,
  insertRevocation,
  insertShare,
  readShare,
  readShares,
  type StoredShare,
  tokenHash,
} from '../../ledger/registry/shares.ts'
import { actorOf, requireToken } from '../auth.ts'
import { baseUrl } from '../base-url.ts'
import { ROW_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { timeOf } from '../query.ts'
import { Hash, LogPageQuery, Nullable, PAGE_LIMIT, ProblemSchema, Time } from '../schemas.ts'

/** 256 bits: nobody guesses it, however often they may try. */
const TOKEN_BYTES = 32
/** Links made per minute and address; each is an event of the log. */
const MAKE_LIMIT = 120

export const ShareSchema = Type.Object({
  id: Type.String(),
  logIndex: Type.Integer({ description: 'of the event that tells of it' }),
  leafHash: Hash,
  fields: Type.Array(Type.String()),
  state: Type.Union([Type.Literal('open'), Type.Literal('expired'), Type.Literal('revoked')]),
  createdAt: Time,
  expires: Nullable(Time),
  revokedAt: Nullable(Time),
  revocation: Nullable(Type.Integer({ description: 'log index of the event that tells of its withdrawal' })),
})

const RequestSchema = Type.Object(
  {
    eventId: Type.String({ maxLength: 64, description: 'id or leaf hash of the event' }),
    fields: Type.Array(Type.String({ maxLength: 64 }), {
      maxItems: 256,
      uniqueItems: true,
      description: 'names of the fields that the link shows; all others stay hidden',
    }),
    expires: Type.Optional(Nullable(Type.String({ format: 'date-time', description: 'RFC 3339; default: never' }))),
  },
  {
    additionalProperties: false,
    examples: [{ eventId: '01a2191d-dd04-7e40-8db6-6fe1639f104d', fields: ['action', 'actor', 'targets', 'outcome'] }],
  },
)

export const CreatedSchema = Type.Intersect([
  Type.Object({ url: Type.String({ description: 'the link; it is shown only now, the service keeps its hash' }) }),
  ShareSchema,
])

/** Proof links: made, listed and withdrawn by readers. Each making and withdrawing is an event of the system stream. */
export function shareRoutes(app: App, { ledger, tokens, published, rateLimit }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['shares'], security: [{ reader: [] }] }

  app.post(
    '/v1/shares',
    {
      ...(rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, MAKE_LIMIT) } } } : {}),
      onRequest,
      schema: {
        ...common,
        operationId: 'makeShare',
        summary: 'Make a link that shows chosen fields of an event, with its proof, to whoever has the link',
        body: RequestSchema,
        response: { 201: CreatedSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { eventId, fields } = request.body
      const event = parseEvent(parseProof(await readProof(ledger, eventId)).event)
      const unknown = fields.find((name) => !Object.hasOwn(event.fields, name))
      if (unknown !== undefined)
        throw new Refusal('request_invalid', `The event has no field "${unknown}" that could be shown.`)
      const expiresAt = parseExpiry(request.body.expires)
      const id = randomUUID()
      const token = randomBytes(TOKEN_BYTES).toString('base64url')
      const hash = tokenHash(token)
      await ledger.record(
        {
          action: 'share.create',
          actor: actorOf(request),
          targets: [
            { type: 'share', id },
            { type: 'event', id: event.id },
          ],
          metadata: {
            ...{ fields, expires: expiresAt?.toISOString() ?? null, leafHash: printHash(event.leafHash) },
            // Of 256 random bits; it tells nobody the token.
            tokenHash: hash.toString('base64url'),
          },
        },
        (db, logIndex) =>
          insertShare(db, logIndex, { id, tokenHash: hash, leafHash: event.leafHash, fields, expiresAt }),
      )
      reply.code(201)
      const base = baseUrl(request, published)
      return { url: `${base}/p/${token}`, ...printShare((await readShare(ledger.db, id))!) }
    },
  )

  app.get(
    '/v1/shares',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'listShares',
        summary: 'Links that were made, newest first (behind `after`, oldest first), and what became of them',
        querystring: LogPageQuery,
        response: {
          200: Type.Object({ shares: Type.Array(ShareSchema), next: Nullable(Type.String()) }),
          default: ProblemSchema,
        },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, cursor, after } }) => {
      const { shares, next } = await readShares(ledger.db, { limit, before: ROW_CURSOR.parse(cursor), after })
      return { shares: shares.map(printShare), next: ROW_CURSOR.print(next) }
    },
  )

  app.delete(
    '/v1/shares/:id',
    {
      onRequest,
      schema: {
        ...common,
        operationId: 'withdrawShare',
        summary: 'Withdraw a link for good',
        params: Type.Object({ id: Type.String({ format: 'uuid' }) }),
        response: { 200: ShareSchema, default: ProblemSchema },
      },
    },
    async (request) => {
      const { id } = request.params
      const share = await readShare(ledger.db, id)
      if (share === null) throw new Refusal('share_not_found')
      if (share.state !== 'revoked') {
        const event = { action: 'share.revoke', actor: actorOf(request), targets: [{ type: 'share', id }] }
        await ledger
          .record(event, (db, logIndex) => insertRevocation(db, logIndex, id))
          .catch((error) => {
            if (!(error instanceof AlreadyRevoked)) throw error
          })
      }
      return printShare((await readShare(ledger.db, id))!)
    },
  )
}

function printShare({
  id,
  logIndex,
  leafHash,
  fields,
  state,
  createdAt,
  expiresAt,
  revokedAt,
  revocation,
}: StoredShare) {
  return {
    ...{ id, logIndex, leafHash, fields, state },
    createdAt: createdAt.toISOString(),
    expires: expiresAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
    revocation,
  }
}

function parseExpiry(text: string | null | undefined): Date | null {
  if (text === null || text === undefined) return null
  const time = timeOf('expires', text, 1970)
  if (time.getTime() <= Date.now()) throw new Refusal('request_invalid', 'expires is in the past.')
  return time
}
