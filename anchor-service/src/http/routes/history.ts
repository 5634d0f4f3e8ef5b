import { type Static, Type } from '@fastify/type-provider-typebox'
import {
  differenceJson,
  type HistoryTarget,
  historyJson,
  historyOf,
  isEventId,
  type TargetHistory,
} from '@killick/sdk/core'
import { Refusal } from '../../errors.ts'
import { HISTORY_LIMITS, readTargetEvents, type TargetEvent } from '../../ledger/read/history.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { timeOf } from '../query.ts'
import { Hash, Nullable, ProblemSchema, Time } from '../schemas.ts'

/** Histories that are folded at a time; each holds some tens of MB. */
const AT_ONCE = 2
/** Histories that may wait for their turn. */
const WAITING = 30

const Moment = (what: string) =>
  Type.String({
    maxLength: 64,
    description: `${what}: an RFC 3339 time (just before it; a + in it is written %2B), or the id of an event of the history (just after it)`,
  })

const Value = (description: string) => Type.Unsafe<unknown>({ description })

const Doubt = Nullable(
  Type.String({
    description: 'id of the newest event that may have changed anything, and does not show what; null: none',
  }),
)

const StateSchema = Type.Object({ state: Value('null: none, or removed'), events: Type.Integer(), doubt: Doubt })

export const HistorySchema = Type.Object({
  target: Type.Object({ type: Type.String(), id: Type.String() }),
  steps: Type.Array(
    Type.Object({
      id: Type.String(),
      leafHash: Hash,
      source: Type.String(),
      stream: Type.String(),
      seq: Type.Integer(),
      logIndex: Type.Integer(),
      recordedAt: Time,
      effect: Type.Union(
        [Type.Literal('changed'), Type.Literal('touched'), Type.Literal('not_done'), Type.Literal('unreadable')],
        {
          description:
            'changed: its changes were applied; touched: it has none, or is about another thing first; not_done: it failed or was denied; unreadable: it may have changed anything, and does not show what',
        },
      ),
      hidden: Type.Integer({ description: 'how many of its digests may be of fields that are not shown' }),
      erased: Type.Optional(
        Type.Integer({ minimum: 1, description: 'how many of these were erased by orders in the log; absent: none' }),
      ),
      expired: Type.Optional(
        Type.Integer({
          minimum: 1,
          description: 'how many of these have expired by a policy in the log; absent: none',
        }),
      ),
      undecided: Type.Optional(
        Type.Integer({
          minimum: 1,
          description:
            'how many of these may stand for no field, since the source is registered with decoys; absent: none',
        }),
      ),
      fields: Type.Object({}, { additionalProperties: true }),
      contradictions: Type.Array(
        Type.Object({
          path: Type.String(),
          since: Type.String({ description: 'id of the event by which it was known' }),
          known: Type.Optional(Value('what it was by then; absent: nothing')),
          before: Type.Optional(Value('what the event says that it was; absent: nothing')),
        }),
      ),
    }),
    { description: 'in order: by the recorders’ clocks, but never against the order of a stream' },
  ),
  state: Value('what the changes add up to, at the time asked for; null: none, or removed'),
  blame: Type.Array(
    Type.Object({
      path: Type.String({ description: 'JSON pointer into the state' }),
      event: Type.String({ description: 'id of the event that set it last' }),
      actor: Nullable(Type.String()),
      recordedAt: Time,
      doubt: Nullable(
        Type.String({ description: 'id of a later event that may have changed it, and does not show whether' }),
      ),
    }),
  ),
  doubt: Doubt,
  difference: Nullable(
    Type.Object({
      from: StateSchema,
      to: StateSchema,
      changes: Type.Array(
        Type.Object({
          path: Type.String(),
          before: Type.Optional(Value('absent: nothing')),
          after: Type.Optional(Value('absent: nothing')),
        }),
      ),
    }),
  ),
  sha256: Type.String({ description: 'hex; over the bytes of each event of `steps` and a line feed, in this order' }),
  altered: Type.Array(
    Type.Object({
      id: Type.Optional(Type.String()),
      logIndex: Type.Integer(),
      source: Type.Optional(Type.String()),
      stream: Type.Optional(Type.String()),
      seq: Type.Optional(Type.Integer()),
      error: Type.Object({ code: Type.String(), detail: Type.String() }),
    }),
    { description: 'events of this id that were altered in the database: they are left out, and what they changed' },
  ),
})

type Moments = { at?: string; from?: string; to?: string }

/** The history of a thing: what all sources say was changed in it. */
export function historyRoutes(app: App, { ledger, tokens }: AppDeps): void {
  const inTurn = takeTurns()

  app.get(
    '/v1/history/:targetType/:targetId',
    {
      onRequest: requireToken(tokens, 'reader'),
      schema: {
        operationId: 'readHistory',
        summary: 'What was changed in a target, by whom; its state at any time; what is different between two times',
        description: `Up to ${HISTORY_LIMITS.events.toLocaleString('en')} events of the id, with ${HISTORY_LIMITS.bytes >> 20} MiB together; beyond that \`history_too_long\`, and never a part. That these are all events of the target is the service’s word; those that a retention policy has dropped are not found.`,
        tags: ['reading'],
        security: [{ reader: [] }],
        params: Type.Object({
          targetType: Type.String({ minLength: 1, maxLength: 512 }),
          targetId: Type.String({ minLength: 1, maxLength: 512 }),
        }),
        querystring: Type.Object(
          {
            at: Type.Optional(Moment('as it was then; default: now')),
            from: Type.Optional(Moment('also what is different from then')),
            to: Type.Optional(Moment('where the difference ends; default: `at`')),
          },
          { additionalProperties: false },
        ),
        response: { 200: HistorySchema, default: ProblemSchema },
      },
    },
    async ({ params: { targetType: type, targetId: id }, query }) => {
      if (query.to !== undefined && query.from === undefined)
        throw new Refusal('request_invalid', 'to is given without from.')
      return inTurn(() => read({ type, id }, query))
    },
  )

  async function read(target: HistoryTarget, { at, from, to }: Moments): Promise<Static<typeof HistorySchema>> {
    // What is no time and no id is refused before anything is read.
    const moments = { at: momentOf('at', at), from: momentOf('from', from), to: momentOf('to', to) }
    const { events, altered, isWhole } = await readTargetEvents(ledger.db, ledger.registry, target)
    if (!isWhole) throw new Refusal('history_too_long')
    const whole = historyOf(target, events)
    const toldAt = (name: 'at' | 'from' | 'to', otherwise = whole) => {
      const moment = moments[name]
      return moment === undefined ? otherwise : historyAt(whole, moment, name)
    }
    const told = toldAt('at')
    const earlier = from === undefined ? null : toldAt('from')
    const more = new Map(
      events.map(({ id, leafHash, erased, expired, undecided }) => [
        id,
        { leafHash, ...(erased && { erased }), ...(expired && { expired }), ...(undecided && { undecided }) },
      ]),
    )
    const difference = earlier && differenceJson(earlier, toldAt('to', told))
    const shown = { ...historyJson(told), difference } as unknown as Omit<Static<typeof HistorySchema>, 'altered'>
    const steps = shown.steps.map((step) => ({ ...step, ...more.get(step.id)! }))
    return { ...shown, steps, altered }
  }
}

/** A time, in ms since 1970, or the id of an event. @throws Refusal request_invalid */
function momentOf(name: string, text: string | undefined): number | string | undefined {
  return text === undefined || isEventId(text) ? text : timeOf(name, text, 1000).getTime()
}

/** @throws Refusal request_invalid where no event of the history has the id */
function historyAt(whole: TargetHistory<TargetEvent>, moment: number | string, name: string) {
  const events = whole.steps.map(({ event }) => event)
  if (typeof moment === 'number') return historyOf(whole.target, events, moment)
  const last = events.findIndex(({ id }) => id === moment)
  if (last === -1) throw new Refusal('request_invalid', `${name} is the id of no event of this history.`)
  return historyOf(whole.target, events.slice(0, last + 1))
}

/** One after the other, but for a few: what many ask for at once must not need the memory of all. */
function takeTurns() {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(task: () => Promise<T>): Promise<T> => {
    if (running >= AT_ONCE) {
      if (waiting.length >= WAITING) throw new Refusal('overloaded', 'Too many histories are asked for at once.')
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await task()
    } finally {
      // Whoever waits takes over the place of the one that ends.
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
