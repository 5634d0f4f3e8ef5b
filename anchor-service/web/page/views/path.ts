/** The path, drawn: one row per station or step, each with its piece of the line, so that it wraps on any width. */
import { copyable, h, icon, s } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import { said } from '../../shared/text.ts'
import type { PathRow, Station, Step } from '../path.ts'
import { skip } from './intro.ts'

const X = 24

function line(from: string, to: string, kind: string): SVGElement {
  // A little further than the row, or rounding leaves gaps between rows.
  return s('line', { x1: X, y1: from, x2: X, y2: to === '100%' ? '101%' : to, class: `line ${kind}` })
}

function drawing(...children: (SVGElement | false)[]): SVGElement {
  return s('svg', { class: 'rail', 'aria-hidden': 'true', focusable: 'false' }, ...children)
}

function station(row: Station, isFirst: boolean, isLast: boolean): HTMLElement {
  const { status } = row
  const kind = isFirst ? 'start' : status
  const mark = status === 'failed' ? s('path', { class: 'cross', d: 'M19 19l10 10M29 19l-10 10' }) : false
  return h(
    'li',
    { class: `station ${kind}`, 'data-station': row.id },
    drawing(
      !isFirst && line('0', '24', kind),
      !isLast && line('24', '100%', 'onward'),
      s('circle', { cx: X, cy: 24, r: 11, class: `stop ${kind}` }),
      mark,
    ),
    h(
      'div',
      { class: 'what' },
      h('h3', {}, row.name, !isFirst && h('span', { class: `told ${status}` }, icon(status), words.path[status])),
      h('p', { class: 'note' }, said(row.note)),
      ...row.hashes.map(({ label, value }) =>
        h('p', { class: 'hash' }, h('span', { class: 'label' }, label), ' ', copyable(value, `${row.name}: ${label}`)),
      ),
    ),
  )
}

function step({ side, sibling, node }: Step): HTMLElement {
  const x = side === 'left' ? 6 : 42
  return h(
    'li',
    { class: 'step' },
    drawing(
      line('0', '100%', 'onward'),
      s('line', { x1: x, y1: 14, x2: X, y2: 30, class: 'line onward' }),
      s('circle', { cx: x, cy: 14, r: 4, class: 'leaf' }),
      s('circle', { cx: X, cy: 30, r: 4, class: 'node' }),
    ),
    h(
      'div',
      { class: 'what' },
      h(
        'p',
        { class: 'hash' },
        h('span', { class: 'label' }, words.path[side]),
        ' ',
        copyable(sibling, words.path.neighbour),
      ),
      h('p', { class: 'hash' }, h('span', { class: 'label' }, words.path.gives), ' ', copyable(node, words.path.both)),
    ),
  )
}

export function path(rows: readonly PathRow[]): HTMLElement {
  return h(
    'section',
    { class: 'path', 'aria-labelledby': 'path-title' },
    h('h2', { id: 'path-title' }, words.path.title),
    h('p', { class: 'note' }, words.path.text),
    skip(words.path.skip, '#trust-title'),
    h(
      'ol',
      { class: 'plain' },
      ...rows.map((row, i) => (row.kind === 'step' ? step(row) : station(row, i === 0, i === rows.length - 1))),
    ),
  )
}
