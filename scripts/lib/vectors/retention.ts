// Retention and erasure: events of the ledger that set a policy or end one, orders, proposals to a second person, and what policies cover.
import { erasureFields } from '../../../sdk/src/core/erasure.ts'
import { leafHash } from '../../../sdk/src/core/hash.ts'
import { type DecidedBy, proposalFields, refusalFields } from '../../../sdk/src/core/proposal.ts'
import { pruningFields } from '../../../sdk/src/core/pruning.ts'
import {
  dropFields,
  keptFrom,
  type RetentionPolicy,
  type RetentionScope,
  retentionEndFields,
  retentionFields,
} from '../../../sdk/src/core/retention.ts'

type Json = Record<string, unknown>

const said = { id: 'orders', version: 2, contentsDays: 365 }
const policy = retentionFields({ ...said, covers: { source: 'shop', stream: 'eu', action: 'order.*' } }) as Json
const dropping = retentionFields({ ...said, covers: { source: 'shop' }, eventsDays: 3_650 }) as Json
const drop = dropFields({
  ...{ id: 'orders', version: 2, size: 812, time: 1_795_000_000, events: 4_000 },
  entries: [
    [5, 5],
    [7, 9],
  ],
}) as Json
const end = retentionEndFields('orders', 2) as Json
const order = erasureFields({
  ...{ id: '0b7ad1f2-9d7a-4c58-8a2f-5a5f2f3b9a01', reason: 'expired', legalBasis: null, order: null, fields: null },
  ...{
    count: 3,
    root: leafHash(new Uint8Array([1])),
    policy: { id: 'orders', version: 2, size: 812, time: 1_795_000_000 },
    confirmed: null,
  },
}) as Json

const [root, orderedBy, confirmedBy] = [leafHash(new Uint8Array([1])), 'anna', 'ben']
const id = '0b7ad1f2-9d7a-4c58-8a2f-5a5f2f3b9a01'
const plain = { id, reason: 'request', legalBasis: null, order: 'E-1', fields: ['actor'], count: 3, root, policy: null }
const erasure = (confirmed: DecidedBy | null) => erasureFields({ ...plain, confirmed }) as Json
const confirmed = { proposal: id, orderedBy, confirmedBy }
const expires = Date.UTC(2026, 10, 28)
const proposal = proposalFields({
  ...{ id, by: orderedBy, expires },
  proposes: erasureFields({ ...plain, confirmed: null }),
}) as Json
const proposes = (proposal.metadata as Json).proposes as Json
const refusal = refusalFields({ id, by: confirmedBy, reason: 'not the person' }) as Json
const pruning = pruningFields('log.example/killick', 365) as Json

const twisted = (fields: Json, twist: Json): Json => ({
  ...fields,
  metadata: { ...(fields.metadata as Json), ...twist },
})
const good = (description: string, fields: Json) => ({ description, valid: true, fields })
const bad = (description: string, fields: Json, code = 'retention_invalid') => ({
  description,
  valid: false,
  code,
  fields,
})

const shop: RetentionPolicy = { id: 'shop', version: 1, covers: { source: 'shop' }, contentsDays: 30, eventsDays: 365 }
const beside = (twist: Partial<RetentionPolicy>): RetentionPolicy => ({ ...shop, id: 'beside', ...twist })
const kept = (
  description: string,
  { policy = shop, others = [], holds = [], stream = 'eu' }: KeptCase,
  why: string | null,
) => {
  const batch = { source: 'shop', stream }
  if (keptFrom(policy, batch, others, holds) !== why) throw new Error(description)
  return { description, policy, batch, others, holds, kept: why }
}
type KeptCase = {
  policy?: RetentionPolicy
  others?: RetentionPolicy[]
  holds?: { source?: string; stream?: string; actor?: string }[]
  stream?: string
}

const event = { source: 'shop', stream: 'eu', action: 'order.place' }
const covers = (description: string, scope: RetentionScope, covered: boolean, twist: Json = {}) => ({
  ...{ description, covers: scope, event: { ...event, ...twist }, covered },
})

export function retention() {
  return {
    policies: [
      good('a policy', policy),
      good('one over everything', twisted(policy, { covers: {} })),
      good('the end of one', end),
      bad('a scope of the ledger itself', twisted(policy, { covers: { source: 'killick' } })),
      bad('a scope that there is not', twisted(policy, { covers: { tenant: 't-1' } })),
      bad('an action of 259 characters', twisted(policy, { covers: { action: 'a'.repeat(259) } })),
      bad('no day', twisted(policy, { contentsDays: 0 })),
      bad('more than a hundred years', twisted(policy, { contentsDays: 36_501 })),
      bad('half a day more', twisted(policy, { contentsDays: 1.5 })),
      bad('no version', twisted(policy, { version: 0 })),
      bad('one member more', twisted(policy, { more: 1 })),
      bad('a name with a capital', { ...policy, targets: [{ type: 'retention', id: 'Orders' }] }),
      bad('two targets', { ...policy, targets: [...(policy.targets as Json[]), { type: 'retention', id: 'more' }] }),
      bad('an end with a scope', twisted(end, { covers: {} })),
      good('a policy that drops events', dropping),
      good('one that drops them with their contents', twisted(dropping, { eventsDays: 365 })),
      bad('events that go before their contents', twisted(dropping, { eventsDays: 364 })),
      bad('events that stay for more than a hundred years', twisted(dropping, { eventsDays: 36_501 })),
      bad('events that go after null days', twisted(dropping, { eventsDays: null })),
      bad('events of an action', twisted(dropping, { covers: { action: 'order.*' } })),
    ],
    drops: [
      good('three stretches of entries', twisted(drop, { entries: '0,5,7-9' })),
      good('one entry', twisted(drop, { entries: '5' })),
      bad('no entry', twisted(drop, { entries: '' })),
      bad('entries that fall', twisted(drop, { entries: '7,5' })),
      bad('one entry twice', twisted(drop, { entries: '5,5' })),
      bad('entries that touch', twisted(drop, { entries: '5,6' })),
      bad('a stretch of one', twisted(drop, { entries: '5-5' })),
      bad('a stretch that falls', twisted(drop, { entries: '9-7' })),
      bad('a number with a zero before it', twisted(drop, { entries: '05' })),
      bad('a number that is not exact', twisted(drop, { entries: '9007199254740993' })),
      bad('a space', twisted(drop, { entries: '5, 7-9' })),
      bad('entries as a list', twisted(drop, { entries: [5] })),
      bad(
        'too long a text',
        twisted(drop, { entries: Array.from({ length: 4_000 }, (_, i) => 10_000 + 2 * i).join() }),
      ),
      bad('no event', twisted(drop, { events: 0 })),
      bad('no anchor', twisted(drop, { size: null })),
      bad('two people', twisted(drop, { confirmed: { proposal: id, orderedBy, confirmedBy } })),
    ],
    kept: [
      kept('its source', {}, null),
      kept('a policy that keeps events', { policy: beside({ eventsDays: undefined }) }, 'uncovered'),
      kept('another stream', { policy: beside({ covers: { stream: 'us' } }) }, 'uncovered'),
      kept('everything', { policy: beside({ covers: {} }) }, null),
      kept(
        'contents that others keep as long',
        { others: [beside({ contentsDays: 365, eventsDays: undefined })] },
        null,
      ),
      kept(
        'contents that others keep longer',
        { others: [beside({ contentsDays: 366, eventsDays: undefined })] },
        'kept',
      ),
      kept('events that others keep longer', { others: [beside({ eventsDays: 366 })] }, 'kept'),
      kept(
        'some action of everything, kept longer',
        { others: [beside({ covers: { action: 'a' }, contentsDays: 366, eventsDays: undefined })] },
        'kept',
      ),
      kept('another source, kept longer', { others: [beside({ covers: { source: 'hr' }, eventsDays: 366 })] }, null),
      kept('a hold on everything', { holds: [{}] }, 'held'),
      kept('a hold on somebody', { holds: [{ actor: 'u-1' }] }, 'held'),
      kept('a hold on its stream', { holds: [{ stream: 'eu' }] }, 'held'),
      kept('a hold on another', { holds: [{ stream: 'us' }] }, null),
    ],
    orders: [
      good('an order by a policy', order),
      good('one that somebody gave', { ...order, metadata: { ...(order.metadata as Json), policy: undefined } }),
      bad('a policy that is null', twisted(order, { policy: null }), 'erasure_invalid'),
      bad('a policy without an anchor', twisted(order, { policy: { id: 'orders', version: 2 } }), 'erasure_invalid'),
    ],
    proposals: [
      good('an order that is proposed', proposal),
      good('a policy that is', twisted(proposal, { proposes: policy })),
      good('its end', twisted(proposal, { proposes: end })),
      good('a refusal', refusal),
      bad('another event', twisted(proposal, { proposes: { ...proposes, action: 'hold.lift' } }), 'proposal_invalid'),
      bad('one that is confirmed', twisted(proposal, { proposes: erasure(confirmed) }), 'proposal_invalid'),
      bad(
        'one member of it more',
        twisted(proposal, { proposes: { ...proposes, outcome: 'success' } }),
        'proposal_invalid',
      ),
      bad('a person with a capital', twisted(proposal, { by: 'Anna' }), 'proposal_invalid'),
      bad('no time', twisted(proposal, { expires }), 'proposal_invalid'),
      bad(
        'two targets',
        { ...proposal, targets: [...(proposal.targets as Json[]), { type: 'proposal', id }] },
        'proposal_invalid',
      ),
      bad('a refusal by nobody', twisted(refusal, { by: null }), 'proposal_invalid'),
    ],
    confirmed: [
      good('an order of one person', erasure(null)),
      good('an order of two', erasure(confirmed)),
      bad('one of the two', twisted(erasure(confirmed), { confirmed: { proposal: id, orderedBy } }), 'erasure_invalid'),
      bad(
        'no proposal',
        twisted(erasure(confirmed), { confirmed: { ...confirmed, proposal: 'E-1' } }),
        'erasure_invalid',
      ),
      bad('confirmed is null', twisted(erasure(confirmed), { confirmed: null }), 'erasure_invalid'),
    ],
    prunings: [
      good('after a year', pruning),
      good('never', twisted(pruning, { afterDays: null })),
      bad('no day', twisted(pruning, { afterDays: 0 }), 'pruning_invalid'),
      bad('more than a hundred years', twisted(pruning, { afterDays: 36_501 }), 'pruning_invalid'),
      bad('a member more', twisted(pruning, { more: 1 }), 'pruning_invalid'),
    ],
    covered: [
      covers('everything', {}, true),
      covers('its source', { source: 'shop' }, true),
      covers('another source', { source: 'hr' }, false),
      covers('another stream of its source', { source: 'shop', stream: 'us' }, false),
      covers('its action', { action: 'order.place' }, true),
      covers('the beginning of its action', { action: 'order.*' }, true),
      covers('a beginning without the dot', { action: 'ord.*' }, false),
      covers('an action of which it is the beginning', { action: 'order' }, false),
      covers('an action that is not shown', { action: 'order.*' }, false, { action: null }),
      covers('an event of the ledger', {}, false, { source: 'killick', stream: 'system' }),
    ],
  }
}
