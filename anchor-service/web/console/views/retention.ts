/** What goes and what must stay: proposals that wait for a second person, policies, holds, and what was erased. */
import { isObject, type JsonObject } from '@killick/sdk/core'
import type { ErasureAnswer, HoldAnswer, ProposalAnswer, RetentionAnswer } from '../../../src/http/answers.ts'
import { type Child, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'
import { api } from '../api.ts'
import { count, empty, labelled, moreButton, row, table, view, when } from '../parts.ts'

const WAITING_HEADS = ['Ends (UTC)', 'What', 'Proposed by', 'To confirm', 'In the log']
const POLICY_HEADS = ['Policy', 'Covers', 'Contents go', 'Events go', 'Gone so far', 'Held', 'In the log']
const HOLD_HEADS = ['Since (UTC)', 'State', 'Covers', 'In the log']
const ERASURE_HEADS = ['Ordered (UTC)', 'State', 'Events', 'By', 'In the log']

type Page<Name extends string, Row> = { readonly [name in Name]: Row[] } & { next: number | null }

/** Proposals that wait for a second person; with `next`, there are more. */
export const readWaiting = (): Promise<Page<'proposals', ProposalAnswer>> => api('/v1/proposals?state=waiting')

export async function retention(): Promise<HTMLElement> {
  const [waiting, policies, { holds }, erasures] = await Promise.all([
    readWaiting(),
    api<RetentionAnswer>('/v1/retention'),
    api<{ holds: HoldAnswer[] }>('/v1/holds'),
    api<Page<'erasures', ErasureAnswer>>('/v1/erasures'),
  ])
  return view(
    'Retention',
    h(
      'p',
      { class: 'note' },
      'What goes leaves its hashes in the log: each order, policy and hold is an event there, and audits hold what is gone against these. What stands below is the service’s word.',
    ),
    ...proposed(waiting),
    ...standing(policies),
    ...held(holds),
    ...erased(erasures),
  )
}

/** What the log tells of something, by the id that its events name as their target. */
const told = (id: string): HTMLElement =>
  h('a', { href: `#/events?${new URLSearchParams({ target: id, own: '1' })}` }, 'its events')

const coveredBy = (covers: object): Child =>
  said(
    Object.entries(covers)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ') || 'everything',
  )

const days = (n: number): string => `after ${n === 1 ? '1 day' : `${count(n)} days`}`

function proposed({ proposals, next }: Page<'proposals', ProposalAnswer>): Child[] {
  if (proposals.length === 0) return []
  const line = (one: ProposalAnswer) =>
    labelled(
      WAITING_HEADS,
      row(
        when(one.expires),
        about(one),
        said(one.by),
        h('code', {}, `killick erase --confirm ${one.id}`),
        told(one.id),
      ),
    )
  const rows = table(WAITING_HEADS, proposals.map(line), 'Proposals')
  return [
    h('h2', {}, 'Waiting for a second person'),
    h('p', { class: 'caveat' }, 'Nothing of this happens unless somebody else confirms it in time.'),
    rows,
    moreButton('More proposals', asCursor(next), async (after) => {
      const page = await api<Page<'proposals', ProposalAnswer>>(`/v1/proposals?state=waiting&after=${after}`)
      rows.querySelector('tbody')!.append(...page.proposals.map(line))
      return asCursor(page.next)
    }),
  ]
}

/** What a proposal proposes, in the words of who made it where these say more. */
function about({ action, target, proposes }: ProposalAnswer): Child {
  const { fields, count: events, reason, covers, contentsDays, eventsDays } = proposes as JsonObject
  if (action === 'retention.end') return h('span', {}, 'to end the policy ', said(target))
  if (action === 'retention.set') {
    const drop = typeof eventsDays === 'number' ? `, events ${days(eventsDays)}` : ''
    const which = h('span', { class: 'note below' }, coveredBy(isObject(covers) ? covers : {}))
    return h('span', {}, 'the policy ', said(target), `: contents go ${days(Number(contentsDays))}${drop}`, which)
  }
  const names = Array.isArray(fields) ? fields.join(', ') : 'all fields'
  return h(
    'span',
    {},
    'to erase ',
    said(names),
    ` of ${plural(Number(events), 'event')}`,
    h('span', { class: 'note below' }, said(String(reason))),
  )
}

function standing({ policies, clock }: RetentionAnswer): Child[] {
  return [
    h('h2', {}, 'Policies'),
    policies.length > 0 &&
      h(
        'p',
        { class: 'note' },
        ...(clock === null
          ? ['Nothing is anchored for good yet, so nothing expires.']
          : ['How old an event is, anchors say; the newest that is final is of ', when(clock.time), ' UTC.']),
      ),
    policies.length === 0
      ? empty('No policy is set.', 'Contents stay until somebody orders that they go. To set how long they stay:', SET)
      : table(
          POLICY_HEADS,
          policies.map((policy) => labelled(POLICY_HEADS, policyRow(policy))),
          'Policies',
        ),
  ]
}

const SET = 'npx -p @killick/sdk killick retention --set orders --source shop --days 365 --dry-run'

function policyRow(policy: RetentionAnswer['policies'][number]): HTMLElement {
  const { id, version, covers, contentsDays, eventsDays, state, expired, held, dropped, dropHeld } = policy
  const gone = [`${plural(expired, 'event')} expired`, ...(dropped > 0 ? [`${count(dropped)} dropped`] : [])]
  return row(
    h(
      'span',
      {},
      said(id),
      h('span', { class: 'note below' }, `version ${version}${state === 'ended' ? ', ended' : ''}`),
    ),
    coveredBy(covers),
    days(contentsDays),
    eventsDays === null ? 'never' : days(eventsDays),
    gone.join(', '),
    // Only the process that carries policies out knows.
    held === null ? h('span', { class: 'note' }, 'not known here') : count(held + (dropHeld ?? 0)),
    told(id),
  )
}

function held(holds: readonly HoldAnswer[]): Child[] {
  // Those that stand first; of each kind, the newest first.
  const inOrder = holds.toReversed().toSorted((a, b) => Number(a.state === 'lifted') - Number(b.state === 'lifted'))
  return [
    h('h2', {}, 'Holds'),
    holds.length === 0
      ? empty('No hold is placed.', 'What a hold covers is neither erased nor does it expire, until it is lifted.')
      : table(
          HOLD_HEADS,
          inOrder.map(({ id, createdAt, state, covers }) =>
            labelled(
              HOLD_HEADS,
              row(
                when(createdAt),
                h('span', { class: `state ${state === 'standing' ? 'open' : 'expired'}` }, state),
                coveredBy(covers),
                told(id),
              ),
            ),
          ),
          'Holds',
        ),
  ]
}

function erased({ erasures, next }: Page<'erasures', ErasureAnswer>): Child[] {
  const rows = table(ERASURE_HEADS, erasures.map(erasureRow), 'Erasures')
  return [
    h('h2', {}, 'Erasures, oldest first'),
    erasures.length === 0
      ? empty(
          'Nothing was erased.',
          'An order names fields of events, why they go and by what law; so does each pass of a policy.',
        )
      : rows,
    moreButton('Later erasures', asCursor(next), async (after) => {
      const page = await api<Page<'erasures', ErasureAnswer>>(`/v1/erasures?after=${after}`)
      rows.querySelector('tbody')!.append(...page.erasures.map(erasureRow))
      return asCursor(page.next)
    }),
  ]
}

function erasureRow({ id, createdAt, state, events, policy, orderedBy, confirmedBy }: ErasureAnswer): HTMLElement {
  const by =
    policy !== null
      ? ['policy ', said(policy.id), `, version ${policy.version}`]
      : orderedBy === null
        ? ['an order']
        : [said(orderedBy), ', confirmed by ', said(confirmedBy ?? '?')]
  return labelled(
    ERASURE_HEADS,
    row(
      when(createdAt),
      h('span', { class: `state ${state === 'done' ? '' : 'expired'}` }, state === 'done' ? 'done' : 'under way'),
      count(events),
      h('span', {}, ...by),
      told(id),
    ),
  )
}

const asCursor = (next: number | null): string | null => (next === null ? null : String(next))
