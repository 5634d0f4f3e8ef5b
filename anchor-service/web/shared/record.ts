/** Everything else that the record says: circumstances, changes and custom fields, as a tree of names and values. Long ones are folded. */
import type { Verdict } from '@killick/sdk/verify'
import { sealedIn } from '@killick/sdk/words'
import { h } from './dom.ts'
import { words } from './language.ts'
import { said } from './text.ts'
import { folded, MANY } from './verdict.ts'

type Value = NonNullable<Verdict['event']>['fields'][string]

const SHOWN_ABOVE = ['action', 'outcome', 'occurredAt']

/** A JSON value as nested lists; long ones are cut, the raw proof has them whole. */
export function tree(value: Value | undefined): HTMLElement {
  if (value === null || value === undefined) return h('span', { class: 'note' }, words.record.nothing)
  // A ciphertext is nothing that the record says.
  const sealed = sealedIn('', value)
  if (sealed !== null) return h('span', { class: 'note' }, said(words.record.sealed(sealed.id)))
  if (typeof value === 'string') return said(value)
  if (typeof value !== 'object') return h('code', {}, String(value))
  const entries = Object.entries(value)
  if (entries.length === 0) return h('span', { class: 'note' }, words.record.empty)
  const line = ([name, item]: [string, Value]) =>
    Array.isArray(value)
      ? h('li', {}, tree(item))
      : h('li', {}, h('span', { class: 'name' }, said(name)), ' ', tree(item))
  const rest = entries.slice(MANY)
  return h(
    'ul',
    { class: 'tree' },
    ...entries.slice(0, MANY).map(line),
    rest.length > 0 &&
      h(
        'li',
        {},
        folded(words.facts.more(rest.length), () => h('ul', { class: 'tree' }, ...rest.map(line))),
      ),
  )
}

type Change = { path: string; before?: Value; after?: Value }

/** What was changed, as a table of before and after. */
export function changes(list: readonly Change[]): HTMLElement {
  const [, first, second] = words.record.columns
  // Where a table becomes a list, each cell says what it is.
  const line = ({ path, before, after }: Change) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, said(path)),
      h('td', { 'data-head': first }, tree(before)),
      h('td', { 'data-head': second }, tree(after)),
    )
  const part = (label: string, some: readonly Change[]) =>
    h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label },
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, ...words.record.columns.map((name) => h('th', { scope: 'col' }, name)))),
        h('tbody', {}, ...some.map(line)),
      ),
    )
  const rest = list.slice(MANY)
  return h(
    'div',
    {},
    part(words.record.changes, list.slice(0, MANY)),
    rest.length > 0 && folded(words.facts.more(rest.length), () => part(words.record.moreChanges, rest)),
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
    h('h2', { id: 'record-title' }, words.record.title),
    ...fields.map(([name, value]) =>
      h('div', { class: 'field' }, h('h3', {}, name), name === 'changes' ? changes(value as Change[]) : tree(value)),
    ),
  )
}

/** Parties of type, id and name alone stand in the facts already. */
function isPlainParty(name: string, value: Value): boolean {
  const isPlain = (party: Value) =>
    sealedIn('', party) !== null || Object.keys(party ?? {}).every((key) => ['type', 'id', 'name'].includes(key))
  return name === 'actor' ? isPlain(value) : name === 'targets' && (value as Value[]).every(isPlain)
}
