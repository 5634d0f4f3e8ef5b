import { Type } from '@fastify/type-provider-typebox'
import type { EventInput, HoldScope } from '@killick/sdk/core'
import { printHash } from '@killick/sdk/core'
import { liftHold, placeHold, readHolds, type StoredHold } from '../../erasure/holds.ts'
import type { Selection } from '../../erasure/select.ts'
import { Refusal } from '../../errors.ts'
import { erasedOf, readErased, readErasure, readErasures, type StoredErasure } from '../../ledger/registry/erasures.ts'
import { readProposal } from '../../ledger/registry/proposals.ts'
import { actorOf, requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { parseConditions } from '../query.ts'
import { FilterTexts, Hash, Nullable, PAGE_LIMIT, ProblemSchema, Time } from '../schemas.ts'
import { DryRunSchema, ProposalSchema, personOf, printProposal } from './proposals.ts'

const Text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description })
const Moment = Type.Optional(Type.String({ format: 'date-time' }))

const OrderSchema = Type.Object(
  {
    ...FilterTexts,
    ...{ from: Moment, to: Moment },
    ids: Type.Optional(
      Type.Array(Type.String({ maxLength: 64 }), {
        ...{ minItems: 1, maxItems: 10_000, uniqueItems: true },
        description: 'ids or leaf hashes of events, in place of a search',
      }),
    ),
    fields: Type.Union(
      [
        Type.Literal('all'),
        Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 64, uniqueItems: true }),
      ],
      {
        description: 'names of the fields that go, or `all`',
      },
    ),
    reason: Text(1024, 'why, in words; it stays in the log for good, so it must not name the person'),
    legalBasis: Type.Optional(Text(256, 'the law that it rests on')),
    order: Type.Optional(Text(256, 'number of the order')),
    id: Type.Optional(
      Type.String({
        format: 'uuid',
        description: 'of the erasure, in lower case; an order that is sent again is not made twice',
      }),
    ),
    dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only count, and show samples' })),
  },
  {
    additionalProperties: false,
    examples: [
      {
        actor: 'u-17',
        fields: ['actor', 'context'],
        reason: 'request of the person',
        legalBasis: 'GDPR Art. 17',
        dryRun: true,
      },
    ],
  },
)

export const ErasureSchema = Type.Object({
  id: Type.String(),
  logIndex: Type.Integer({ description: 'of the event that orders it' }),
  events: Type.Integer({ description: 'how many events lose fields' }),
  root: Hash,
  createdAt: Time,
  state: Type.Union([Type.Literal('open'), Type.Literal('done')]),
  end: Nullable(Type.Integer({ description: 'log index of the event that says that it was carried out' })),
  orderedBy: Nullable(Type.String({ description: 'who ordered it, where it took two people' })),
  confirmedBy: Nullable(Type.String({ description: 'who confirmed that' })),
  policy: Nullable(
    Type.Object(
      { id: Type.String(), version: Type.Integer() },
      { description: 'the retention policy by which the events have expired; null: somebody ordered it' },
    ),
  ),
})

const EntriesSchema = Type.Object({
  entries: Type.Array(Type.Object({ pos: Type.Integer(), leafHash: Hash, digests: Type.Array(Hash) })),
  next: Nullable(Type.Integer({ description: '`after` of the next page' })),
})

const MAX_LEAVES = 100
const NamedQuery = Type.Object({
  leaves: Type.String({
    ...{ minLength: 43, maxLength: 44 * MAX_LEAVES - 1, pattern: '^[A-Za-z0-9_-]{43}(,[A-Za-z0-9_-]{43})*$' },
    description: `leaf hashes of events, with commas between them; at most ${MAX_LEAVES}`,
  }),
})
const NamedSchema = Type.Object({
  named: Type.Array(
    Type.Object({
      logIndex: Type.Integer({ description: 'of the event that orders the erasure' }),
      pos: Type.Integer({ description: 'place in its list' }),
      leafHash: Hash,
      digests: Type.Array(Hash),
    }),
  ),
})

const CoversSchema = Type.Object({ ...FilterTexts, ...{ from: Moment, to: Moment } }, { additionalProperties: false })

export const HoldSchema = Type.Object({
  id: Type.String(),
  logIndex: Type.Integer({ description: 'of the event that places it' }),
  covers: CoversSchema,
  createdAt: Time,
  state: Type.Union([Type.Literal('standing'), Type.Literal('lifted')]),
  lifted: Nullable(Type.Integer({ description: 'log index of the event that lifts it' })),
})

const Page = Type.Object({
  after: Type.Optional(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: PAGE_LIMIT })),
})

const Id = Type.Object({ id: Type.String({ format: 'uuid' }) })

/** Erasures, which have a token of their own, and holds, which veto them. */
export function erasureRoutes(app: App, { ledger, tokens, erasing, secondPerson }: AppDeps): void {
  const erase = { onRequest: requireToken(tokens, 'eraser') }
  const read = { onRequest: requireToken(tokens, 'reader', 'eraser') }
  const administer = { onRequest: requireToken(tokens, 'admin') }
  const tags = ['erasure']

  app.post(
    '/v1/erasures',
    {
      ...erase,
      schema: {
        ...{ operationId: 'orderErasure', tags, security: [{ eraser: [] }], body: OrderSchema },
        summary: 'Erase fields of events for good; proofs of the rest keep holding',
        description:
          'Events are chosen by a search or by `ids`. The order is an event of the ledger’s own stream, which commits to the list of what goes; from then on it is carried out in the background. Where erasures take two people, it is a proposal (202 too), which another confirms. `dryRun` changes nothing.',
        response: {
          200: Type.Union([DryRunSchema, ErasureSchema, ProposalSchema]),
          202: Type.Union([ErasureSchema, ProposalSchema]),
          default: ProblemSchema,
        },
      },
    },
    async (request, reply) => {
      const { fields, reason, legalBasis = null, order = null, id, dryRun, ids, ...conditions } = request.body
      const selection = selectionOf(conditions, ids, fields)
      if (dryRun) return erasing.dryRun(selection)
      const said = { id, selection, reason, legalBasis, order }
      const known = await erasing.known(said)
      if (known !== null) return printErasure(known)
      if (secondPerson.isRequired) {
        const proposed = await secondPerson.known(said)
        if (proposed !== null) return printProposal(proposed)
        reply.code(202)
        return printProposal(await secondPerson.proposeErasure(said, personOf(request)))
      }
      // An order under the name of what two were to decide would be a fault of the log for good.
      if (id !== undefined && (await readProposal(ledger.db, id)) !== null) throw new Refusal('erasure_id_taken')
      const actor: EventInput['actor'] = actorOf(request)
      reply.code(202)
      return printErasure(await erasing.order(said, actor))
    },
  )

  app.get(
    '/v1/erasures',
    {
      ...read,
      schema: {
        ...{ operationId: 'listErasures', tags, security: [{ reader: [] }, { eraser: [] }], querystring: Page },
        summary: 'Erasures, oldest first',
        response: {
          200: Type.Object({ erasures: Type.Array(ErasureSchema), next: Nullable(Type.Integer()) }),
          default: ProblemSchema,
        },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, after = -1 } }) => {
      const { erasures, next } = await readErasures(ledger.db, { limit, after })
      return { erasures: erasures.map(printErasure), next }
    },
  )

  app.get(
    '/v1/erasures/named',
    {
      ...read,
      schema: {
        ...{ operationId: 'findErased', tags, security: [{ reader: [] }, { eraser: [] }], querystring: NamedQuery },
        summary: 'What erasures take of events, by their leaf hashes',
        response: { 200: NamedSchema, default: ProblemSchema },
      },
    },
    async ({ query: { leaves } }) => {
      const found = await erasedOf(ledger.db, leaves.split(','))
      const named = [...found.values()].flat().map(({ erasure, pos, leafHash, digests }) => ({
        ...{ logIndex: erasure, pos, leafHash: printHash(leafHash), digests: [...digests] },
      }))
      return { named }
    },
  )

  app.get(
    '/v1/erasures/:id',
    {
      ...read,
      schema: {
        ...{ operationId: 'readErasure', tags, security: [{ reader: [] }, { eraser: [] }], params: Id },
        summary: 'One erasure, and whether it was carried out',
        response: { 200: ErasureSchema, default: ProblemSchema },
      },
    },
    async ({ params: { id } }) => printErasure(await found(id)),
  )

  app.get(
    '/v1/erasures/:id/entries',
    {
      ...read,
      schema: {
        ...{
          operationId: 'listErased',
          tags,
          security: [{ reader: [] }, { eraser: [] }],
          params: Id,
          querystring: Page,
        },
        summary: 'Which digests of which events an erasure names, in the order of the log',
        response: { 200: EntriesSchema, default: ProblemSchema },
      },
    },
    async ({ params: { id }, query: { limit = PAGE_LIMIT, after = -1 } }) => {
      const { logIndex, count } = await found(id)
      const page = await readErased(ledger.db, logIndex, after, limit)
      const last = page.at(-1)?.pos ?? count
      return {
        entries: page.map(({ pos, leafHash, digests }) => ({
          pos,
          leafHash: printHash(leafHash),
          digests: [...digests],
        })),
        next: page.length === limit && last + 1 < count ? last : null,
      }
    },
  )

  app.post(
    '/v1/holds',
    {
      ...administer,
      schema: {
        ...{ operationId: 'placeHold', tags, security: [{ admin: [] }] },
        summary: 'Keep events as they are, those to come too, until the hold is lifted',
        body: Type.Object(
          { case: Text(256, 'number of the case'), reason: Text(1024, 'why'), covers: CoversSchema },
          { additionalProperties: false },
        ),
        response: { 201: HoldSchema, default: ProblemSchema },
      },
    },
    async (request, reply) => {
      const { case: caseNumber, reason, covers } = request.body
      const { from, to } = parseConditions(covers)
      // Whoever places it would rely on it.
      if (from !== undefined && to !== undefined && from >= to)
        throw new Refusal('request_invalid', 'The hold would cover nothing: its `to` is not behind its `from`.')
      const empty = Object.entries(covers).find(([, text]) => text === '')
      if (empty) throw new Refusal('request_invalid', `The hold would cover nothing: its \`${empty[0]}\` is empty.`)
      const { id } = await placeHold(ledger, { caseNumber, reason, covers: covers as HoldScope }, actorOf(request))
      reply.code(201)
      return printHold((await readHolds(ledger.db, 'all')).find((hold) => hold.id === id)!)
    },
  )

  app.get(
    '/v1/holds',
    {
      ...read,
      schema: {
        ...{ operationId: 'listHolds', tags, security: [{ reader: [] }, { eraser: [] }] },
        summary: 'Holds, oldest first, lifted ones too',
        response: { 200: Type.Object({ holds: Type.Array(HoldSchema) }), default: ProblemSchema },
      },
    },
    async () => ({ holds: (await readHolds(ledger.db, 'all')).map(printHold) }),
  )

  app.delete(
    '/v1/holds/:id',
    {
      ...administer,
      schema: {
        ...{ operationId: 'liftHold', tags, security: [{ admin: [] }], params: Id },
        summary: 'Lift a hold',
        querystring: Type.Object({ reason: Text(1024, 'why') }),
        response: { 200: HoldSchema, default: ProblemSchema },
      },
    },
    async (request) => {
      const { id } = request.params
      await liftHold(ledger, id, request.query.reason, actorOf(request))
      return printHold((await readHolds(ledger.db, 'all')).find((hold) => hold.id === id)!)
    },
  )

  async function found(id: string): Promise<StoredErasure> {
    const erasure = await readErasure(ledger.db, id)
    if (erasure === null) throw new Refusal('erasure_not_found')
    return erasure
  }
}

function selectionOf(
  conditions: Parameters<typeof parseConditions>[0],
  ids: string[] | undefined,
  fields: 'all' | string[],
): Selection {
  const isSearch = Object.keys(conditions).length > 0
  if (isSearch === (ids !== undefined))
    throw new Refusal(
      'request_invalid',
      'Name events by a search (actor, target, source …) or by ids, and not by both.',
    )
  return { conditions: parseConditions(conditions), ids: ids ?? null, fields: fields === 'all' ? null : fields }
}

const printErasure = ({ id, logIndex, count, root, createdAt, end, policy, confirmed }: StoredErasure) => ({
  ...{ id, logIndex, events: count, root: printHash(root), createdAt: createdAt.toISOString() },
  ...{ state: end === null ? ('open' as const) : ('done' as const), end, policy },
  ...{ orderedBy: confirmed?.orderedBy ?? null, confirmedBy: confirmed?.confirmedBy ?? null },
})

const printHold = ({ id, logIndex, covers, createdAt, lifted }: StoredHold) => ({
  ...{ id, logIndex, covers, createdAt: createdAt.toISOString() },
  ...{ state: lifted === null ? ('standing' as const) : ('lifted' as const), lifted },
})
