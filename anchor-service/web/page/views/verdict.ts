/** The answer at a glance: the verdict, then what happened, who did it, when, and since when it is anchored where. */
import type { Proof, Verdict } from '@killick/sdk/verify'
import { h, icon } from '../dom.ts'
import type { Asked, Summary, Tone } from '../summary.ts'
import { said } from '../text.ts'
import { anchorTime, chainName, isTestChain, listed, plural, timeInWords, weightyAnchors } from '../words.ts'

const ICONS = { good: 'passed', bad: 'failed', wait: 'wait', open: 'open' } as const satisfies Record<Tone, string>

type Party = { type: string; id: string; name?: string }

/** "Zoë Lindqvist (user u-17)" */
export function party({ type, id, name }: Party): HTMLElement {
  const named = typeof name === 'string' && name !== ''
  return named
    ? h('span', {}, said(name), h('span', { class: 'note' }, ' (', said(type), ' ', said(id), ')'))
    : h('span', {}, said(type), ' ', said(id))
}

const HIDDEN = () => h('span', { class: 'note' }, 'not shown in this proof')

/** @param toTrust - Brings the visitor to where what is missing can be given. */
export function banner(summary: Summary, toTrust: () => void): HTMLElement {
  return h(
    'section',
    { class: `banner ${summary.tone}`, 'data-state': summary.state },
    h('span', { class: 'seal' }, icon(ICONS[summary.tone])),
    h(
      'div',
      {},
      h('h1', {}, summary.headline),
      h('p', {}, said(summary.reason)),
      summary.tone === 'open' && h('button', { type: 'button', onclick: toTrust }, 'Choose whom to ask and trust'),
    ),
  )
}

/** The facts that a reader looks for first. On a failed verdict they are claims, and are labelled so. */
export function facts(verdict: Verdict, proof: Proof, failed: boolean): HTMLElement {
  const { event } = verdict
  const rows: [string, ...(Node | string)[]][] = []
  if (event !== null) {
    const { action, actor, targets, outcome, occurredAt } = event.fields
    const things = targets as Party[] | undefined
    rows.push(['What', action === undefined ? HIDDEN() : h('strong', {}, said(String(action))), ...outcomeOf(outcome)])
    rows.push(['Who', actor === undefined ? HIDDEN() : h('strong', {}, party(actor as Party))])
    rows.push(['To what', things === undefined ? HIDDEN() : parties(things)])
    if (typeof occurredAt === 'string') rows.push(['Happened', said(timeInWords(occurredAt))])
    rows.push([
      'When recorded',
      time(event.recordedAt),
      h('span', { class: 'note' }, ` by the clock of `),
      said(event.source),
    ])
  }
  const { anchors, confirmed } = weightyAnchors(proof, verdict)
  for (const anchor of anchors) {
    rows.push([
      confirmed && !failed ? 'Anchored since' : 'Claims an anchor',
      h('span', {}, anchorTime(anchor)),
      h('span', { class: 'note' }, ` in block ${anchor.block} of ${chainName(anchor.chainId)}`),
    ])
  }
  const hidden = event?.hiddenFields ?? 0
  if (hidden > 0) rows.push(['Left out', `${plural(hidden, 'field')} that this proof does not show`])
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

function time(iso: string): HTMLElement {
  return h('time', { datetime: iso }, timeInWords(iso))
}

function outcomeOf(outcome: unknown): (Node | string)[] {
  if (outcome === undefined) return []
  return [h('span', { class: `outcome ${outcome === 'success' ? '' : 'unlucky'}` }, String(outcome))]
}

function parties(list: readonly Party[]): HTMLElement {
  if (list.length === 0) return h('span', { class: 'note' }, 'nothing in particular')
  const shown = list.slice(0, 20)
  const rest = list.length - shown.length
  const items = shown.map((item) => h('li', {}, party(item)))
  return h('ul', { class: 'plain' }, ...items, rest > 0 && h('li', { class: 'note' }, `and ${rest} more`))
}

/** Whose word it rests on, which node was asked, and what else a careful reader should know. */
export function standing(
  verdict: Verdict,
  proof: Proof,
  asked: Asked,
  by: Record<string, 'you' | 'publisher' | 'nobody'>,
  publisher: string | undefined,
): HTMLElement {
  const told = {
    sourceKeys: 'which key is the source’s',
    logKeys: 'which key is the log’s',
    logs: 'which contract and log to look in',
  }
  const names = (who: string) => Object.entries(told).flatMap(([kind, what]) => (by[kind] === who ? [what] : []))
  const items: HTMLElement[] = []
  const add = (...children: (Node | string)[]) => items.push(h('li', {}, ...children))
  if (names('you').length > 0) add('You pinned ', listed(names('you')), '.')
  if (names('publisher').length > 0) {
    add(
      'On the word of ',
      h('strong', {}, said(publisher ?? 'the publisher')),
      ', who published this page: ',
      listed(names('publisher')),
      '.',
    )
  }
  for (const rest of verdict.restsOn) add('It rests on ', said(rest), '.')
  if (asked.nodes.length > 0)
    add(
      'The chain was read from ',
      h('strong', {}, said(asked.nodes.join(', '))),
      ', which could lie about it: ask another node to be sure.',
    )
  const { anchors } = weightyAnchors(proof, verdict)
  if (anchors.length > 0 && anchors.every(({ chainId }) => isTestChain(chainId))) {
    add(
      h('strong', {}, `This anchor is on ${chainName(anchors[0]!.chainId)}`),
      ': good for trying things out, but whoever runs it can rewrite it.',
    )
  }
  return h(
    'section',
    { class: 'standing', 'aria-labelledby': 'standing-title' },
    h('h2', { id: 'standing-title' }, 'What this rests on'),
    h('ul', {}, ...items),
  )
}
