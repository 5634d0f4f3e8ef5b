/** Pieces that several views are made of. */
import { type Child, h } from '../shared/dom.ts'
import { type Outcome, outcomeOf } from '../shared/outcome.ts'
import { said } from '../shared/text.ts'
import { outcomeMark, party } from '../shared/verdict.ts'
import { plural } from '../shared/words.ts'
import type { AlteredEvent, ListedEvent, ReadableEvent } from './api.ts'

const LOOK_EVERY_MS = 2500

export function view(title: string, ...children: Child[]): HTMLElement {
  return h('section', { 'aria-labelledby': 'title' }, h('h1', { id: 'title', tabindex: -1 }, title), ...children)
}

/** What to do first, where there is nothing yet. */
export function empty(what: string, todo: string, command?: string): HTMLElement {
  return h(
    'div',
    { class: 'empty' },
    h('p', {}, h('strong', {}, what)),
    h('p', {}, todo),
    command !== undefined && h('pre', {}, command),
  )
}

export function table(heads: readonly string[], rows: readonly HTMLElement[], label: string): HTMLElement {
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label },
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...heads.map((head) => h('th', { scope: 'col' }, head)))),
      h('tbody', {}, ...rows),
    ),
  )
}

/** Where a table becomes a list, on small screens, each of these cells says what it is. */
export function labelled(heads: readonly string[], line: HTMLElement): HTMLElement {
  for (const [i, cell] of [...line.children].entries()) (cell as HTMLElement).dataset.head = heads[i] ?? ''
  return line
}

/** A button for the next page while there is one. `load` shows that page and gives the cursor of the one after it. */
export function moreButton(label: string, next: string | null, load: (cursor: string) => Promise<string | null>) {
  let cursor = next
  const button = h('button', { type: 'button', hidden: next === null }, label)
  button.addEventListener('click', async () => {
    button.disabled = true
    try {
      cursor = await load(encodeURIComponent(cursor!))
      button.hidden = cursor === null
    } finally {
      button.disabled = false
    }
  })
  return button
}

export function list(entries: Record<string, Child>): HTMLElement {
  const known = Object.entries(entries).filter(([, value]) => value !== null && value !== undefined && value !== false)
  return h('dl', {}, ...known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]))
}

/** Looked at anew every few seconds; drawn anew only when something has changed, so that nobody loses their place. */
export async function watched<T>(
  read: () => Promise<T>,
  draw: (state: T) => readonly Child[],
  signal: AbortSignal,
): Promise<HTMLElement> {
  let place = h('div', {})
  let shown = ''
  const look = async () => {
    const state = await read()
    const text = JSON.stringify(state)
    if (text === shown) return
    shown = text
    const fresh = h('div', {}, ...draw(state))
    place.replaceWith(fresh)
    place = fresh
  }
  await look()
  const timer = setInterval(() => {
    if (signal.aborted) clearInterval(timer)
    else void look().catch(() => {})
  }, LOOK_EVERY_MS)
  return place
}

export const count = (n: number): string => n.toLocaleString('en')

const UNITS: [seconds: number, one: string][] = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
]

/** "3 hours", "less than a minute" for what is shorter; rounded down. */
export function span(seconds: number): string {
  const [size, one] = UNITS.find(([size]) => seconds >= size) ?? [0, '']
  if (size === 0) return 'less than a minute'
  const n = Math.floor(seconds / size)
  return `${count(n)} ${one}${n === 1 ? '' : 's'}`
}

export const row = (...cells: Child[]): HTMLElement => h('tr', {}, ...cells.map((cell) => h('td', {}, cell)))

export function when(iso: string): HTMLElement {
  return h('time', { datetime: iso, title: iso }, iso.replace('T', ' ').replace(/\.\d+Z$/, ''))
}

type Place = Pick<ReadableEvent, 'source' | 'stream' | 'seq'>
export const hrefOf = ({ source, stream, seq }: Place): string => `#/event/${source}/${stream}/${seq}`

/** How an event ended; hidden where the ledger no longer holds all of it. */
export const endingOf = ({ fields, missing = 0 }: Pick<ReadableEvent, 'fields' | 'missing'>): Outcome =>
  outcomeOf({ fields: fields, hiddenFields: missing })

export const EVENT_HEADS = ['Recorded (UTC)', 'What', 'Outcome', 'Who', 'To what', 'Source']

export function eventRow(event: ListedEvent, isCurrent = false): HTMLElement {
  if (event.error) return unreadableRow(event, isCurrent)
  const { action, actor, targets = [] } = event.fields
  const outcome = endingOf(event)
  const first = targets[0]
  const line = row(
    when(event.recordedAt),
    h(
      'a',
      { href: hrefOf(event), 'aria-current': isCurrent ? 'true' : null },
      action === undefined ? '(not held)' : said(action),
    ),
    outcome === 'none' ? h('span', { class: 'note' }, 'none recorded') : outcomeMark(outcome),
    actor ? party(actor) : h('span', { class: 'note' }, 'not held'),
    first
      ? h(
          'span',
          {},
          party(first),
          targets.length > 1 && h('span', { class: 'note' }, ` and ${targets.length - 1} more`),
        )
      : '',
    h(
      'span',
      {},
      said(event.source),
      (event.missing ?? 0) > 0 && h('span', { class: 'bad note' }, ` ${plural(event.missing!, 'field')} lost`),
    ),
  )
  if (isCurrent) line.classList.add('current')
  return line
}

function unreadableRow(event: AlteredEvent, isCurrent: boolean): HTMLElement {
  const { id, number, source, stream, seq, recordedAt, error } = event
  const name = `Event ${id}, number ${count(number)} of the log`
  const line = row(
    recordedAt === undefined ? h('span', { class: 'note' }, 'unknown') : when(recordedAt),
    h('span', { class: 'bad note' }, 'It was altered: ', h('code', {}, said(error.code))),
    '',
    '',
    source === undefined || stream === undefined || seq === undefined
      ? name
      : h('a', { href: hrefOf({ source, stream, seq }), 'aria-current': isCurrent ? 'true' : null }, name),
    source === undefined ? '' : said(source),
  )
  if (isCurrent) line.classList.add('current')
  return line
}
