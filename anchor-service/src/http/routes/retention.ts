import { type Static, Type } from '@fastify/type-provider-typebox'
import { isRetentionScope, MAX_RETENTION_DAYS, printHash, SYSTEM } from '@killick/sdk/core'
import { endPolicy, readClock, readPolicies, type StoredPolicy, setPolicy } from '../../erasure/policies.ts'
import { Refusal } from '../../errors.ts'
import { readDropped, readDrops } from '../../ledger/registry/drops.ts'
import { readExpired } from '../../ledger/registry/erasures.ts'
import { actorOf, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { Hash, Nullable, ProblemSchema, Time } from '../schemas.ts'
import { ProposalSchema, personOf, printProposal } from './proposals.ts'

const Text = (maxLength: number, description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength, description }))

const ScopeSchema = Type.Object(
  {
    source: Text(64, 'source; never the ledger itself'),
    stream: Text(64, 'stream, of any source'),
    action: Text(258, 'action, or `invoice.*`: every action that begins with `invoice.`'),
  },
  { additionalProperties: false, description: 'events that meet all of these; `{}`: every event but the ledger’s own' },
)

const PolicyBody = Type.Object(
  {
    covers: ScopeSchema,
    contentsDays: Type.Integer({
      ...{ minimum: 1, maximum: MAX_RETENTION_DAYS },
      description: 'after how many days contents go, by the block times of anchors',
    }),
    eventsDays: Type.Optional(
      Nullable(
        Type.Integer({
          ...{ minimum: 1, maximum: MAX_RETENTION_DAYS },
          description:
            'after how many days the events go too, batch by batch, at least as many as `contentsDays`, and only where `covers` has no `action`; null, as at first: they stay',
        }),
      ),
    ),
    dryRun: Type.Optional(
      Type.Boolean({ default: false, description: 'only count what would expire now, and show samples' }),
    ),
  },
  { additionalProperties: false, examples: [{ covers: { source: 'shop' }, contentsDays: 365, dryRun: true }] },
)

const PolicySchema = Type.Object({
  id: Type.String(),
  version: Type.Integer(),
  covers: ScopeSchema,
  contentsDays: Type.Integer(),
  eventsDays: Nullable(Type.Integer()),
  logIndex: Type.Integer({ description: 'of the event that sets this version' }),
  createdAt: Time,
  state: Type.Union([Type.Literal('standing'), Type.Literal('ended')]),
  ended: Nullable(Type.Integer({ description: 'log index of the event that ends it' })),
  expired: Type.Integer({
    description: 'how many events have expired by any version of it, those included that are under way',
  }),
  due: Nullable(
    Type.Integer({
      description:
        'events that are due and were not taken up by the last pass; null: more than it could look at, or this process made none',
    }),
  ),
  held: Nullable(
    Type.Integer({ description: 'events that are due and held, as of the last pass; null: this process made none' }),
  ),
  dropped: Type.Integer({ description: 'how many events were dropped by any version of it' }),
  dropHeld: Nullable(
    Type.Integer({
      description: 'events that are due to be dropped and held, as of the last pass; null: this process made none',
    }),
  ),
})

const DropsSchema = Type.Object({
  drops: Type.Array(
    Type.Object({
      logIndex: Type.Integer({ description: 'of the event that says so' }),
      policy: Type.String(),
      version: Type.Integer(),
      entries: Type.String({
        description: 'log entries of the batches: `5`, or `7-9` for 7, 8 and 9, joined by commas',
      }),
      events: Type.Integer({ description: 'how many events they have' }),
      at: Time,
    }),
  ),
  next: Nullable(Type.Integer({ description: '`from` of the next page' })),
})

export const RetentionSchema = Type.Object({
  policies: Type.Array(PolicySchema),
  clock: Nullable(
    Type.Object(
      { size: Type.Integer(), time: Time },
      {
        description: 'the newest final anchor, by which events are old; null: nothing is anchored, and nothing expires',
      },
    ),
  ),
  lastPass: Nullable(
    Type.Object({ at: Time }, { description: 'when this process last looked; null: it did not, or another does' }),
  ),
})

const DryRunSchema = Type.Object({
  events: Type.Integer({ description: 'how many would expire now, of those that were looked at' }),
  fields: Type.Integer(),
  held: Type.Integer(),
  isWhole: Type.Boolean({ description: 'false: there is more than was looked at' }),
  samples: Type.Array(Type.Object({ leafHash: Hash, fields: Type.Integer() })),
  drop: Type.Object(
    { events: Type.Integer(), held: Type.Integer(), isWhole: Type.Boolean() },
    { description: 'how many events are old enough to be dropped, once their contents have expired' },
  ),
})

const Id = Type.Object({ id: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,63}$' }) })
const SAMPLES = 10
const DROPS_LIMIT = 100

/** Retention policies, which are set and ended with the eraser's token. */
export function retentionRoutes(app: App, { ledger, tokens, expiring, secondPerson }: AppDeps): void {
  const erase = { onRequest: requireToken(tokens, 'eraser') }
  const read = { onRequest: requireToken(tokens, 'reader', 'eraser') }
  const tags = ['erasure']

  app.get(
    '/v1/retention',
    {
      ...read,
      schema: {
        ...{ operationId: 'readRetention', tags, security: [{ reader: [] }, { eraser: [] }] },
        summary: 'Retention policies, what has expired by them, and what is held',
        response: { 200: RetentionSchema, default: ProblemSchema },
      },
    },
    async () => {
      const { lastPass } = expiring.status()
      const clock = await readClock(ledger.db)
      const policies = await readPolicies(ledger.db, 'all')
      return {
        policies: await Promise.all(policies.map(printPolicy)),
        clock: clock && { size: clock.size, time: new Date(1000 * clock.time).toISOString() },
        lastPass: lastPass && { at: lastPass.toISOString() },
      }
    },
  )

  app.get(
    '/v1/retention/drops',
    {
      ...read,
      schema: {
        ...{ operationId: 'listDrops', tags, security: [{ reader: [] }, { eraser: [] }] },
        summary: 'Batches whose events policies have dropped, oldest first',
        querystring: Type.Object(
          {
            from: Type.Optional(
              Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0, description: 'log index' }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: DropsSchema, default: ProblemSchema },
      },
    },
    async ({ query: { from = 0 } }) => {
      const { drops, next } = await readDrops(ledger.db, { from, limit: DROPS_LIMIT })
      return { drops: drops.map(({ createdAt, ...drop }) => ({ ...drop, at: createdAt.toISOString() })), next }
    },
  )

  app.put(
    '/v1/retention/policies/:id',
    {
      ...erase,
      schema: {
        ...{ operationId: 'setRetentionPolicy', tags, security: [{ eraser: [] }], params: Id, body: PolicyBody },
        summary: 'Set a retention policy, or its next version',
        description:
          'After so many days the contents of the events that it covers go, but for `action`; proofs keep holding. With `eventsDays` the events go too, after more days: leaf hashes stay. Where several policies cover an event, the longest keeps it. What says the same as the version that stands makes no new one. Where erasures take two people, it is a proposal (202), which another confirms. `dryRun` changes nothing.',
        response: { 200: Type.Union([DryRunSchema, PolicySchema]), 202: ProposalSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { covers, contentsDays, eventsDays, dryRun } = request.body
      if (covers.source === SYSTEM.source)
        throw new Refusal(
          'request_invalid',
          'The ledger’s own events never expire: they say what became of the others.',
        )
      if (!isRetentionScope(covers)) throw new Refusal('request_invalid', '`covers` names no source, stream or action.')
      if (typeof eventsDays === 'number') {
        if (eventsDays < contentsDays)
          throw new Refusal(
            'request_invalid',
            '`eventsDays` is less than `contentsDays`: contents go before events do.',
          )
        if (covers.action !== undefined)
          throw new Refusal(
            'request_invalid',
            'Events go a batch at a time, and `covers` has an `action`: nobody could tell later that the batch had no other.',
          )
      }
      const said = { id, covers, contentsDays, ...(typeof eventsDays === 'number' && { eventsDays }) }
      if (!dryRun && secondPerson.isRequired) {
        const made = await secondPerson.proposePolicy(said, personOf(request))
        if (!('proposes' in made)) return printPolicy(made)
        return reply.code(202).send(printProposal(made))
      }
      if (!dryRun) return printPolicy(await setPolicy(ledger, said, actorOf(request)))
      const { list, held, next, drop } = await expiring.dryRun(said)
      return {
        ...{ events: list.length, fields: list.reduce((sum, { digests }) => sum + digests.length, 0) },
        ...{ held, isWhole: next === null, drop },
        samples: list
          .slice(0, SAMPLES)
          .map(({ leafHash, digests }) => ({ leafHash: printHash(leafHash), fields: digests.length })),
      }
    },
  )

  app.delete(
    '/v1/retention/policies/:id',
    {
      ...erase,
      schema: {
        ...{ operationId: 'endRetentionPolicy', tags, security: [{ eraser: [] }], params: Id },
        summary: 'End a retention policy; what has expired stays so',
        description:
          'Where erasures take two people, it is a proposal (202): what a longer policy kept may expire by a shorter one.',
        response: { 200: PolicySchema, 202: ProposalSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      if (!secondPerson.isRequired) return printPolicy(await endPolicy(ledger, id, actorOf(request)))
      return reply.code(202).send(printProposal(await secondPerson.proposeEnd(id, personOf(request))))
    },
  )

  async function printPolicy(policy: StoredPolicy): Promise<Static<typeof PolicySchema>> {
    const { id, version, covers, contentsDays, eventsDays = null, logIndex, createdAt, ended } = policy
    const { due = null, held = null, dropHeld = null } = expiring.status().policies.get(id) ?? {}
    return {
      ...{ id, version, covers, contentsDays, eventsDays, logIndex, createdAt: createdAt.toISOString() },
      ...{ state: ended === null ? 'standing' : 'ended', ended, expired: await readExpired(ledger.db, id), due, held },
      ...{ dropped: await readDropped(ledger.db, id), dropHeld },
    }
  }
}
