/** Check by check, rung by rung. */
import type { Check, Verdict } from '@killick/sdk/verify'
import { checkInWords } from '@killick/sdk/words'
import { h, icon } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'

const GROUPS: [title: string, pattern: RegExp][] = [
  ['Signed by the source', /^(event|batch|source)\./],
  ['In the log', /^log\./],
  ['Anchored on the chain', /^anchor/],
]
const WORDS = { passed: 'passed', failed: 'failed', skipped: 'not checked' } as const

function item(check: Check): HTMLElement {
  const { id, status } = check
  const { title, detail } = checkInWords(check)
  return h(
    'li',
    { class: `check ${status}`, 'data-check': id },
    icon(status),
    h(
      'div',
      {},
      h('span', { class: 'title' }, title),
      ' ',
      h('span', { class: 'told' }, WORDS[status]),
      h('p', { class: 'note' }, said(detail)),
    ),
  )
}

export function checks(verdict: Verdict): HTMLElement {
  const count = (status: Check['status']) => verdict.checks.filter((check) => check.status === status).length
  const tally = [
    count('failed') > 0 && `${count('failed')} failed`,
    `${count('passed')} passed`,
    count('skipped') > 0 && `${count('skipped')} not checked`,
  ].filter(Boolean)
  return h(
    'section',
    { class: 'checks', 'aria-labelledby': 'checks-title' },
    h(
      'h2',
      { id: 'checks-title' },
      plural(verdict.checks.length, 'check'),
      h('span', { class: 'note' }, ` ${tally.join(', ')}`),
    ),
    ...GROUPS.flatMap(([title, pattern]) => {
      const group = verdict.checks.filter(({ id }) => pattern.test(id))
      return group.length === 0 ? [] : [h('h3', {}, title), h('ol', { class: 'plain' }, ...group.map(item))]
    }),
  )
}
