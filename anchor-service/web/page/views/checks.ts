/** Check by check, rung by rung. */
import type { Check, Verdict } from '@killick/sdk/verify'
import { type CheckInWords, checkInWords } from '@killick/sdk/words'
import { h, icon } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import type { Word } from '../../shared/summary.ts'
import { said } from '../../shared/text.ts'

const GROUPS = [
  ['source', /^(event|batch|source)\./],
  ['log', /^log\./],
  ['chain', /^anchor/],
] as const

/** The checks that hold something against pins, and against which. */
const PINNED = { 'source.key': 'sourceKeys', 'log.signature': 'logKeys', 'anchor.log': 'logs' } as const

/** A check in words. Where a pin is the publisher's, nobody is told that they trust it, or have pinned it. */
function told(check: Check, { by, publisher = words.anonymous }: Word): CheckInWords {
  const own = checkInWords(check, words.verdict)
  const name = check.id.replace(/^anchor\.\d+/, 'anchor') as keyof typeof PINNED
  if (!Object.hasOwn(PINNED, name) || by[PINNED[name]] !== 'publisher') return own
  const saysPinned = check.reason === 'ok' && name !== 'log.signature'
  return { title: words.checks.named[name], detail: saysPinned ? words.rungs.word(publisher) : own.detail }
}

function item(check: Check, word: Word): HTMLElement {
  const { id, status } = check
  const { title, detail } = told(check, word)
  return h(
    'li',
    { class: `check ${status}`, 'data-check': id },
    icon(status),
    h(
      'div',
      {},
      h('span', { class: 'title' }, title),
      ' ',
      h('span', { class: 'told' }, words.checks[status]),
      h('p', { class: 'note' }, said(detail)),
    ),
  )
}

export function checks(verdict: Verdict, word: Word): HTMLElement {
  const count = (status: Check['status']) => verdict.checks.filter((check) => check.status === status).length
  return h(
    'section',
    { class: 'checks', 'aria-labelledby': 'checks-title' },
    h(
      'h2',
      { id: 'checks-title' },
      words.checks.title(verdict.checks.length),
      h('span', { class: 'note' }, ` ${words.checks.tally(count('failed'), count('passed'), count('skipped'))}`),
    ),
    ...GROUPS.flatMap(([name, pattern]) => {
      const group = verdict.checks.filter(({ id }) => pattern.test(id))
      return group.length === 0
        ? []
        : [h('h3', {}, words.checks[name]), h('ol', { class: 'plain' }, ...group.map((check) => item(check, word)))]
    }),
  )
}
