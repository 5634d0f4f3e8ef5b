/**
 * What one person orders and another confirms: erasures, and what retention policies let expire. A proposal is an event of the log that holds
 * the very event it proposes; nothing is erased by it. DecidedBy in time by somebody else, that event is recorded, and names both.
 */
import { randomUUID } from 'node:crypto'
import {
  type ErasedEvent,
  equalBytes,
  erasedLeaf,
  erasureFields,
  type JsonObject,
  type Proposed,
  parseHash,
  proposalFields,
  type RetentionPolicy,
  refusalFields,
  retentionEndFields,
  retentionFields,
  treeRoot,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { AlreadyRecorded } from '../ledger/registry/erasures.ts'
import {
  insertProposal,
  insertProposalEnd,
  readProposal,
  readProposed,
  readProposedEvent,
  type StoredProposal,
  stateOf,
} from '../ledger/registry/proposals.ts'
import { RegistryAltered } from '../ledger/registry/registrations.ts'
import type { DryRun, Erasing, Order } from './erasing.ts'
import { lockHolds } from './holds.ts'
import { endPolicy, nextVersion, recordPolicy, type StoredPolicy, standingPolicy } from './policies.ts'
import { refuseOther } from './same-order.ts'

export type SecondPerson = {
  /** Whether one person is not enough. */
  isRequired: boolean
  /** The proposal that was made under an order's id; null: none was. @throws Refusal erasure_id_taken, if that is of another order */
  known(order: Order): Promise<StoredProposal | null>
  /** Proposes an erasure. One that is sent again under its id is not made twice. @throws Refusal as an order does */
  proposeErasure(order: Order, by: string): Promise<StoredProposal>
  /** Proposes a version of a policy. @returns the policy, if it stands and says the same */
  proposePolicy(policy: Omit<RetentionPolicy, 'version'>, by: string): Promise<StoredProposal | StoredPolicy>
  /** Proposes the end of a policy. @throws Refusal retention_not_found */
  proposeEnd(policy: string, by: string): Promise<StoredProposal>
  /** What a proposed erasure would do now; null for a policy. @throws Refusal proposal_not_found | proposal_ended | proposal_altered */
  preview(id: string): Promise<DryRun | null>
  /**
   * Confirms a proposal of somebody else, and begins to carry it out. Sent again by the same person, it is made once.
   * @throws Refusal proposal_not_found | proposal_ended | proposal_altered | second_person_required, and as an order does
   */
  confirm(id: string, by: string): Promise<StoredProposal>
  /** Refuses a proposal; whoever made it may do so too. @throws Refusal proposal_not_found | proposal_ended */
  refuse(id: string, by: string, reason: string): Promise<StoredProposal>
}

export type SecondPersonDeps = {
  ledger: Ledger
  erasing: Pick<Erasing, 'prepare' | 'preview' | 'confirm'>
  /** Whether there are people with names; else nothing is proposed. */
  isRequired: boolean
  /** How long a proposal may wait, ms. */
  limitMs: number
}

const PAGE = 2000

export function askSecondPerson({ ledger, erasing, isRequired, limitMs }: SecondPersonDeps): SecondPerson {
  const pool = ledger.db
  const actorOf = (by: string) => ({ type: 'eraser', id: by })

  async function propose(
    { id, proposes }: { id: string; proposes: Proposed },
    by: string,
    list: readonly (ErasedEvent & { number: number })[] = [],
  ): Promise<StoredProposal> {
    const proposal = { id, by, expires: Date.now() + limitMs, proposes }
    await ledger
      .record({ actor: actorOf(by), ...proposalFields(proposal) }, (db, logIndex) =>
        insertProposal(db, logIndex, proposal, list),
      )
      .catch((error) => {
        if (!(error instanceof AlreadyRecorded)) throw error
      })
    return found(id)
  }

  async function found(id: string): Promise<StoredProposal> {
    const proposal = await readProposal(pool, id)
    if (proposal === null) throw new Refusal('proposal_not_found')
    return proposal
  }

  /** The proposal by its event in the log, and what it would take. @throws Refusal proposal_altered */
  async function read(proposal: StoredProposal) {
    const said = await readProposedEvent(pool, proposal).catch((error) => {
      throw error instanceof RegistryAltered ? new Refusal('proposal_altered', error.message) : error
    })
    const list: (ErasedEvent & { number: number })[] = []
    for (let page = await readProposed(pool, proposal.logIndex, -1, PAGE); page.length > 0; ) {
      list.push(...page.map(({ number, leafHash, digests }) => ({ number, leafHash, digests })))
      page = await readProposed(pool, proposal.logIndex, page.at(-1)!.pos, PAGE)
    }
    const { root = null } = said.proposes.metadata as JsonObject
    const wanted = said.proposes.action === 'erasure.order' ? parseHash(root) : null
    if (wanted !== null && !equalBytes(treeRoot(list.map(erasedLeaf)), wanted)) throw new Refusal('proposal_altered')
    return { said, list }
  }

  async function known({ id, ...order }: Order): Promise<StoredProposal | null> {
    const proposal = id === undefined ? null : await readProposal(pool, id)
    if (proposal === null) return null
    const { said, list } = await read(proposal)
    if (said.proposes.action !== 'erasure.order') throw new Refusal('erasure_id_taken')
    const { metadata } = said.proposes as unknown as Said & { action: 'erasure.order' }
    await refuseOther(pool, { ...metadata, list }, order)
    return proposal
  }

  function refuseEnded(proposal: StoredProposal): void {
    const state = stateOf(proposal, Date.now())
    if (state !== 'waiting') throw new Refusal('proposal_ended', `The proposal was ${ENDED[state]}.`, { state })
  }

  /** Ends a proposal, in the transaction of the event that says so, under the lock under which holds and policies change. */
  async function settle(db: Db, logIndex: number, { id, by, isConfirmed }: Parameters<typeof insertProposalEnd>[2]) {
    await lockHolds(db)
    refuseEnded((await readProposal(db, id))!)
    if (!(await insertProposalEnd(db, logIndex, { id, by, isConfirmed }))) throw new Refusal('proposal_ended')
  }

  async function confirm(proposal: StoredProposal, by: string): Promise<void> {
    const { id } = proposal
    const { said, list } = await read(proposal)
    if (said.by === by) throw new Refusal('second_person_required')
    refuseEnded({ ...proposal, expires: said.expires })
    const confirmed = { proposal: id, orderedBy: said.by, confirmedBy: by }
    const confirming = {
      confirmed,
      settle(db: Db, logIndex: number) {
        refuseEnded({ ...proposal, expires: said.expires })
        return settle(db, logIndex, { id, by, isConfirmed: true })
      },
    }
    const { action, targets, metadata } = said.proposes as unknown as Said
    const [{ id: about }] = targets
    if (action === 'erasure.order') {
      const { reason, legalBasis, order, fields } = metadata
      await erasing.confirm(
        { id: about, reason, legalBasis, order, fields, confirmed },
        list,
        actorOf(by),
        confirming.settle,
      )
    } else if (action === 'retention.set') {
      const { version, covers, contentsDays, eventsDays } = metadata
      await recordPolicy(
        ledger,
        { id: about, version, covers, contentsDays, eventsDays },
        actorOf(by),
        confirming,
      ).catch((error) => {
        throw isChanged(error) ? outdated() : error
      })
    } else {
      const { version } = await standingPolicy(pool, about)
      if (version !== metadata.version) throw outdated()
      await endPolicy(ledger, about, actorOf(by), confirming)
    }
  }

  return {
    isRequired,
    known,
    async proposeErasure(order, by) {
      const before = await known(order)
      if (before !== null) return before
      const { erasure, list } = await erasing.prepare(order)
      await propose({ id: erasure.id, proposes: erasureFields(erasure) }, by, list)
      // It may have come twice at once.
      return (await known({ ...order, id: erasure.id }))!
    },
    async proposePolicy(policy, by) {
      const next = await nextVersion(pool, policy)
      return next.isSame ? next.policy : propose({ id: randomUUID(), proposes: retentionFields(next.policy) }, by)
    },
    async proposeEnd(policy, by) {
      const { version } = await standingPolicy(pool, policy)
      return propose({ id: randomUUID(), proposes: retentionEndFields(policy, version) }, by)
    },
    async preview(id) {
      const proposal = await found(id)
      const { said, list } = await read(proposal)
      refuseEnded({ ...proposal, expires: said.expires })
      return said.proposes.action === 'erasure.order' ? erasing.preview(list) : null
    },
    async confirm(id, by) {
      const proposal = await found(id)
      if (isConfirmedBy(proposal, by)) return proposal
      await confirm(proposal, by).catch(async (error) => {
        // It may have come twice at once.
        if (!(error instanceof Refusal && isConfirmedBy(await found(id), by))) throw error
      })
      return found(id)
    },
    async refuse(id, by, reason) {
      refuseEnded(await found(id))
      await ledger.record({ actor: actorOf(by), ...refusalFields({ id, by, reason }) }, (db, logIndex) =>
        settle(db, logIndex, { id, by, isConfirmed: false }),
      )
      return found(id)
    },
  }
}

const isConfirmedBy = ({ end }: StoredProposal, by: string): boolean => end?.isConfirmed === true && end.by === by

const isChanged = (error: unknown): boolean => error instanceof Refusal && error.code === 'retention_changed'

/** Asking again would not help: it proposes the next version of what has another by now. */
const outdated = (): Refusal =>
  new Refusal(
    'retention_changed',
    'The policy was set or ended after this was proposed. Refuse this proposal, and propose anew.',
  )

const ENDED = { confirmed: 'confirmed already', refused: 'refused', lapsed: 'not confirmed in time' } as const

/** The three events that are proposed: each is made by this service, and the log holds it. */
type Said = { targets: [{ id: string }] } & (
  | {
      action: 'erasure.order'
      metadata: { reason: string; legalBasis: string | null; order: string | null; fields: string[] | null }
    }
  | { action: 'retention.set'; metadata: Omit<RetentionPolicy, 'id'> }
  | { action: 'retention.end'; metadata: { version: number } }
)
