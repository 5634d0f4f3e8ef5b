/** One event: what it says in a sentence, what changed, its neighbours in the stream, its proof, and a form to share it. */
import { isHeld, type JsonObject, type Party } from '@killick/sdk/core'
import { sessionOf } from '@killick/sdk/words'
import type { HoldAnswer, MadeShareAnswer } from '../../../src/http/answers.ts'
import { type Child, copyable, h } from '../../shared/dom.ts'
import { packFragment } from '../../shared/fragment.ts'
import { isUndone, type Outcome } from '../../shared/outcome.ts'
import { changes, tree } from '../../shared/record.ts'
import { said } from '../../shared/text.ts'
import { folded, MANY, outcomeMark } from '../../shared/verdict.ts'
import { plural } from '../../shared/words.ts'
import { type AlteredEvent, api, apiText, type ListedEvent, type ReadableEvent } from '../api.ts'
import {
  count,
  EVENT_HEADS,
  empty,
  endingOf,
  eventRow,
  faultOf,
  hrefOfHistory,
  isDropped,
  isSealed,
  list,
  sending,
  table,
  view,
  when,
} from '../parts.ts'

export async function event([source, stream, seq]: readonly string[]): Promise<HTMLElement> {
  const path = `/v1/streams/${source}/${stream}/events?seq=${seq}`
  const { events } = await api<{ events: ListedEvent[] }>(path)
  const current = events.find((candidate) => candidate.seq === Number(seq))
  if (current === undefined) {
    // Streams have no gaps: what comes before an event that is there was accepted. Half a place is none.
    const wasThere = /^\d+$/.test(seq!) && events.some((other) => (other.seq ?? -1) > Number(seq))
    return wasThere
      ? view('Event', gone(Number(seq)), ...neighbours(events, null))
      : view(
          'Event',
          empty(
            'There is no such event.',
            'It may not have been accepted yet, or somebody has taken it out of the database: then the audit fails.',
          ),
        )
  }
  if (current.error) return view('Event', altered(current), ...neighbours(events, current))
  const session = sessionOf(current)
  const { action: _, actor, targets, outcome: __, occurredAt, changes: changed, ...others } = current.fields
  return view(
    sentence(current),
    list({
      Outcome: outcomeMark(endingOf(current)),
      Who: actor ? timeline('actor', actor) : note('not held'),
      'To what': targets ? timelines(targets) : note('not held'),
      Recorded: h('span', {}, when(current.recordedAt), ' UTC'),
      'Said to be of':
        occurredAt !== undefined && h('span', {}, when(String(occurredAt)), note(', as the source says')),
      Source: h(
        'span',
        {},
        found({ source: current.source }, said(current.source)),
        ', stream ',
        found({ source: current.source, stream: current.stream }, said(current.stream)),
        `, number ${count(current.seq)}`,
      ),
      Session: session !== null && h('a', { href: `#/sessions/${encodeURIComponent(session)}` }, said(session)),
      Held: await holdsOf(current),
      Proof: await proofOf(current),
    }),
    lost(current),
    erasedNote(current),
    ...(changed === undefined
      ? []
      : [h('h2', {}, isUndone(endingOf(current)) ? 'What was to change' : 'What changed'), changes(changed)]),
    ...Object.entries(others).flatMap(([name, value]) => [
      h('h2', {}, said(TITLES[name] ?? name)),
      tree(value as Parameters<typeof tree>[0]),
    ]),
    h('h2', {}, 'In the log'),
    list({
      Id: copyable(current.id, 'id'),
      'Leaf hash': copyable(current.leafHash, 'leaf hash'),
      'Log entry': count(current.logIndex),
    }),
    folded('The event as JSON', () => h('pre', { tabindex: 0 }, ascii(current))),
    ...neighbours(events, current),
    h('h2', {}, 'Share'),
    shareForm(current),
  )
}

const TITLES: { readonly [field: string]: string } = { context: 'Circumstances', metadata: 'More' }
const note = (text: string) => h('span', { class: 'note' }, text)

/** JSON in ASCII alone: nothing in it can reorder or hide what is shown. */
const ascii = (shown: ReadableEvent): string =>
  JSON.stringify({ ...shown, token: undefined }, null, 2).replace(
    /[^\x20-\x7e\n]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

/** A link to what else has this in common. */
const found = (terms: Record<string, string>, ...label: Child[]): HTMLElement =>
  h('a', { href: `#/events?${new URLSearchParams(terms)}` }, ...label)

/** Somebody or something, as a link to all that they did or that was done to it. */
function timeline(kind: 'actor' | 'target', party: Party): HTMLElement {
  const { type, id, name, email } = party
  if (isSealed(party))
    return h(
      'span',
      {},
      'name sealed: only who holds key ',
      found({ [kind]: id }, said(id)),
      ' can read it, unless it was erased',
    )
  const rest = [email, name === undefined ? undefined : `${type} ${id}`].filter((text) => typeof text === 'string')
  return h(
    'span',
    {},
    found({ [kind]: id }, ...(name === undefined ? [said(type), ' ', said(id)] : [said(name)])),
    ...rest.flatMap((text) => [h('span', { class: 'note' }, ', ', said(text))]),
  )
}

const historyLink = (target: Party) => h('a', { class: 'note', href: hrefOfHistory(target) }, 'its history')

function timelines(targets: readonly Party[]): HTMLElement {
  if (targets.length === 0) return note('nothing')
  const all = (some: readonly Party[]) =>
    h(
      'ul',
      { class: 'plain' },
      ...some.map((target) => h('li', {}, timeline('target', target), ' ', historyLink(target))),
    )
  const rest = targets.slice(MANY)
  return h(
    'div',
    {},
    all(targets.slice(0, MANY)),
    rest.length > 0 && folded(`${count(rest.length)} more`, () => all(rest)),
  )
}

/** How a sentence about it begins and ends, so that nobody takes what was refused for what was done. */
const ENDINGS: Record<Outcome, readonly [verb: string, end: string]> = {
  success: ['did', ''],
  none: ['did', ''],
  failure: ['tried', ', and it failed'],
  denied: ['tried', ', and was denied'],
  hidden: ['did or tried', '; how it ended is not held any more'],
}

const called = (party: Party, role: 'Somebody' | 'something'): HTMLElement =>
  isSealed(party) ? h('span', {}, `${role} whose name is sealed`) : said(party.name ?? `${party.type} ${party.id}`)

/** "Zoë Lindqvist tried invoice.approve on Invoice 2026-0042, and was denied" */
function sentence(current: ReadableEvent): Child[] {
  const { action, actor, targets = [] } = current.fields
  const [verb, end] = ENDINGS[endingOf(current)]
  const [first] = targets
  return [
    actor ? called(actor, 'Somebody') : 'Somebody',
    ` ${verb} `,
    action === undefined ? 'something' : said(action),
    ...(first === undefined ? [] : [' on ', called(first, 'something')]),
    targets.length > 1 && ` and ${count(targets.length - 1)} more`,
    end,
  ]
}

/** Each hold that covers it, with the way to what says whose case it is. Null where none does. */
async function holdsOf(current: ReadableEvent): Promise<HTMLElement | null> {
  const { recordedAt, fields, missing = 0, erased = 0, expired = 0 } = current
  const shown = Object.keys(fields)
  const known = { ...current, fields: fields as JsonObject, time: Date.parse(recordedAt), disclosures: shown }
  const asked = { ...known, fieldCount: shown.length + missing + erased + expired }
  try {
    const { holds } = await api<{ holds: HoldAnswer[] }>('/v1/holds')
    const covering = holds.filter(({ state, covers }) => state === 'standing' && isHeld(covers, asked))
    if (covering.length === 0) return null
    const links = covering.flatMap(({ id, createdAt }, i) => [
      i === 0 ? '' : ', ',
      h('a', { href: `#/events?${new URLSearchParams({ target: id, own: '1' })}` }, 'placed ', when(createdAt), ' UTC'),
    ])
    const one = covering.length === 1
    return h(
      'span',
      {},
      `by ${plural(covering.length, 'hold')}, `,
      ...links,
      note(`: what it holds is neither erased nor expires until ${one ? 'that is' : 'they are'} lifted`),
    )
  } catch (error) {
    return h('span', { class: 'bad note', role: 'alert' }, 'not known. ', said(faultOf(error)))
  }
}

function erasedNote({ erased = 0, expired = 0 }: ReadableEvent): HTMLElement | null {
  if (erased + expired === 0) return null
  const parts = [
    erased > 0 &&
      `${plural(erased, 'field')} of this event ${erased === 1 ? 'was' : 'were'} erased, ${erased === 1 ? '' : 'each '}by an order in the log that its proof carries.`,
    expired > 0 &&
      `${plural(expired, 'field')} of this event ${expired === 1 ? 'has' : 'have'} expired, by a retention policy that its proof names.`,
  ]
  return h('p', { class: 'note' }, parts.filter(Boolean).join(' '))
}

function lost({ missing = 0 }: ReadableEvent): HTMLElement | null {
  if (missing === 0) return null
  return h(
    'div',
    { class: 'empty', role: 'alert' },
    h('p', {}, h('strong', {}, `The ledger no longer holds ${plural(missing, 'field')} of this event.`)),
    h(
      'p',
      {},
      'It was accepted whole: somebody has taken them out of the database since. ',
      h('a', { href: '#/audit' }, 'The audit'),
      ' tells what else is wrong.',
    ),
  )
}

/** Where its proof is; why there is none, where it cannot be had. */
export async function proofOf({ leafHash }: Pick<ReadableEvent, 'leafHash'>): Promise<HTMLElement> {
  try {
    const text = await apiText(`/v1/proofs/${leafHash}`)
    const { anchors } = JSON.parse(text) as { anchors: unknown[] }
    return h(
      'span',
      {},
      anchors.length > 0 ? 'anchored ' : 'not anchored yet ',
      h('a', { href: `/verify/#${await packFragment(text)}`, target: '_blank', rel: 'noopener' }, 'open and verify'),
    )
  } catch (error) {
    return h('span', { class: 'bad note', role: 'alert' }, said(faultOf(error)))
  }
}

function gone(seq: number): HTMLElement {
  return h(
    'div',
    { class: 'empty', role: 'alert' },
    h('p', {}, h('strong', {}, `The ledger no longer holds event ${count(seq)} of this stream.`)),
    h(
      'p',
      {},
      'It was accepted, as events after it are there: somebody has taken it out of the database since. ',
      h('a', { href: '#/audit' }, 'The audit'),
      ' tells what else is wrong.',
    ),
  )
}

function neighbours(events: readonly ListedEvent[], current: ListedEvent | null): HTMLElement[] {
  const rows = events.map((each) => eventRow(each, each === current))
  return [h('h2', {}, 'Before and after it in its stream'), table(EVENT_HEADS, rows, 'Neighbours')]
}

function altered(event: AlteredEvent): HTMLElement {
  const { id = '', number, error } = event
  if (isDropped(event)) return dropped(event)
  return h(
    'div',
    { class: 'empty', role: 'alert' },
    h('p', {}, h('strong', {}, `Event ${id}, number ${count(number)} of the log, cannot be read.`)),
    h('p', {}, h('code', {}, said(error.code)), ' ', said(error.detail)),
    h(
      'p',
      {},
      'What the database holds of it is not what was accepted: somebody has changed it. ',
      h('a', { href: '#/audit' }, 'The audit'),
      ' tells what else is wrong; a copy of the ledger, or a proof that was made before, still shows what was recorded.',
    ),
  )
}

function dropped({ number, leafHash, error }: AlteredEvent): HTMLElement {
  return h(
    'div',
    { class: 'empty' },
    h('p', {}, h('strong', {}, `Event number ${count(number)} of the log was dropped by a retention policy.`)),
    h('p', {}, said(error.detail)),
    leafHash !== undefined && h('p', {}, 'Its leaf hash: ', h('code', {}, said(leafHash))),
    h(
      'p',
      {},
      'Every audit holds what was dropped against the policies, the holds and the anchors of the log. Whoever has kept the event, or a proof of it, can still show what was recorded.',
    ),
  )
}

/** Without how it ended and when it is said to have happened, a shown part reads as more than it is. */
const SHOWN_BY_DEFAULT = ['action', 'actor', 'targets', 'outcome', 'occurredAt']

function shareForm(current: ReadableEvent): HTMLElement {
  const names = Object.keys(current.fields)
  const boxes = names.map((name) =>
    h('input', {
      type: 'checkbox',
      id: `show-${name}`,
      name,
      checked: SHOWN_BY_DEFAULT.includes(name),
    }),
  )
  const hidesOutcome = h(
    'p',
    { class: 'caveat', role: 'status', hidden: true },
    'The page will say that the outcome is not shown.',
  )
  const look = () => {
    hidesOutcome.hidden = boxes.every(({ name, checked }) => name !== 'outcome' || checked)
  }
  for (const box of boxes) box.addEventListener('change', look)
  const expires = h('input', { type: 'date', id: 'expires' })
  const answer = h('p', { role: 'status' })
  const make = async () => {
    const fields = boxes.filter(({ checked }) => checked).map(({ name }) => name)
    try {
      const body = {
        eventId: current.leafHash,
        fields,
        ...(expires.value && { expires: `${expires.value}T23:59:59Z` }),
      }
      const { url } = await api<MadeShareAnswer>('/v1/shares', 'POST', body)
      answer.replaceChildren(
        'Whoever has this link sees the chosen fields. It is shown only now: ',
        copyable(url, 'link'),
      )
    } catch (error) {
      answer.textContent = faultOf(error)
    }
  }
  return h(
    'form',
    sending(make),
    h(
      'fieldset',
      {},
      h('legend', {}, 'Fields that the link shows'),
      ...boxes.map((box) => h('p', {}, box, ' ', h('label', { for: box.id }, box.name))),
      h(
        'p',
        { class: 'note' },
        boxes.length === 0
          ? 'No field of this event is left. A link shows only that it was recorded, by which source, and when.'
          : 'A field is shown whole: who sees the actor sees the e-mail address in it.',
      ),
    ),
    hidesOutcome,
    h('p', {}, h('label', { for: 'expires' }, 'Until (empty: no end) '), expires),
    h('button', { type: 'submit', class: 'primary' }, 'Make a link'),
    answer,
  )
}
