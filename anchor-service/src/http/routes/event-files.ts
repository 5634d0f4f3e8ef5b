import { Readable } from 'node:stream'
import { Type } from '@fastify/type-provider-typebox'
import { nodePrimitives, parseEvent, parseProof } from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import type { EventError, EventPlace, FoundEvent, UnreadableEvent } from '../../ledger/read/events.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import { type EventConditions, findPart, readMatching } from '../../ledger/read/search.ts'
import { actorOf, requireToken } from '../auth.ts'
import { CSV_HEADER, csvLine } from '../csv.ts'
import { EVENT_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { openStreams } from '../open-streams.ts'
import { Conditions, parseConditions } from '../query.ts'
import { ProblemSchema } from '../schemas.ts'
import { sessionOf } from '../session.ts'
import { weigh } from '../unread.ts'

/** Exports, or parts of some, per minute and address; each is an event of the log. */
const EXPORT_LIMIT = 30
const MAX_PART = 100_000
/** An answer without a limit is found in steps of so many events. */
const STEP = 10_000
/** Each keeps a core busy for as long as it is read. */
const MAX_OPEN = 16
const MAX_OPEN_OF_ADDRESS = 8
/** Proofs that are read at a time: each waits for the database several times, and so do batches that are handed in. */
const PROOFS = 2
const CHUNK_CHARS = 1 << 16
/** What an answer holds while nobody reads it, at most: events as text and parsed, with their proofs. */
const HELD_BYTES = 2.5 * (1 << 20)
/** In place of a cursor: nothing comes after this answer. */
const END = 'end'

const ExportQuery = Type.Intersect([
  Conditions,
  Type.Object({
    format: Type.Union([Type.Literal('csv'), Type.Literal('ndjson')]),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_PART,
        description:
          'most events of this answer, which is then one part; `killick-next` says where the next begins. Default: all, in one answer',
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        maxLength: 64,
        description: '`killick-next` of the part before; such an answer has no header line as CSV',
      }),
    ),
    export: Type.Optional(
      Type.String({
        format: 'uuid',
        description: '`killick-export` of the part before, so that the log says which parts belong together',
      }),
    ),
  }),
])

/** Found events as files. */
export function eventFileRoutes(app: App, { ledger, tokens, rateLimit }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const reader = { tags: ['console'], security: [{ reader: [] }] }
  const any = { 200: Type.Any(), default: ProblemSchema }
  const enter = openStreams({
    most: MAX_OPEN,
    ofAddress: MAX_OPEN_OF_ADDRESS,
    refusal: 'Too many exports are being read.',
  })

  app.get(
    '/v1/events/export',
    {
      ...(rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, EXPORT_LIMIT) } } } : {}),
      onRequest,
      schema: {
        ...reader,
        operationId: 'exportEvents',
        produces: ['text/csv', 'application/x-ndjson'],
        summary: 'Found events as a file: CSV, or NDJSON with the proof of each; the export is itself recorded',
        description:
          'Newest first, however many there are. An answer that breaks off has no last chunk, so that programs tell it from a whole one (curl ends with 18). HTTP/1.0 has no chunks, so a request in it is refused. The header `killick-next` says before the first byte what follows the answer: `end` where nothing does, else the `cursor` of the next part. Parts one behind another are the whole file; what is recorded meanwhile is in none of them.',
        querystring: ExportQuery,
        response: any,
      },
    },
    async (request, reply) => {
      // There the end of the connection ends an answer, and so does a process that is killed. Node answers so too whoever says 0.9 or 2.0.
      if (request.raw.httpVersion !== '1.1')
        throw new Refusal(
          'request_invalid',
          'Over HTTP/1.0 an export that breaks off looks whole. Ask over HTTP/1.1; of a proxy in between: have it ask so (nginx: proxy_http_version 1.1).',
        )
      const { format, limit, cursor, export: whole, ...conditions } = request.query
      const query = parseConditions(conditions)
      const before = EVENT_CURSOR.parse(cursor)
      enter(request, reply)
      // Whom a search was about must not stay in the log for good, where no erasure reaches it.
      const { actor, target, tenant, ...others } = conditions
      const by = Object.entries({ actor, target, tenant }).flatMap(([name, id]) => (id === undefined ? [] : [name]))
      const part = { ...(whole && { of: whole }), ...(cursor && { after: cursor }) }
      const { id } = await ledger.record({
        action: 'events.export',
        actor: actorOf(request),
        targets: [],
        metadata: { format, ...others, ...(by.length > 0 && { by }), ...((whole || cursor) && { part }) },
      })
      const first = await findPart(ledger.db, { ...query, before }, limit ?? STEP)
      const isSession = sessionOf(request, tokens) !== null
      const isOpen = async () => !isSession || (await tokens.sessions.of(request)) !== null
      const events = found(query, first, limit === undefined, isOpen)
      const isCsv = format === 'csv'
      const lines = isCsv ? csv(events, before === undefined) : ndjson(events)
      return reply
        .headers({
          'content-type': isCsv ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
          'content-disposition': `attachment; filename="events.${format}"`,
          'cache-control': 'no-store',
          'killick-export': whole ?? id,
          'killick-next': (limit === undefined ? null : EVENT_CURSOR.print(first.next)) ?? END,
        })
        .send(weigh(Readable.from(inChunks(lines)), HELD_BYTES))
    },
  )

  type Part = { numbers: readonly number[]; next: EventPlace | null }

  /** @param isOpen whether the session that asked, if it was one, has not been ended */
  async function* found(
    query: EventConditions,
    first: Part,
    isAll: boolean,
    isOpen: () => Promise<boolean>,
  ): AsyncGenerator<(FoundEvent | UnreadableEvent)[]> {
    for (let part = first; ; ) {
      for await (const events of readMatching(ledger.db, part.numbers, query)) {
        if (!(await isOpen())) throw new Refusal('unauthorized', 'The session was ended.')
        await ledger.registry.explainMissing(ledger.db, events)
        yield events
      }
      if (!isAll || part.next === null) return
      part = await findPart(ledger.db, { ...query, before: part.next }, STEP)
    }
  }

  async function* csv(pages: AsyncIterable<(FoundEvent | UnreadableEvent)[]>, isFirst: boolean) {
    if (isFirst) yield CSV_HEADER
    for await (const events of pages) for (const event of events) yield csvLine(event)
  }

  async function* ndjson(pages: AsyncIterable<(FoundEvent | UnreadableEvent)[]>) {
    for await (const events of pages)
      for (let at = 0; at < events.length; at += PROOFS)
        yield* await Promise.all(events.slice(at, at + PROOFS).map(ndjsonLine))
  }

  async function ndjsonLine(event: FoundEvent | UnreadableEvent): Promise<string> {
    const { proof, error } = 'error' in event ? { proof: null, error: event.error } : await proofOf(event)
    const told = 'error' in event || proof === null ? event : await asProven(event, proof)
    const { token: _, ...shown } = { token: '', ...told, ...(error && { error }) }
    return `${JSON.stringify(shown).slice(0, -1)},"proof":${proof}}\n`
  }

  /**
   * The event as its proof shows it. A reader who takes long lets fields be erased after the event was read and before its proof is:
   * a line with more fields than its proof would be called altered.
   */
  async function asProven(event: FoundEvent, proof: string): Promise<FoundEvent> {
    if (proof.startsWith(`{"format":"killick-proof/1","event":"${event.token}"`)) return event
    const { fields, fieldCount, disclosures } = parseEvent(parseProof(proof).event, nodePrimitives)
    const { missing: _m, erased: _e, expired: _x, ...rest } = event
    const missing = fieldCount - disclosures.length
    const told = { ...rest, fields, ...(missing > 0 && { missing }) }
    await ledger.registry.explainMissing(ledger.db, [told])
    return told
  }

  /** One event without a proof must not end an export. */
  async function proofOf({ leafHash }: FoundEvent): Promise<{ proof: string | null; error?: EventError }> {
    try {
      return { proof: await readProof(ledger, leafHash) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { proof: null, error: { code: error.code, detail: error.message } }
    }
  }
}

/** Each chunk is a call of the system. */
async function* inChunks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = ''
  for await (const line of lines) {
    chunk += line
    if (chunk.length < CHUNK_CHARS) continue
    yield chunk
    chunk = ''
  }
  if (chunk !== '') yield chunk
}
