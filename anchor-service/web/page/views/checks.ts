/** Check by check, rung by rung. */
import type { Check, Verdict } from '@killick/sdk/verify'
import { checkInWords } from '@killick/sdk/words'
import { h, icon } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import { said } from '../../shared/text.ts'

const GROUPS = [
  ['source', /^(event|batch|source)\./],
  ['log', /^log\./],
  ['chain', /^anchor/],
] as const

function item(check: Check): HTMLElement {
  const { id, status } = check
  const { title, detail } = checkInWords(check, words.verdict)
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

export function checks(verdict: Verdict): HTMLElement {
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
        : [h('h3', {}, words.checks[name]), h('ol', { class: 'plain' }, ...group.map(item))]
    }),
  )
}
