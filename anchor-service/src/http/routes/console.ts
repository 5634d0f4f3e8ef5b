import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { normalizeIP } from '@fastify/rate-limit'
import { type Static, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../../errors.ts'
import type { EventError, EventPlace, FoundEvent, UnreadableEvent } from '../../ledger/read/events.ts'
import { readProof } from '../../ledger/read/proofs.ts'
import { type EventConditions, matches, searchEvents } from '../../ledger/read/search.ts'
import { eventsAfter, lastPlace } from '../../ledger/read/tail.ts'
import { actorOf, requireToken, roleOf } from '../auth.ts'
import { CSV_HEADER, csvLine } from '../csv.ts'
import type { App, AppDeps } from '../deps.ts'
import { ProblemSchema, SearchQuery } from '../schemas.ts'
import { cookieFor, newSession, sealSession, sessionOf } from '../session.ts'
import { parseTime } from './reading.ts'

/** Logins per minute and address. */
const LOGIN_LIMIT = 20
const TAIL_POLL_MS = 500
const TAIL_PAGE = 100
const MAX_TAILS = 64
/** Of one address (IPv6: /64). */
const MAX_TAILS_OF_ADDRESS = 16
/** Exports per minute and address; each is an event of the log. */
const EXPORT_LIMIT = 30
const MAX_EXPORT = 100_000
/** Proofs cost several reads each. */
const MAX_EXPORT_PROOFS = 10_000
const PAGE = 500

/** What is asked of events, without pages. */
const Conditions = Type.Omit(SearchQuery, ['limit', 'cursor'])

/** What the console needs beside the API that everyone uses: sessions, the live tail, exports. */
export function consoleRoutes(app: App, { ledger, tokens, rateLimit, published }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const common = { tags: ['console'] }
  const reader = { ...common, security: [{ reader: [] }] }
  const any = { 200: Type.Any(), default: ProblemSchema }
  const limited = rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, LOGIN_LIMIT) } } } : {}

  // Behind a proxy that ends TLS, only the operator's own address tells.
  const isHttps = (request: FastifyRequest) =>
    request.protocol === 'https' || (published.url?.startsWith('https:') ?? false)

  app.post(
    '/console/session',
    {
      ...limited,
      schema: {
        ...common,
        summary: 'Open a session with a token; the answer sets its cookie',
        body: Type.Object({ token: Type.String({ maxLength: 512 }) }, { additionalProperties: false }),
        response: any,
      },
    },
    async (request, reply) => {
      const given = roleOf(tokens, request.body.token)
      const role = tokens.guesses.judge(normalizeIP(request.ip), given, 'That is not a token of this service.')
      const session = newSession(role)
      await tokens.sessions.begin(session, request.ip)
      reply.header('set-cookie', cookieFor(sealSession(tokens, session), isHttps(request)))
      return { role }
    },
  )

  app.get(
    '/console/session',
    { schema: { ...common, summary: 'Whose session this is', response: any } },
    async (request) => ({
      role: (await tokens.sessions.of(request))?.role ?? null,
      origin: ledger.log.origin,
    }),
  )

  app.delete(
    '/console/session',
    { schema: { ...common, summary: 'End the session of this browser, for whoever has its cookie', response: any } },
    async (request, reply) => {
      const session = await tokens.sessions.of(request)
      if (session !== null) await tokens.sessions.end(session)
      reply.header('set-cookie', cookieFor(null, isHttps(request)))
      return {}
    },
  )

  /** Open tails by address. */
  const tails = new Map<string, number>()
  let openTails = 0
  /** Takes a place, before anything is awaited, and gives it back when the stream is over. @throws Refusal overloaded */
  function enterTail(address: string): () => void {
    const own = tails.get(address) ?? 0
    if (openTails >= MAX_TAILS || own >= MAX_TAILS_OF_ADDRESS)
      throw new Refusal('overloaded', 'Too many live tails are open.')
    openTails++
    tails.set(address, own + 1)
    return () => {
      openTails--
      const rest = tails.get(address)! - 1
      if (rest > 0) tails.set(address, rest)
      else tails.delete(address)
    }
  }

  app.get(
    '/v1/events/live',
    {
      onRequest,
      schema: {
        ...reader,
        summary: 'Events as they are accepted, those that match: server-sent events, resumed by Last-Event-ID',
        querystring: Conditions,
        response: any,
      },
    },
    async (request, reply) => {
      const conditions = parseConditions(request.query)
      const { socket } = request.raw
      const leave = enterTail(normalizeIP(request.ip))
      const gone = new AbortController()
      const over = () => {
        if (gone.signal.aborted) return
        gone.abort()
        leave()
        socket.off('close', over)
      }
      // On the socket, because an answer that waits behind another is not told when the connection breaks.
      socket.once('close', over)
      reply.raw.once('finish', over)
      const since = parsePlace(request.headers['last-event-id']) ?? (await lastPlace(ledger.db))
      const isOpen =
        sessionOf(request, tokens) === null ? null : async () => (await tokens.sessions.of(request)) !== null
      const stream = Readable.from(tail(since, conditions, gone.signal, isOpen))
      return reply
        .headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
        .send(stream)
    },
  )

  /** @param isOpen whether the session that asked has not been ended; null: a token asked */
  async function* tail(
    since: EventPlace,
    conditions: EventConditions,
    signal: AbortSignal,
    isOpen: (() => Promise<boolean>) | null,
  ): AsyncGenerator<string> {
    let last = since
    yield ': here from now on\n\n'
    for (let quiet = 0; !signal.aborted && !closing; quiet += TAIL_POLL_MS) {
      if (isOpen !== null && !(await isOpen())) return
      const page = await eventsAfter(ledger.db, last, TAIL_PAGE)
      await ledger.registry.forgiveDecoys(
        ledger.db,
        page.map(({ event }) => event),
      )
      for (const { event, place } of page) {
        last = place
        if (matches(event, conditions)) yield `id: ${place.join('.')}\ndata: ${JSON.stringify(event)}\n\n`
      }
      // Without data it is no event, and yet where to go on from.
      if (page.length > 0 && !matches(page.at(-1)!.event, conditions)) yield `id: ${last.join('.')}\n\n`
      if (page.length > 0) quiet = 0
      // A comment now and then keeps proxies from closing what is merely quiet.
      if (quiet >= 15_000) {
        quiet = 0
        yield ': still here\n\n'
      }
      if (page.length < TAIL_PAGE) await sleep(TAIL_POLL_MS, undefined, { signal }).catch(() => {})
    }
  }
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })

  app.get(
    '/v1/events/export',
    {
      ...(rateLimit > 0 ? { config: { rateLimit: { max: Math.min(rateLimit, EXPORT_LIMIT) } } } : {}),
      onRequest,
      schema: {
        ...reader,
        summary: 'Found events as a file: CSV, or NDJSON with the proof of each; the export is itself recorded',
        querystring: Type.Intersect([
          Conditions,
          Type.Object({ format: Type.Union([Type.Literal('csv'), Type.Literal('ndjson')]) }),
        ]),
        response: any,
      },
    },
    async (request, reply) => {
      const { format, ...conditions } = request.query
      const query = parseConditions(conditions)
      await ledger.record({
        action: 'events.export',
        actor: actorOf(request),
        targets: [],
        metadata: { format, ...conditions },
      })
      const isCsv = format === 'csv'
      return reply
        .headers({
          'content-type': isCsv ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
          'content-disposition': `attachment; filename="events.${format}"`,
          'cache-control': 'no-store',
        })
        .send(Readable.from(isCsv ? csv(query) : ndjson(query)))
    },
  )

  async function* found(query: EventConditions, most: number): AsyncGenerator<FoundEvent | UnreadableEvent> {
    let before: EventPlace | undefined
    for (let left = most; left > 0; left -= PAGE) {
      const { events, next } = await searchEvents(ledger.db, {
        ...query,
        limit: Math.min(PAGE, left),
        ...(before && { before }),
      })
      await ledger.registry.forgiveDecoys(ledger.db, events)
      yield* events
      if (next === null) return
      before = next
    }
  }

  async function* csv(query: EventConditions): AsyncGenerator<string> {
    yield CSV_HEADER
    for await (const event of found(query, MAX_EXPORT)) yield csvLine(event)
  }

  async function* ndjson(query: EventConditions): AsyncGenerator<string> {
    for await (const event of found(query, MAX_EXPORT_PROOFS)) {
      const { proof, error } = 'error' in event ? { proof: null, error: event.error } : await proofOf(event)
      const { token: _, ...shown } = { token: '', ...event, ...(error && { error }) }
      yield `${JSON.stringify(shown).slice(0, -1)},"proof":${proof}}\n`
    }
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

function parseConditions({ from, to, ...filters }: Static<typeof Conditions>): EventConditions {
  return { ...filters, from: parseTime('from', from), to: parseTime('to', to) }
}

function parsePlace(text: string | string[] | undefined): EventPlace | null {
  const match = /^(\d{1,15})\.(\d{1,9})$/.exec(String(text ?? ''))
  return match === null ? null : [Number(match[1]), Number(match[2])]
}
