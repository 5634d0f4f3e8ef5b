/** Search, live tail and export. The address holds the search, so any search is a link. */
import type { SourceAnswer } from '../../../src/http/answers.ts'
import { type Child, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { type AlteredEvent, ApiError, api, type ListedEvent, serviceNow } from '../api.ts'
import { isDay, presets, type Span, timesOf } from '../days.ts'
import { EVENT_HEADS, empty, eventRow, faultOf, moreButton, table, view } from '../parts.ts'
import { bundleButton } from './bundles.ts'

const FILTERS = {
  action: 'What',
  actor: 'Who (id)',
  target: 'To what (id)',
  outcome: 'Outcome',
  tenant: 'Tenant (id)',
  source: 'Source',
  stream: 'Stream',
  from: 'From (UTC)',
  to: 'To, that day included',
} as const
const OUTCOMES = ['success', 'failure', 'denied']
/** White space at the ends of an id is part of it: without, a link to all that somebody did would lead to what others did. */
const IDS = new Set(['actor', 'target', 'tenant'])
const EXAMPLES: { readonly [name: string]: string } = { action: 'invoice.*', actor: 'u-17', target: '2026-0042' }
const MAX_LIVE_ROWS = 500
/** The ledger records its own doings too, under this name; they would hide what others have done. */
const OWN = 'killick'
const SAVED = 'killick.searches'

type Page = { events: ListedEvent[]; next: string | null }

const START = `npm install @killick/sdk
npx killick keygen --out billing-api.key.json
# register the public key with POST /v1/sources, then:
echo '{"action":"hello","actor":{"type":"user","id":"me"},"targets":[]}' |
  npx killick record --source billing-api --key billing-api.key.json --url ${location.origin}`

export async function events(search: URLSearchParams, signal: AbortSignal): Promise<HTMLElement> {
  const terms = new URLSearchParams(
    [...search]
      .filter(([name]) => Object.hasOwn(FILTERS, name))
      .map(([name, value]) => [name, IDS.has(name) ? value : value.trim()])
      .filter(([, value]) => value !== ''),
  )
  const withOwn = search.has('own') || terms.get('source') === OWN
  const { times, faults } = timesOf(Object.fromEntries(terms))
  const asking = form(terms, withOwn, faults)
  if (faults.size > 0) return view('Events', asking)
  const { from: _from, to: _to, ...others } = Object.fromEntries(terms)
  const asked = new URLSearchParams({ ...others, ...times, ...(!withOwn && { own: 'false' }) })
  let first: Page
  try {
    first = await api<Page>(`/v1/events?${asked}`)
  } catch (error) {
    // The form stays, with what was typed into it.
    if (!(error instanceof ApiError) || error.status !== 400) throw error
    return view('Events', asking, h('p', { class: 'bad note', role: 'alert' }, said(error.message)))
  }
  let list = listOf(first, asked, terms.size > 0)
  const live: Live = {
    async begin() {
      const page = await api<Page>(`/v1/events?${asked}`)
      if (list.join(page)) return
      const fresh = listOf(page, asked, terms.size > 0)
      list.all.replaceWith(fresh.all)
      list = fresh
    },
    show: (event) => list.show(event),
  }
  const own = !withOwn && [
    h(
      'p',
      { class: 'note' },
      'Left out: what the ledger recorded itself, such as anchors and sign-ins. ',
      h('a', { href: hrefWith(terms, true) }, 'Show that too'),
    ),
  ]
  return view('Events', asking, tools(terms, asked, live, signal), list.all, ...(own || []))
}

/** `begin` adds what the list lacks until now, so that nothing lacks between what stands in it and what comes; `show` adds what comes. */
type Live = { begin(): Promise<void>; show(event: ListedEvent): void }

type List = Pick<Live, 'show'> & {
  all: HTMLElement
  /** Puts above it what it lacks of a newer page; false: there may be more between them, so it cannot. */
  join(page: Page): boolean
}

/** What a search found. `show` puts an event above it, unless it is there. */
function listOf(first: Page, asked: URLSearchParams, isNarrowed: boolean): List {
  const rows = table(
    EVENT_HEADS,
    first.events.map((event) => eventRow(event)),
    'List of events',
  )
  const body = rows.querySelector('tbody')!
  const more = moreButton('Older events', first.next, async (cursor) => {
    const page = await api<Page>(`/v1/events?${asked}&cursor=${cursor}`)
    body.append(...page.events.map((event) => eventRow(event)))
    return page.next
  })
  const nothing = isNarrowed
    ? empty(
        'Nothing matches this search.',
        'Terms must match exactly, but for invoice.*, and nothing is found by what was erased or has expired, or by the contents of what a retention policy has dropped. Take one away, or widen the time.',
      )
    : empty('No events yet.', 'Make a key, register it, and record the first event:', START)
  nothing.hidden = first.events.length > 0
  rows.hidden = first.events.length === 0
  const cut = h(
    'p',
    { class: 'note', hidden: true },
    `Live, only the newest ${MAX_LIVE_ROWS} stay in this list. Search again for older ones.`,
  )
  /** The newest of them. */
  const known = new Set(first.events.map(nameOf))
  const show = (event: ListedEvent) => {
    if (known.has(nameOf(event))) return
    known.add(nameOf(event))
    if (known.size > 2 * MAX_LIVE_ROWS) known.delete(known.values().next().value!)
    nothing.hidden = true
    rows.hidden = false
    body.prepend(eventRow(event))
    if (body.rows.length <= MAX_LIVE_ROWS) return
    while (body.rows.length > MAX_LIVE_ROWS) body.lastElementChild!.remove()
    // The next page would be that behind what was just taken out, and nobody would see what lacks between.
    more.hidden = true
    cut.hidden = false
  }
  const join = ({ events, next }: Page) => {
    const fresh = events.filter((event) => !known.has(nameOf(event)))
    if (fresh.length === events.length && next !== null) return false
    for (const event of fresh.reverse()) show(event)
    return true
  }
  return { all: h('div', {}, nothing, rows, more, cut), show, join }
}

/** What no other event is called. */
const nameOf = (event: ListedEvent): string => event.leafHash ?? String((event as AlteredEvent).number)

const hrefWith = (terms: URLSearchParams, withOwn: boolean): string =>
  `#/events?${new URLSearchParams([...terms, ...(withOwn ? [['own', '1']] : [])])}`

/** Any outcome, or one of them. */
const choice = (chosen: string): HTMLElement =>
  h(
    'select',
    { id: 'f-outcome', name: 'outcome' },
    ...['', ...OUTCOMES].map((value) => h('option', { value, selected: value === chosen }, value || 'any')),
  )

/** Where days are chosen from a calendar; a text field where the address names something else than a day, so that it stays. */
function input(name: string, value: string): HTMLInputElement {
  const isTime = name === 'from' || name === 'to'
  const type = isTime && (value === '' || isDay(value)) ? 'date' : 'text'
  const list = name === 'source' ? 'sources' : null
  return h('input', { id: `f-${name}`, name, type, value, list, placeholder: EXAMPLES[name], spellcheck: 'false' })
}

function form(terms: URLSearchParams, withOwn: boolean, faults: ReadonlyMap<string, string>): HTMLElement {
  const fields = Object.keys(FILTERS).map((name) => {
    const value = terms.get(name) ?? ''
    const field = name === 'outcome' ? choice(value) : input(name, value)
    const fault = h('span', { id: `f-${name}-fault`, class: 'bad note', role: 'alert' })
    const show = (message: string | undefined) => {
      fault.textContent = message ?? ''
      fault.hidden = message === undefined
      for (const [attribute, text] of [
        ['aria-invalid', 'true'],
        ['aria-describedby', fault.id],
      ] as const) {
        if (message === undefined) field.removeAttribute(attribute)
        else field.setAttribute(attribute, text)
      }
    }
    show(faults.get(name))
    return { name, value, field, fault, show, filled: (field as HTMLInputElement).value }
  })
  const own = h('input', { type: 'checkbox', id: 'own', checked: withOwn })
  const go = (changed: Partial<Span> = {}) => {
    // A browser keeps to itself what somebody typed into a calendar field that is no day.
    const bad = fields.filter(({ field }) => field instanceof HTMLInputElement && field.validity.badInput)
    for (const { show } of bad) show('There is no such day.')
    if (bad.length > 0 && changed.from === undefined) return
    // A field shows no line breaks of an id, and people type white space that they do not mean. What else a field does not show, such as
    // a day that is none, is not asked for again.
    const typed = fields.map(({ name, value, field, filled }) => {
      const text = (field as HTMLInputElement).value
      return [name, IDS.has(name) && text === filled ? value : text.trim()] as const
    })
    const wanted = { ...Object.fromEntries(typed), ...changed }
    const filled = Object.entries(wanted).filter(([, value]) => value !== '')
    const href = hrefWith(new URLSearchParams(filled), own.checked)
    // A browser tells nobody of an address that stays as it is, and whoever searches again wants what is new.
    if (href === location.hash) dispatchEvent(new HashChangeEvent('hashchange'))
    else location.hash = href
  }
  const submit = (event: Event) => {
    event.preventDefault()
    go()
  }
  const spans = { ...presets(serviceNow()), 'Any time': { from: '', to: '' } }
  const isChosen = ({ from, to }: Span) => from === (terms.get('from') ?? '') && to === (terms.get('to') ?? '')
  const made = h(
    'form',
    { class: 'filters', onsubmit: submit, role: 'search', novalidate: true },
    ...fields.map(({ name, field, fault }) =>
      h('p', {}, h('label', { for: field.id }, FILTERS[name as keyof typeof FILTERS]), field, fault),
    ),
    h(
      'div',
      { class: 'actions' },
      h('button', { type: 'submit', class: 'primary' }, 'Search'),
      h(
        'span',
        { class: 'presets', role: 'group', 'aria-label': 'Time' },
        ...Object.entries(spans).map(([name, span]) =>
          h('button', { type: 'button', 'aria-pressed': String(isChosen(span)), onclick: () => go(span) }, name),
        ),
      ),
      h('span', {}, own, ' ', h('label', { for: 'own' }, 'With the ledger’s own events')),
    ),
    sourceNames(),
  )
  // On a telephone what was found comes first.
  const isOpen = !matchMedia('(max-width: 44rem)').matches || faults.size > 0
  return h('details', { class: 'search', open: isOpen }, h('summary', {}, 'Search', ...told(terms)), made)
}

/** "Search: denied, invoice.*", so that a folded form says what it asks for. */
const told = (terms: URLSearchParams): Child[] =>
  [...terms.values()].flatMap((value, i) => [i === 0 ? ': ' : ', ', said(value)])

/** Names to choose from, once they are known; the form works without. */
function sourceNames(): HTMLElement {
  const names = h('datalist', { id: 'sources' })
  void api<{ sources: SourceAnswer[] }>('/v1/sources?limit=500').then(
    ({ sources }) => names.append(...sources.map(({ source }) => h('option', { value: source }))),
    () => {},
  )
  return names
}

/** What can be done with a search and what it found: followed, kept, and saved as a file. */
function tools(terms: URLSearchParams, asked: URLSearchParams, live: Live, signal: AbortSignal): HTMLElement {
  const box = h('input', { type: 'checkbox', id: 'live' })
  const state = h('span', { class: 'note', role: 'status' })
  let source: EventSource | null = null
  const stop = () => {
    source?.close()
    source = null
    state.textContent = ''
  }
  box.addEventListener('change', () => {
    stop()
    if (!box.checked) return
    const opened = new EventSource(`/v1/events/live?${asked}`)
    source = opened
    const fail = (why: string) => {
      stop()
      box.checked = false
      state.textContent = `No longer live: ${why} Switch it on to try again.`
    }
    /** What comes while the list is read anew; null: that is over, and a connection after this one goes on where this one ended. */
    let early: ListedEvent[] | null = []
    let beginning: Promise<void> | null = null
    opened.onopen = async () => {
      try {
        beginning ??= live.begin()
        await beginning
      } catch (error) {
        if (source === opened) fail(faultOf(error))
        return
      }
      if (source !== opened) return
      for (const event of early ?? []) live.show(event)
      early = null
      state.textContent = 'New events appear as they are accepted.'
    }
    opened.onerror = () => {
      // A browser gives up what was refused, and tries again what broke off.
      if (opened.readyState === EventSource.CLOSED) fail('the service refused the connection.')
      else state.textContent = 'The connection was lost; trying again.'
    }
    opened.onmessage = ({ data }) => {
      const event = JSON.parse(data as string) as ListedEvent
      if (early === null) live.show(event)
      else early.push(event)
    }
  })
  signal.addEventListener('abort', stop)
  const exported = (format: string) =>
    h(
      'a',
      {
        class: 'button',
        href: `/v1/events/export?${new URLSearchParams([...asked, ['format', format]])}`,
        download: '',
      },
      format.toUpperCase(),
    )
  return h(
    'div',
    { class: 'tools' },
    h('span', {}, box, ' ', h('label', { for: 'live' }, 'Live'), ' ', state),
    saved(terms),
    h(
      'span',
      { class: 'actions' },
      isNarrow(asked) && bundleButton(conditionsOf(asked), 'Evidence bundle'),
      h('span', { class: 'note' }, 'Save as'),
      exported('csv'),
      exported('ndjson'),
    ),
  )
}

const conditionsOf = (asked: URLSearchParams): Record<string, string> =>
  Object.fromEntries([...asked].filter(([name]) => name !== 'own'))

/** A bundle is of something: of times alone there is none. */
const isNarrow = (asked: URLSearchParams): boolean =>
  [...asked.keys()].some((name) => !['own', 'from', 'to'].includes(name))

function readSaved(): string[] {
  try {
    return JSON.parse(localStorage.getItem(SAVED) ?? '[]') as string[]
  } catch {
    return []
  }
}

function saved(terms: URLSearchParams): HTMLElement {
  const list = h('ul', { class: 'plain saved' })
  const draw = () => {
    const searches = readSaved()
    const keep = (kept: string[]) => {
      localStorage.setItem(SAVED, JSON.stringify(kept))
      draw()
    }
    const add = () => keep([...new Set([...searches, String(terms)])])
    list.replaceChildren(
      ...searches.map((search) =>
        h(
          'li',
          {},
          h(
            'a',
            { href: `#/events?${search}` },
            ...[...new URLSearchParams(search)].flatMap(([name, value], i) => [
              `${i === 0 ? '' : ', '}${name}: `,
              said(value),
            ]),
          ),
          h(
            'button',
            {
              type: 'button',
              class: 'copy',
              'aria-label': 'Forget this search',
              onclick: () => keep(searches.filter((s) => s !== search)),
            },
            '×',
          ),
        ),
      ),
      ...(terms.size > 0 && !searches.includes(String(terms))
        ? [h('li', {}, h('button', { type: 'button', onclick: add }, 'Keep this search'))]
        : []),
    )
  }
  draw()
  return list
}
