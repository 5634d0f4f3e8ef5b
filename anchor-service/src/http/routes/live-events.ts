import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { normalizeIP } from '@fastify/rate-limit'
import { Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../../errors.ts'
import type { EventPlace } from '../../ledger/read/events.ts'
import { type EventConditions, matches } from '../../ledger/read/search.ts'
import { eventsAfter, lastPlace } from '../../ledger/read/tail.ts'
import { requireToken } from '../auth.ts'
import { EVENT_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { Conditions, parseConditions } from '../query.ts'
import { ProblemSchema } from '../schemas.ts'
import { sessionOf } from '../session.ts'

const TAIL_POLL_MS = 500
const TAIL_PAGE = 100
const MAX_TAILS = 64
/** Of one address (IPv6: /64). */
const MAX_TAILS_OF_ADDRESS = 16

/** The live tail: events as they are accepted. */
export function liveEventRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const reader = { tags: ['console'], security: [{ reader: [] }] }
  const any = { 200: Type.Any(), default: ProblemSchema }

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
        operationId: 'followEvents',
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
      const since = EVENT_CURSOR.read(String(request.headers['last-event-id'] ?? '')) ?? (await lastPlace(ledger.db))
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
      await ledger.registry.explainMissing(
        ledger.db,
        page.map(({ event }) => event),
      )
      for (const { event, place } of page) {
        last = place
        if (matches(event, conditions)) yield `id: ${EVENT_CURSOR.print(place)}\ndata: ${JSON.stringify(event)}\n\n`
      }
      // A message without data is no event for the client, but still says where to continue.
      if (page.length > 0 && !matches(page.at(-1)!.event, conditions)) yield `id: ${EVENT_CURSOR.print(last)}\n\n`
      if (page.length > 0) quiet = 0
      // An occasional comment keeps proxies from closing a quiet connection.
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
}
