/** Everything else that the record says: circumstances, changes and custom fields, as a tree of names and values. */
import type { Verdict } from '@killick/sdk/verify'
import { h } from '../dom.ts'
import { said } from '../text.ts'

type Value = NonNullable<Verdict['event']>['fields'][string]

const MAX_ITEMS = 50
const SHOWN_ABOVE = ['action', 'outcome', 'occurredAt']

/** A JSON value as nested lists; long ones are cut, the raw proof has them whole. */
export function tree(value: Value | undefined): HTMLElement {
  if (value === null || value === undefined) return h('span', { class: 'note' }, 'nothing')
  if (typeof value === 'string') return said(value)
  if (typeof value !== 'object') return h('code', {}, String(value))
  const entries = Object.entries(value)
  if (entries.length === 0) return h('span', { class: 'note' }, 'empty')
  const shown = entries.slice(0, MAX_ITEMS)
  const rest = entries.length - shown.length
  const more = rest > 0 && h('li', { class: 'note' }, `and ${rest} more, in the raw proof below`)
  return Array.isArray(value)
    ? h('ul', { class: 'tree' }, ...shown.map(([, item]) => h('li', {}, tree(item))), more)
    : h(
        'ul',
        { class: 'tree' },
        ...shown.map(([name, item]) => h('li', {}, h('span', { class: 'name' }, said(name)), ' ', tree(item))),
        more,
      )
}

type Change = { path: string; before?: Value; after?: Value }

function changes(list: readonly Change[]): HTMLElement {
  const rows = list
    .slice(0, MAX_ITEMS)
    .map(({ path, before, after }) =>
      h('tr', {}, h('th', { scope: 'row' }, said(path)), h('td', {}, tree(before)), h('td', {}, tree(after))),
    )
  const rest = list.length - rows.length
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Changes' },
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...['Changed', 'Before', 'After'].map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, ...rows),
    ),
    rest > 0 && h('p', { class: 'note' }, `and ${rest} more, in the raw proof below`),
  )
}

/** Null when the facts above say it all. */
export function record(verdict: Verdict): HTMLElement | null {
  const fields = Object.entries(verdict.event?.fields ?? {}).filter(
    ([name, value]) => !SHOWN_ABOVE.includes(name) && !isPlainParty(name, value),
  )
  if (fields.length === 0) return null
  return h(
    'section',
    { class: 'record', 'aria-labelledby': 'record-title' },
    h('h2', { id: 'record-title' }, 'The rest of the record'),
    ...fields.map(([name, value]) =>
      h('div', { class: 'field' }, h('h3', {}, name), name === 'changes' ? changes(value as Change[]) : tree(value)),
    ),
  )
}

/** Parties of type, id and name alone stand in the facts already. */
function isPlainParty(name: string, value: Value): boolean {
  const isPlain = (party: Value) => Object.keys(party ?? {}).every((key) => ['type', 'id', 'name'].includes(key))
  return name === 'actor'
    ? isPlain(value)
    : name === 'targets' && (value as Value[]).length <= 20 && (value as Value[]).every(isPlain)
}
