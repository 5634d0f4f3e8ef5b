/** "Change one character": lets a visitor see for themselves that nothing can be changed unnoticed. */

import type { Proof } from '@killick/sdk/verify'
import { h, icon } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import type { Summary } from '../../shared/summary.ts'
import { said } from '../../shared/text.ts'
import { visibleParts } from '../../shared/unseen.ts'
import { places, type Tampered, type TamperedPlace } from '../tamper.ts'

export type TamperControls = { change: (place: TamperedPlace) => void; restore: () => void }

export function tamperControl(
  proof: Proof,
  current: Tampered | null,
  summary: Summary,
  { change, restore }: TamperControls,
): HTMLElement | null {
  const told = words.tamper
  const all = places(proof)
  if (all.length === 0) return null
  const select = h(
    'select',
    { id: 'place' },
    ...all.map(({ id, label }) => h('option', { value: id, selected: current?.place.id === id }, label)),
  )
  return h(
    'section',
    { class: `tamper ${current ? 'active' : ''}`, 'aria-labelledby': 'tamper-title' },
    h('h2', { id: 'tamper-title' }, told.title),
    h('p', {}, told.text),
    h(
      'div',
      { class: 'actions' },
      h('label', { for: 'place' }, told.in),
      select,
      h(
        'button',
        { type: 'button', id: 'change', onclick: () => change(all.find(({ id }) => id === select.value)!) },
        told.change,
      ),
      current && h('button', { type: 'button', id: 'restore', class: 'primary', onclick: restore }, told.restore),
    ),
    current &&
      h(
        'div',
        { class: 'diff' },
        diff(told.was, current.before, current.at, 'del'),
        diff(told.now, current.after, current.at, 'ins'),
        h(
          'p',
          { class: 'noticed' },
          icon('failed'),
          ' ',
          h('strong', {}, `${summary.headline}.`),
          ' ',
          said(summary.reason),
        ),
      ),
  )
}

function diff(label: string, text: string, at: number, name: 'del' | 'ins'): HTMLElement {
  const plain = (part: string) =>
    visibleParts(part)
      .map((piece) => piece.text)
      .join('')
  return h(
    'p',
    {},
    h('span', { class: 'label' }, label),
    ' ',
    h('code', {}, '…', plain(text.slice(0, at)), h(name, {}, text[at]!), plain(text.slice(at + 1)), '…'),
  )
}
