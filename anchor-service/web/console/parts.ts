/** Pieces that several views are made of. */
import type { Party } from '@killick/sdk/core'
import { sealedIn } from '@killick/sdk/words'
import { type Child, h } from '../shared/dom.ts'
import { type Outcome, outcomeOf } from '../shared/outcome.ts'
import { said } from '../shared/text.ts'
import { outcomeMark } from '../shared/verdict.ts'
import { plural } from '../shared/words.ts'
import { type AlteredEvent, ApiError, type ListedEvent, type ReadableEvent, serviceNow } from './api.ts'

const LOOK_EVERY_MS = 2500
/** After this long without an answer what stands there is called old. ms */
const OLD_MS = 10_000

/** @param title in several parts where some of them are somebody else's words */
export function view(title: string | readonly Child[], ...children: Child[]): HTMLElement {
  const parts = Array.isArray(title) ? title : [title]
  return h('section', { 'aria-labelledby': 'title' }, h('h1', { id: 'title', tabindex: -1 }, ...parts), ...children)
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

/** What to say of an error. One that is no answer of the service is also reported as the browser reports its own. */
export function faultOf(error: unknown): string {
  if (error instanceof ApiError)
    return error.status === 401
      ? 'You are not signed in any more. Sign in in another tab of this browser, and go on here; or load this page again, which forgets what you have typed.'
      : error.message
  reportError(error)
  return 'The console could not show what the service answered.'
}

/** Pages behind the first that a list has, and how it gets the next one. */
type Paging = { pages: number; turn(): Promise<void> }
const pagings = new WeakMap<Element, Paging>()
const pagingOf = (shown: HTMLElement): Paging | undefined => {
  const more = shown.querySelector('.more')
  return more === null ? undefined : pagings.get(more)
}

/** How many pages behind the first stand in a view. */
export const pagesIn = (shown: HTMLElement): number => pagingOf(shown)?.pages ?? 0

/** So that whoever comes back to a very long list does not wait for all of it. */
const MOST_TURNS = 20

/** Gets as many pages as stood in a view before, while they can be had. */
export async function turnTo(shown: HTMLElement, pages: number): Promise<void> {
  const paging = pagingOf(shown)
  for (let i = 0; paging !== undefined && i < Math.min(pages, MOST_TURNS) && paging.pages === i; i++)
    await paging.turn()
}

/** A button for the next page while there is one. `load` shows that page and gives the cursor of the one after it. */
export function moreButton(label: string, next: string | null, load: (cursor: string) => Promise<string | null>) {
  let cursor = next
  const button = h('button', { type: 'button', hidden: next === null }, label)
  const end = h('span', { class: 'note', tabindex: -1, hidden: true }, 'No more are found.')
  // On paper there is no button, and without it a first page would read as all.
  const rest = h('span', { class: 'paper note', hidden: next === null }, 'There are more than stand here.')
  const alert = h('span', { class: 'bad note', role: 'alert' })
  const paging: Paging = {
    pages: 0,
    async turn() {
      if (cursor === null) return
      const isHeld = document.activeElement === button
      button.disabled = true
      try {
        cursor = await load(encodeURIComponent(cursor))
        paging.pages += 1
        button.hidden = cursor === null
        rest.hidden = cursor === null
        end.hidden = cursor !== null
        alert.textContent = ''
      } catch (error) {
        alert.textContent = faultOf(error)
      } finally {
        button.disabled = false
      }
      // What is disabled or hidden loses the keyboard, and a screen reader its place.
      if (isHeld && document.activeElement === document.body)
        (button.hidden ? end : button).focus({ preventScroll: true })
    },
  }
  button.addEventListener('click', () => void paging.turn())
  const all = h('div', { class: 'more' }, button, rest, end, ' ', alert)
  pagings.set(all, paging)
  return all
}

/** Whether this click is the second of a double click: it was meant for what the first one did, and confirms nothing. */
export const isSecondHalf = (click: Event): boolean => (click as MouseEvent).detail > 1

/** A form's work, once at a time: who sends it again while it is under way, or by a double click, means it once. */
export function sending(work: () => Promise<void>): { onsubmit(event: Event): void; onclick(event: Event): void } {
  let isBusy = false
  return {
    onsubmit(event) {
      event.preventDefault()
      if (isBusy) return
      isBusy = true
      void work().finally(() => {
        isBusy = false
      })
    },
    onclick(event) {
      if (isSecondHalf(event) && (event.target as Element).closest('[type=submit]')) event.preventDefault()
    },
  }
}

export function list(entries: Record<string, Child>): HTMLElement {
  const known = Object.entries(entries).filter(([, value]) => value !== null && value !== undefined && value !== false)
  return h('dl', {}, ...known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]))
}

/**
 * Looked at anew every few seconds, one look at a time; drawn anew only when something has changed, so that nobody loses their place.
 * Where a look fails or takes long, what stands there is said to be old.
 */
export async function watched<T>(
  read: () => Promise<T>,
  draw: (state: T) => readonly Child[],
  signal: AbortSignal,
  everyMs = LOOK_EVERY_MS,
): Promise<HTMLElement> {
  let place = h('div', {})
  const old = h('p', { class: 'caveat bad', role: 'alert', hidden: true })
  const all = h('div', {}, old, place)
  let shown = ''
  let lookedAt = ''
  /** When the look began that is not over, ms; null: none. */
  let began: number | null = null
  const look = async () => {
    const at = new Date(serviceNow()).toISOString()
    const state = await read()
    const text = JSON.stringify(state)
    if (text !== shown) {
      // A button that is gone when it is let go does nothing: the next look will do.
      if (place.querySelector(':active') !== null) return
      const fresh = h('div', {}, ...draw(state))
      const focused = place.querySelector(':focus')
      place.replaceWith(fresh)
      place = fresh
      shown = text
      if (focused) findAgain(fresh, focused)?.focus({ preventScroll: true })
    }
    lookedAt = at
    old.hidden = true
  }
  const tell = (why: string) => {
    const told = `What is below is of ${lookedAt.slice(11, 19)} UTC, and may have changed since. ${why}`
    if (!old.hidden && old.textContent === told) return
    old.textContent = told
    old.hidden = false
  }
  await look()
  const timer = setInterval(async () => {
    if (signal.aborted) return clearInterval(timer)
    if (began !== null) {
      if (performance.now() - began > OLD_MS) tell('The service has not answered since.')
      return
    }
    began = performance.now()
    await look().catch((error) => tell(faultOf(error)))
    began = null
  }, everyMs)
  return all
}

/** What does the same in what was drawn anew: by its id, or by where it leads. */
function findAgain(fresh: HTMLElement, gone: Element): HTMLElement | null {
  const href = gone.getAttribute('href')
  if (gone.id !== '') return fresh.querySelector(`#${CSS.escape(gone.id)}`)
  return href === null ? null : fresh.querySelector(`a[href="${CSS.escape(href)}"]`)
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

/** "5 minutes", "90 seconds": as it was promised, in the largest unit that it is a whole number of. */
export function exactly(seconds: number): string {
  const [size, one] = UNITS.find(([size]) => seconds % size === 0) ?? [1, 'second']
  const n = seconds / size
  return `${count(n)} ${one}${n === 1 ? '' : 's'}`
}

export const row = (...cells: Child[]): HTMLElement => h('tr', {}, ...cells.map((cell) => h('td', {}, cell)))

export function when(iso: string): HTMLElement {
  return h('time', { datetime: iso, title: iso }, iso.replace('T', ' ').replace(/\.\d+Z$/, ''))
}

type Place = Pick<ReadableEvent, 'source' | 'stream' | 'seq'>
/** To the history of what events name as their target. */
export const hrefOfHistory = ({ type, id }: Pick<Party, 'type' | 'id'>): string =>
  `#/history/${encodeURIComponent(type)}/${encodeURIComponent(id)}`

export const hrefOf = ({ source, stream, seq }: Place): string => `#/event/${source}/${stream}/${seq}`

/** How an event ended; hidden where the ledger no longer holds all of it. */
export const endingOf = ({
  fields,
  missing = 0,
  erased = 0,
  expired = 0,
}: Pick<ReadableEvent, 'fields' | 'missing' | 'erased' | 'expired'>): Outcome =>
  outcomeOf({ fields, hiddenFields: missing + erased + expired })

export const EVENT_HEADS = ['Recorded (UTC)', 'What', 'Outcome', 'Who', 'To what', 'Source']

/** Ids that are longer than this are cut in their middle; the whole one shows on a pointer's stay, and on the event's page. */
const MAX_ID = 36

const shortId = (id: string): HTMLElement =>
  id.length > MAX_ID ? h('span', { title: id }, said(`${id.slice(0, 16)}…${id.slice(-12)}`)) : said(id)

/** Whether the name is under a key, whose name stands in the id's place. */
export const isSealed = (party: Party): boolean => sealedIn('actor', party) !== null

/** "Zoë Lindqvist, zoe@example.com (user u-17)" */
export function who(party: Party): HTMLElement {
  const { type, id, name, email } = party
  if (isSealed(party)) return h('span', {}, 'name sealed ', h('span', { class: 'note below' }, 'by key ', shortId(id)))
  const known = [name, email].filter((each) => typeof each === 'string' && each !== '') as string[]
  if (known.length === 0) return h('span', {}, said(type), ' ', shortId(id))
  const [first = '', second] = known
  const rest = h(
    'span',
    { class: 'note below' },
    ...(second === undefined ? [] : [said(second), ', ']),
    said(type),
    ' ',
    shortId(id),
  )
  return h('span', {}, said(first), ' ', rest)
}

/** The class of a link in a table that would push all columns beside it out of sight, unless its words may be broken. */
export const wrapping = (text = ''): string | null => (/\S{40}/.test(text) ? 'long' : null)

/** A row that opens what its link leads to, wherever it is clicked; with the keyboard, the link does. */
export function opening(line: HTMLElement, href: string): HTMLElement {
  line.classList.add('opens')
  line.addEventListener('click', ({ target, ctrlKey, metaKey }) => {
    // Neither a link of its own nor what somebody has just marked to copy it.
    if ((target as Element).closest('a, button, input') !== null || String(getSelection()) !== '') return
    if (ctrlKey || metaKey) open(href)
    else location.hash = href
  })
  return line
}

/** When it is said to have happened, where that is not when it was recorded. */
function happened({ fields: { occurredAt }, recordedAt }: ReadableEvent): HTMLElement | null {
  const apart = Math.abs(Date.parse(String(occurredAt)) - Date.parse(recordedAt))
  if (!(apart > 60_000)) return null
  const [day = '', time = ''] = new Date(String(occurredAt)).toISOString().split(/[T.]/)
  const shown = recordedAt.startsWith(day) ? time : `${day} ${time}`
  return h('span', { class: 'note below', title: 'when it happened, as its source says' }, `said: ${shown}`)
}

export function eventRow(event: ListedEvent, isCurrent = false): HTMLElement {
  if (event.error) return alteredRow(event, isCurrent)
  const { action, actor, targets = [] } = event.fields
  const outcome = endingOf(event)
  const first = targets[0]
  const href = hrefOf(event)
  const line = row(
    h('span', {}, when(event.recordedAt), happened(event)),
    h(
      'a',
      { href, 'aria-current': isCurrent ? 'true' : null, class: wrapping(action) },
      action === undefined ? '(not held)' : said(action),
    ),
    outcome === 'none' ? h('span', { class: 'note' }, 'none recorded') : outcomeMark(outcome),
    actor ? who(actor) : h('span', { class: 'note' }, 'not held'),
    first
      ? h('span', {}, who(first), targets.length > 1 && h('span', { class: 'note' }, ` and ${targets.length - 1} more`))
      : '',
    h(
      'span',
      {},
      said(event.source),
      (event.missing ?? 0) > 0 && h('span', { class: 'bad note' }, ` ${plural(event.missing!, 'field')} lost`),
      (event.erased ?? 0) > 0 && h('span', { class: 'note' }, ` ${plural(event.erased!, 'field')} erased`),
      (event.expired ?? 0) > 0 && h('span', { class: 'note' }, ` ${plural(event.expired!, 'field')} expired`),
    ),
  )
  if (isCurrent) line.classList.add('current')
  return opening(line, href)
}

/** Whether a retention policy has dropped it: then nobody has altered anything. */
export const isDropped = ({ error }: AlteredEvent): boolean => error.code === 'event_dropped'

function alteredRow(event: AlteredEvent, isCurrent: boolean): HTMLElement {
  const { id, number, source, stream, seq, recordedAt, error } = event
  const name = `Event ${id === undefined ? '' : `${id}, `}number ${count(number)} of the log`
  const why = isDropped(event)
    ? h('span', { class: 'note' }, 'dropped by a policy')
    : h('span', { class: 'bad note' }, 'It was altered: ', h('code', {}, said(error.code)))
  const line = row(
    recordedAt === undefined ? h('span', { class: 'note' }, isDropped(event) ? 'gone' : 'unknown') : when(recordedAt),
    why,
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
