import { type Static, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Refusal } from '../../errors.ts'
import { readProposal, readProposals, type StoredProposal, stateOf } from '../../ledger/registry/proposals.ts'
import { requireToken } from '../auth.ts'
import type { App, AppDeps } from '../deps.ts'
import { Hash, Nullable, PAGE_LIMIT, ProblemSchema, Time } from '../schemas.ts'

const State = Type.Union(
  [Type.Literal('waiting'), Type.Literal('confirmed'), Type.Literal('refused'), Type.Literal('lapsed')],
  { description: 'lapsed: nobody confirmed it until `expires`' },
)

export const ProposalSchema = Type.Object({
  id: Type.String({ description: 'that of an erasure is the erasure’s too' }),
  logIndex: Type.Integer({ description: 'of the event that proposes it' }),
  action: Type.String({ description: '`erasure.order`, `retention.set` or `retention.end`' }),
  target: Type.String({ description: 'id of the erasure, or name of the policy' }),
  proposes: Type.Object({}, { additionalProperties: true, description: '`metadata` of the event that is proposed' }),
  by: Type.String({ description: 'who proposed it' }),
  createdAt: Time,
  expires: Time,
  state: State,
  endedBy: Nullable(Type.String({ description: 'who confirmed or refused it' })),
  end: Nullable(Type.Integer({ description: 'log index of the event that confirms or refuses it' })),
})

/** What an order would do. */
export const DryRunSchema = Type.Object({
  ...{ events: Type.Integer(), fields: Type.Integer(), held: Type.Integer(), unreadable: Type.Integer() },
  holds: Type.Array(Type.String()),
  samples: Type.Array(
    Type.Object({
      id: Type.String(),
      leafHash: Hash,
      source: Type.String(),
      recordedAt: Time,
      fields: Type.Array(Type.String()),
    }),
  ),
})

const Id = Type.Object({ id: Type.String({ format: 'uuid' }) })

/** What one person proposed and another confirms, where erasures take two people. */
export function proposalRoutes(app: App, { ledger, tokens, secondPerson }: AppDeps): void {
  const erase = { onRequest: requireToken(tokens, 'eraser') }
  const read = { onRequest: requireToken(tokens, 'reader', 'eraser') }
  const tags = ['erasure']

  app.get(
    '/v1/proposals',
    {
      ...read,
      schema: {
        ...{ operationId: 'listProposals', tags, security: [{ reader: [] }, { eraser: [] }] },
        summary: 'What was proposed to a second person, oldest first',
        querystring: Type.Object({
          after: Type.Optional(Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })),
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: PAGE_LIMIT })),
          state: Type.Optional(State),
        }),
        response: {
          200: Type.Object({ proposals: Type.Array(ProposalSchema), next: Nullable(Type.Integer()) }),
          default: ProblemSchema,
        },
      },
    },
    async ({ query: { limit = PAGE_LIMIT, after = -1, state = null } }) => {
      const { proposals, next } = await readProposals(ledger.db, { limit, after, state, now: Date.now() })
      return { proposals: proposals.map(printProposal), next }
    },
  )

  app.get(
    '/v1/proposals/:id',
    {
      ...read,
      schema: {
        ...{ operationId: 'readProposal', tags, security: [{ reader: [] }, { eraser: [] }], params: Id },
        summary: 'One proposal, and what became of it',
        response: { 200: ProposalSchema, default: ProblemSchema },
      },
    },
    async ({ params: { id } }) => {
      const proposal = await readProposal(ledger.db, id)
      if (proposal === null) throw new Refusal('proposal_not_found')
      return printProposal(proposal)
    },
  )

  app.post(
    '/v1/proposals/:id/confirm',
    {
      ...erase,
      schema: {
        ...{ operationId: 'confirmProposal', tags, security: [{ eraser: [] }], params: Id },
        summary: 'Confirm what another person proposed: then it is carried out',
        description:
          'Never by the person who proposed it. What goes is what was listed when it was proposed; events that came later are not touched. `dryRun` changes nothing, and shows of an erasure what whoever proposed it saw: counts, holds and samples, as they are now.',
        body: Type.Object(
          { dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only show what it would do' })) },
          { additionalProperties: false },
        ),
        response: { 200: Type.Union([DryRunSchema, ProposalSchema]), default: ProblemSchema },
      },
    },
    async (request) => {
      const { id } = request.params
      const by = personOf(request)
      if (!request.body.dryRun) return printProposal(await secondPerson.confirm(id, by))
      return (await secondPerson.preview(id)) ?? printProposal((await readProposal(ledger.db, id))!)
    },
  )

  app.post(
    '/v1/proposals/:id/refuse',
    {
      ...erase,
      schema: {
        ...{ operationId: 'refuseProposal', tags, security: [{ eraser: [] }], params: Id },
        summary: 'Refuse a proposal, also one of your own: nobody can confirm it any more',
        body: Type.Object(
          { reason: Type.String({ minLength: 1, maxLength: 1024, description: 'why; it stays in the log for good' }) },
          { additionalProperties: false },
        ),
        response: { 200: ProposalSchema, default: ProblemSchema },
      },
    },
    async (request) =>
      printProposal(await secondPerson.refuse(request.params.id, personOf(request), request.body.reason)),
  )
}

/** Who asks. @throws Refusal forbidden where tokens have no names: then nothing takes a second person */
export function personOf({ person }: FastifyRequest): string {
  if (person === null) throw new Refusal('forbidden', 'This service has one token for erasures, and no second person.')
  return person
}

export function printProposal(proposal: StoredProposal): Static<typeof ProposalSchema> {
  const { id, logIndex, proposes, by, createdAt, expires, end } = proposal
  return {
    ...{
      id,
      logIndex,
      action: proposes.action,
      target: proposes.targets![0]!.id,
      by,
      createdAt: createdAt.toISOString(),
    },
    ...{ proposes: { ...proposes.metadata }, expires: new Date(expires).toISOString() },
    ...{ state: stateOf(proposal, Date.now()), endedBy: end?.by ?? null, end: end?.logIndex ?? null },
  }
}
