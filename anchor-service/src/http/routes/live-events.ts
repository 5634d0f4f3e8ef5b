import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@fastify/type-provider-typebox'
import { Refusal } from '../../errors.ts'
import type { EventPlace } from '../../ledger/read/events.ts'
import { type EventConditions, matches } from '../../ledger/read/search.ts'
import { eventsAfter, lastPlace } from '../../ledger/read/tail.ts'
import { requireToken } from '../auth.ts'
import { EVENT_CURSOR } from '../cursor.ts'
import type { App, AppDeps } from '../deps.ts'
import { openStreams } from '../open-streams.ts'
import { Conditions, parseConditions } from '../query.ts'
import { ProblemSchema } from '../schemas.ts'
import { sessionOf } from '../session.ts'

const TAIL_POLL_MS = 500
const TAIL_PAGE = 100
const MAX_TAILS = 64
const MAX_TAILS_OF_ADDRESS = 16

/** Before the first event, which is no place in a list. */
const BEGINNING: EventPlace = [-1, 0]

/** Where a tail goes on; null: it begins. @throws Refusal request_invalid */
function placeOf(id: string | string[] | undefined): EventPlace | null {
  if (id === undefined || id === '') return null
  const place = id === EVENT_CURSOR.print(BEGINNING) ? BEGINNING : EVENT_CURSOR.read(String(id))
  if (place === null) throw new Refusal('request_invalid', 'The Last-Event-ID is not one that this service gave.')
  return place
}

/** The live tail: events as they are accepted. */
export function liveEventRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const onRequest = requireToken(tokens, 'reader')
  const reader = { tags: ['console'], security: [{ reader: [] }] }
  const any = { 200: Type.Any(), default: ProblemSchema }

  const enter = openStreams({
    most: MAX_TAILS,
    ofAddress: MAX_TAILS_OF_ADDRESS,
    refusal: 'Too many live tails are open.',
  })

  app.get(
    '/v1/events/live',
    {
      onRequest,
      schema: {
        ...reader,
        operationId: 'followEvents',
        produces: ['text/event-stream'],
        summary: 'Events as they are accepted, those that match: server-sent events, resumed by Last-Event-ID',
        querystring: Conditions,
        response: any,
      },
    },
    async (request, reply) => {
      const conditions = parseConditions(request.query)
      const resumed = placeOf(request.headers['last-event-id'])
      const gone = enter(request, reply)
      const since = resumed ?? (await lastPlace(ledger.db))
      const isOpen =
        sessionOf(request, tokens) === null ? null : async () => (await tokens.sessions.of(request)) !== null
      const stream = Readable.from(tail(since, conditions, gone, isOpen))
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
    // With a place: of a connection that breaks before the first event, the next one would not know where to go on.
    yield `id: ${EVENT_CURSOR.print(last)}\n: here from now on\n\n`
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
