import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { normalizeIP } from '@fastify/rate-limit'
import { Type } from '@fastify/type-provider-typebox'
import { BATCH_MEDIA_TYPE, MAX_BATCH_BYTES } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { takeTurns } from '../../intake/admission/fair-queue.ts'
import { EXPORT_BYTES, exportBatches } from '../../ledger/read/batches.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { RateStore } from '../rate-store.ts'
import { ProblemSchema, ReceiptSchema } from '../schemas.ts'
import { weigh } from '../unread.ts'

/** A window of the rate limit. */
const WINDOW_MS = 60_000
/** How long the rest of a refused body is thrown away, so that its sender gets to read the refusal. */
const LINGER_MS = 2_000

const ExportQuery = Type.Object(
  {
    from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'log index of the first batch' }),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, default: 256, description: 'how many batches at most' }),
    ),
  },
  { additionalProperties: false },
)

export function batchRoutes(app: App, { intake, ledger, tokens, rateLimit }: AppDeps): void {
  const turns = takeTurns()
  /**
   * Requests by address that added nothing to the log. Others are not limited by number: only a registered key can make them, and an
   * address takes turns. Recorders without a disk send as many as there are events, a thousand of them from behind one address.
   */
  const wasted = new RateStore()
  app.addHook('preClose', async () => turns.close())
  app.addContentTypeParser(BATCH_MEDIA_TYPE, (_request, payload, done) => done(null, payload))

  app.post(
    '/v1/batches',
    {
      config: { rateLimit: false },
      onRequest: (request, reply, done) => {
        if (rateLimit > 0 && wasted.read(normalizeIP(request.ip)) >= rateLimit) {
          reply.header('retry-after', wasted.leftS())
          return done(new Refusal('rate_limited'))
        }
        // The parsers of other routes would otherwise parse the body.
        const [type = ''] = (request.headers['content-type'] ?? '').split(';')
        const isBatch = type.trim().toLowerCase() === BATCH_MEDIA_TYPE
        done(isBatch ? undefined : new Refusal('unsupported_media_type', `Content-Type must be ${BATCH_MEDIA_TYPE}.`))
      },
      onResponse: (request, reply, done) => {
        if (rateLimit > 0 && reply.statusCode !== 201) wasted.incr(normalizeIP(request.ip), () => {}, WINDOW_MS)
        done()
      },
      schema: {
        operationId: 'handInBatch',
        summary: 'Hand in a batch',
        description:
          'The batch header on the first line, then one event per line, each line ended by LF. Content-Encoding gzip or zstd. All or nothing; sending the same batch again gives the same receipt.',
        tags: ['recording'],
        consumes: [BATCH_MEDIA_TYPE],
        body: Type.Unknown({ description: 'header line and event lines' }),
        response: { 200: ReceiptSchema, 201: ReceiptSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const body = request.body as IncomingMessage
      const gone = new AbortController()
      reply.raw.once('close', () => reply.raw.writableFinished || gone.abort())
      try {
        // Whoever says so may wait for an answer before sending the body.
        if (Number(request.headers['content-length']) > MAX_BATCH_BYTES) throw new Refusal('body_too_large')
        const { receipt, isNew } = await turns.inTurn(normalizeIP(request.ip), gone.signal, () =>
          intake.take(body, request.headers['content-encoding']),
        )
        return reply.code(isNew ? 201 : 200).send(receipt)
      } finally {
        // No `connection: close` here: Node would close at once, and the reset would overtake the refusal.
        if (!body.complete) {
          body.resume()
          setTimeout(() => body.complete || body.destroy(), LINGER_MS).unref()
        }
      }
    },
  )

  // The ledger as it was sent, for auditors and for people who keep a copy.
  app.get(
    '/v1/batches',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        operationId: 'listBatches',
        summary: 'Accepted batches in log order, as they were handed in',
        produces: [BATCH_MEDIA_TYPE],
        description:
          'Batches one after another: each is its header line, then as many event lines as the header says. There may be fewer than asked for; there are none only behind the end of the log.',
        tags: ['reading'],
        security: [{ reader: [] }],
        querystring: ExportQuery,
        response: { 200: Type.Any(), default: ProblemSchema },
      },
    },
    async ({ query, raw }, reply) => {
      const chunks = exportBatches(ledger.db, query.from, query.limit ?? 256)
      // A failure before the first byte can still become a problem document.
      const first = await chunks.next()
      const body = Readable.from(resume(first, chunks), { highWaterMark: 1 })
      // Without chunks (HTTP/1.0, which some proxies speak) the end of the connection ends the answer; only a reset shows a
      // failure.
      body.once('error', () => raw.socket.resetAndDestroy())
      return reply.type(BATCH_MEDIA_TYPE).send(weigh(body, EXPORT_BYTES))
    },
  )
}

async function* resume<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void>): AsyncGenerator<T> {
  if (!first.done) yield first.value
  yield* rest
}
