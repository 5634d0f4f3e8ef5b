/** The answer at a glance: the verdict, then what happened, who did it, when, and since when it is anchored where. */
import type { Proof, Verdict } from '@killick/sdk/verify'
import { sealedIn } from '@killick/sdk/words'
import { collectedFrom } from './collected.ts'
import { type Child, h, type IconName, icon } from './dom.ts'
import { words } from './language.ts'
import { isPartial, isUndone, type Outcome, outcomeOf } from './outcome.ts'
import type { Asked, Summary, Tone, Word } from './summary.ts'
import { said } from './text.ts'
import type { PinKind } from './trust.ts'
import { anchorTime, chainName, weightyAnchors } from './words.ts'

const ICONS = {
  ...{ good: 'passed', word: 'word', bad: 'failed', wait: 'wait', open: 'open' },
} as const satisfies Record<Tone, IconName>

/** More than this of one kind is folded. */
export const MANY = 20

type Party = { type: string; id: string; name?: string }

/** "Zoë Lindqvist (user u-17)" */
export function party(party: Party): HTMLElement {
  const { type, id, name } = party
  if (sealedIn('actor', party) !== null)
    return h('span', {}, words.facts.sealed, h('span', { class: 'note' }, ' (', said(id), ')'))
  const named = typeof name === 'string' && name !== ''
  return named
    ? h('span', {}, said(name), h('span', { class: 'note' }, ' (', said(type), ' ', said(id), ')'))
    : h('span', {}, said(type), ' ', said(id))
}

/** How it ended, in words and as a mark. */
export function outcomeMark(outcome: Outcome): HTMLElement {
  return h(
    'span',
    { class: `outcome ${outcome}`, 'data-outcome': outcome },
    icon(outcome),
    ' ',
    words.outcomes[outcome],
  )
}

function outcomeNote(outcome: Outcome, source: string): HTMLElement | null {
  const strip = (...words: Child[]) => h('p', { class: `ending ${outcome}` }, ...words)
  if (outcome === 'denied' || outcome === 'failure') {
    return strip(outcomeMark(outcome), ' ', h('span', {}, ...words.banner.undone(outcome, said(source))))
  }
  return outcome === 'hidden' ? strip(icon('hidden'), ' ', h('span', {}, words.banner.hidden)) : null
}

/** @param toTrust - Brings the visitor to where what is missing can be given. */
export function banner(summary: Summary, event: Verdict['event'], toTrust: () => void): HTMLElement {
  const { tone, state, headline, reason, caveats, rung } = summary
  const isGenuine = state === 'genuine'
  return h(
    'section',
    { class: `banner ${tone}`, 'data-state': state, 'data-trust': rung?.name },
    h('span', { class: 'seal' }, icon(ICONS[tone])),
    h(
      'div',
      {},
      h(
        'h1',
        {},
        rung !== null &&
          h('span', { class: `rung ${rung.name}` }, said(rung.words), h('span', { class: 'aside' }, ': ')),
        headline,
      ),
      h('p', {}, said(reason), isGenuine && words.banner.claim),
      event !== null && tone !== 'bad' && outcomeNote(outcomeOf(event), event.source),
      ...caveats.map((caveat) => h('p', { class: 'caveat' }, icon('failure'), ' ', h('span', {}, said(caveat)))),
      tone === 'open' && h('button', { type: 'button', onclick: toTrust }, words.banner.toTrust),
    ),
  )
}

/** The facts that a reader looks for first. On a failed verdict they are claims, and are labelled so. */
export function facts(verdict: Verdict, proof: Proof, failed: boolean): HTMLElement {
  const { event } = verdict
  const told = words.facts
  const rows: [string, ...(Node | string)[]][] = []
  const missing = event?.missingFields ?? 0
  const hidden = (event?.hiddenFields ?? 0) - missing - (event?.erasedFields ?? 0)
  /** Where the log explains each field that is absent, none is merely hidden. */
  const absent = () => note(hidden + missing > 0 ? told.hidden : told.gone)
  if (event !== null) {
    const { action, actor, targets, occurredAt } = event.fields
    const things = targets as Party[] | undefined
    const outcome = outcomeOf(event)
    const undone = isUndone(outcome)
    rows.push([
      undone ? told.tried : told.what,
      action === undefined ? absent() : h('strong', {}, said(String(action))),
      ...(action !== undefined && undone ? [note(told.notDone)] : []),
    ])
    rows.push([told.outcome, outcome === 'hidden' ? absent() : outcomeMark(outcome)])
    rows.push([told.who, actor === undefined ? absent() : h('strong', {}, party(actor as Party))])
    rows.push([told.target, things === undefined ? absent() : parties(things)])
    rows.push([told.recordedBy, h('strong', {}, said(event.source)), note(told.inLog), said(proof.log.origin)])
    const from = collectedFrom(event)
    if (from !== null)
      rows.push([
        told.onBehalfOf,
        h('strong', {}, said(from.source)),
        h('span', { class: 'note' }, ...told.handedIn(said(from.emitter), from.auth)),
      ])
    if (typeof occurredAt === 'string')
      rows.push([told.happened, time(occurredAt), h('span', { class: 'note' }, ...told.says(said(event.source)))])
    else if (isPartial(event)) rows.push([told.happened, absent()])
    rows.push([told.recorded, time(event.recordedAt), note(told.clockOf), said(event.source)])
  }
  const { anchors, confirmed } = weightyAnchors(proof, verdict)
  const after = verdict.times?.after
  if (after) rows.push([told.notYet, time(after), note(told.asAnchored)])
  for (const anchor of anchors) {
    rows.push([
      confirmed && !failed ? told.inLogBy : told.claimsAnchor,
      h('span', {}, words.time(anchorTime(anchor))),
      note(told.inBlock(anchor.block, chainName(anchor.chainId))),
    ])
  }
  if (hidden > 0) rows.push([told.notShown, told.hiddenFields(hidden)])
  if (missing > 0) rows.push([told.lost, h('strong', {}, told.lostFields(missing))])
  for (const erasure of event?.erasures ?? []) rows.push(erasureRow(erasure))
  if (verdict.registrations.length > 0) rows.push([told.keyRegistered, keyWords(verdict.registrations)])
  return h(
    'section',
    { class: 'facts', 'aria-labelledby': 'facts-title' },
    h('h2', { id: 'facts-title', class: failed ? '' : 'quiet' }, failed ? told.claims : told.title),
    event === null && h('p', {}, told.unreadable),
    h('dl', {}, ...rows.flatMap(([name, ...value]) => [h('dt', {}, name), h('dd', {}, ...value)])),
  )
}

/** Which fields are gone, since when, by whose order or which policy: never told as hidden or lost. */
function erasureRow({
  count,
  at,
  order,
  legalBasis,
  reason,
  policy,
}: NonNullable<Verdict['event']>['erasures'][number]): [string, ...(string | Node)[]] {
  const { expired, expiredFields, erased, erasedFields } = words.facts
  if (policy) return [expired, expiredFields(count, at, policy.id)]
  const why = [reason, ...(legalBasis === null ? [] : [legalBasis])].join(' · ')
  return [erased, h('span', {}, erasedFields(count, at, order)), note(` ${why}`)]
}

/** Each word of the log on a key of the source; more than one is more than the usual. */
function keyWords(all: Verdict['registrations']): HTMLElement {
  const item = ({ logIndex, kid, notBefore, notAfter, anchoredAt }: Verdict['registrations'][number]) =>
    h(
      'li',
      {},
      words.facts.registration(logIndex, anchoredAt, notBefore, notAfter),
      ' ',
      h('code', { class: 'note' }, kid),
    )
  return h('ul', { class: 'plain' }, ...all.map(item))
}

const note = (text: string) => h('span', { class: 'note' }, text)

function time(iso: string): HTMLElement {
  return h('time', { datetime: iso }, words.time(iso))
}

function parties(list: readonly Party[]): HTMLElement {
  if (list.length === 0) return h('span', { class: 'note' }, words.facts.noTarget)
  const item = (each: Party) => h('li', {}, party(each))
  const rest = list.slice(MANY)
  return h(
    'div',
    {},
    h('ul', { class: 'plain' }, ...list.slice(0, MANY).map(item)),
    rest.length > 0 && folded(words.facts.more(rest.length), () => h('ul', { class: 'plain' }, ...rest.map(item))),
  )
}

/** What few will read is laid out only for those who ask for it. */
export function folded(title: string, make: () => HTMLElement): HTMLElement {
  const details = h('details', {}, h('summary', {}, title))
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) details.append(make())
  })
  return details
}

/** Whose word it rests on, which node was asked, and what else a careful reader should know. */
export function standing(verdict: Verdict, proof: Proof, asked: Asked, { by, publisher }: Word): HTMLElement {
  const told = words.standing
  const names = (who: string) =>
    Object.entries(told.kinds).flatMap(([kind, what]) => (by[kind as PinKind] === who ? [what] : []))
  const items: HTMLElement[] = []
  const add = (...children: (Node | string)[]) => items.push(h('li', {}, ...children))
  if (names('you').length > 0) add(told.pinned(names('you')))
  if (names('publisher').length > 0) {
    const who = h('strong', {}, said(publisher ?? words.anonymous))
    add(...told.publisher(who, location.host, names('publisher')))
  }
  if (by.sourceKeys === 'nobody' && by.logKeys !== 'nobody' && verdict.event !== null)
    add(...told.log(h('strong', {}, said(proof.log.origin)), said(verdict.event.source)))
  else for (const rest of verdict.restsOn) add(told.restsOn(words.verdict.restsOn[rest]))
  if (asked.nodes.length > 0) add(...told.nodes(h('strong', {}, said(asked.nodes.join(', '))), asked.requests ?? 0))
  add(...told.meaning((word) => h('em', {}, word)))
  return h(
    'section',
    { class: 'standing', 'aria-labelledby': 'standing-title' },
    h('h2', { id: 'standing-title' }, told.title),
    h('ul', {}, ...items),
  )
}
