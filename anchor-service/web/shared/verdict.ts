/** The answer at a glance: the verdict, then what happened, who did it, when, and since when it is anchored where. */
import type { Proof, Verdict } from '@killick/sdk/verify'
import { english } from '@killick/sdk/words'
import { type Child, h, type IconName, icon } from './dom.ts'
import { isPartial, isUndone, OUTCOME_WORDS, type Outcome, outcomeOf } from './outcome.ts'
import type { Asked, Summary, Tone, Word } from './summary.ts'
import { said } from './text.ts'
import type { PinKind } from './trust.ts'
import { anchorTime, chainName, listed, plural, timeInWords, weightyAnchors } from './words.ts'

const ICONS = {
  ...{ good: 'passed', word: 'word', bad: 'failed', wait: 'wait', open: 'open' },
} as const satisfies Record<Tone, IconName>

/** More than this of one kind is folded. */
export const MANY = 20

type Party = { type: string; id: string; name?: string }

/** "Zoë Lindqvist (user u-17)" */
export function party({ type, id, name }: Party): HTMLElement {
  const named = typeof name === 'string' && name !== ''
  return named
    ? h('span', {}, said(name), h('span', { class: 'note' }, ' (', said(type), ' ', said(id), ')'))
    : h('span', {}, said(type), ' ', said(id))
}

const HIDDEN = () => h('span', { class: 'note' }, 'not shown in this proof')

/** How it ended, in words and as a mark. */
export function outcomeMark(outcome: Outcome): HTMLElement {
  return h('span', { class: `outcome ${outcome}`, 'data-outcome': outcome }, icon(outcome), ' ', OUTCOME_WORDS[outcome])
}

function outcomeNote(outcome: Outcome, source: string): HTMLElement | null {
  const strip = (...words: Child[]) => h('p', { class: `ending ${outcome}` }, ...words)
  if (outcome === 'denied' || outcome === 'failure') {
    const how = outcome === 'denied' ? 'this was refused' : 'this did not succeed'
    return strip(
      outcomeMark(outcome),
      ' ',
      h('span', {}, said(source), ` recorded that ${how}: somebody tried, and it was not done.`),
    )
  }
  return outcome === 'hidden'
    ? strip(
        icon('hidden'),
        ' ',
        h('span', {}, 'Whether it succeeded is not shown: it may have failed, or been denied.'),
      )
    : null
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
      h('p', {}, said(reason), isGenuine && ' This shows who said so and when, not that it is so.'),
      event !== null && tone !== 'bad' && outcomeNote(outcomeOf(event), event.source),
      ...caveats.map((caveat) => h('p', { class: 'caveat' }, icon('failure'), ' ', h('span', {}, said(caveat)))),
      tone === 'open' && h('button', { type: 'button', onclick: toTrust }, 'Choose whom to ask and trust'),
    ),
  )
}

/** The facts that a reader looks for first. On a failed verdict they are claims, and are labelled so. */
export function facts(verdict: Verdict, proof: Proof, failed: boolean): HTMLElement {
  const { event } = verdict
  const rows: [string, ...(Node | string)[]][] = []
  if (event !== null) {
    const { action, actor, targets, occurredAt } = event.fields
    const things = targets as Party[] | undefined
    const outcome = outcomeOf(event)
    const undone = isUndone(outcome)
    rows.push([
      undone ? 'Tried' : 'What',
      action === undefined ? HIDDEN() : h('strong', {}, said(String(action))),
      ...(action !== undefined && undone ? [note(' and not done')] : []),
    ])
    rows.push(['Outcome', outcome === 'hidden' ? HIDDEN() : outcomeMark(outcome)])
    rows.push(['Who', actor === undefined ? HIDDEN() : h('strong', {}, party(actor as Party))])
    rows.push(['To what', things === undefined ? HIDDEN() : parties(things)])
    rows.push(['Recorded by', h('strong', {}, said(event.source)), note(' in the log '), said(proof.log.origin)])
    if (typeof occurredAt === 'string')
      rows.push(['Said to have happened', time(occurredAt), note(' as '), said(event.source), note(' says')])
    else if (isPartial(event)) rows.push(['Said to have happened', HIDDEN()])
    rows.push(['Recorded', time(event.recordedAt), note(' by the clock of '), said(event.source)])
  }
  const { anchors, confirmed } = weightyAnchors(proof, verdict)
  const after = verdict.times?.after
  if (after) rows.push(['Not yet in the log', time(after), note(' as anchored then')])
  for (const anchor of anchors) {
    rows.push([
      confirmed && !failed ? 'In the log by' : 'Claims an anchor',
      h('span', {}, anchorTime(anchor)),
      note(` in block ${anchor.block} of ${chainName(anchor.chainId)}`),
    ])
  }
  const missing = event?.missingFields ?? 0
  const hidden = (event?.hiddenFields ?? 0) - missing
  if (hidden > 0) rows.push(['Not shown', `${plural(hidden, 'field')} that this proof does not show`])
  if (missing > 0) rows.push(['Lost', h('strong', {}, `${plural(missing, 'field')} that the ledger no longer holds`)])
  if (verdict.registrations.length > 0) rows.push(['Key registered', keyWords(verdict.registrations)])
  return h(
    'section',
    { class: 'facts', 'aria-labelledby': 'facts-title' },
    h(
      'h2',
      { id: 'facts-title', class: failed ? '' : 'quiet' },
      failed ? 'What it claims, and what must not be believed' : 'What was recorded',
    ),
    event === null && h('p', {}, 'What this proof says cannot be read, because it does not match what was signed.'),
    h('dl', {}, ...rows.flatMap(([name, ...value]) => [h('dt', {}, name), h('dd', {}, ...value)])),
  )
}

/** Each word of the log on a key of the source; more than one is more than the usual. */
function keyWords(words: Verdict['registrations']): HTMLElement {
  const item = ({ logIndex, kid, notBefore, notAfter, anchoredAt }: Verdict['registrations'][number]) =>
    h(
      'li',
      {},
      `at log entry ${logIndex}`,
      anchoredAt === null ? '' : `, anchored since ${timeInWords(anchoredAt)}`,
      notBefore === null ? '' : `, for use from ${timeInWords(notBefore)}`,
      notAfter === null ? '' : `, for use until ${timeInWords(notAfter)}`,
      ' ',
      h('code', { class: 'note' }, kid),
    )
  return h('ul', { class: 'plain' }, ...words.map(item))
}

const note = (text: string) => h('span', { class: 'note' }, text)

function time(iso: string): HTMLElement {
  return h('time', { datetime: iso }, timeInWords(iso))
}

function parties(list: readonly Party[]): HTMLElement {
  if (list.length === 0) return h('span', { class: 'note' }, 'nothing in particular')
  const item = (each: Party) => h('li', {}, party(each))
  const rest = list.slice(MANY)
  return h(
    'div',
    {},
    h('ul', { class: 'plain' }, ...list.slice(0, MANY).map(item)),
    rest.length > 0 && folded(`and ${rest.length} more`, () => h('ul', { class: 'plain' }, ...rest.map(item))),
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
  const told = {
    sourceKeys: 'which key is the source’s',
    logKeys: 'which key is the log’s',
    logs: 'which contract and log to look in',
  }
  const names = (who: string) =>
    Object.entries(told).flatMap(([kind, what]) => (by[kind as PinKind] === who ? [what] : []))
  const items: HTMLElement[] = []
  const add = (...children: (Node | string)[]) => items.push(h('li', {}, ...children))
  if (names('you').length > 0) add('Pinned by you: ', listed(names('you')), '.')
  if (names('publisher').length > 0) {
    add(
      'On the word of ',
      h('strong', {}, said(publisher ?? 'the publisher')),
      ', who published this page',
      location.host === '' ? '' : ` at ${location.host}`,
      ': ',
      listed(names('publisher')),
      '. Pin what you know from elsewhere, below, and it is no longer.',
    )
  }
  if (by.sourceKeys === 'nobody' && by.logKeys !== 'nobody' && verdict.event !== null)
    add(
      'On the word of the log ',
      h('strong', {}, said(proof.log.origin)),
      ', which took it in under this name: that the key is one of ',
      said(verdict.event.source),
      '.',
    )
  else for (const rest of verdict.restsOn) add('It rests on ', english().restsOn[rest], '.')
  if (asked.nodes.length > 0)
    add(
      'The chain was read from ',
      h('strong', {}, said(asked.nodes.join(', '))),
      ...(asked.requests ? [` in ${plural(asked.requests, 'request')}`] : []),
      ', which could lie about it: ask another node to be sure.',
    )
  add(
    'That it is ',
    h('em', {}, 'genuine'),
    ' means: this was signed under that name, by that time, and stands unchanged. It does not mean that what was said is true.',
  )
  return h(
    'section',
    { class: 'standing', 'aria-labelledby': 'standing-title' },
    h('h2', { id: 'standing-title' }, 'What this rests on'),
    h('ul', {}, ...items),
  )
}
