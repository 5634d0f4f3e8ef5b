/** Search, live tail and export. The address holds the search, so any search is a link. */
import { parseTime } from '@killick/sdk/verify'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'
import { ApiError, api, type ListedEvent } from '../api.ts'
import { EVENT_HEADS, empty, eventRow, moreButton, table, view } from '../parts.ts'

const FILTERS = {
  action: 'What',
  actor: 'Who (id)',
  target: 'To what (id)',
  outcome: 'Outcome',
  source: 'Source',
  stream: 'Stream',
  from: 'From',
  to: 'To',
} as const
const CHOICES: { readonly [name: string]: readonly string[] } = { outcome: ['success', 'failure', 'denied'] }
const EXAMPLES: { readonly [name: string]: string } = { action: 'invoice.*', from: '2026-11-23', to: '2026-11-23' }
const MAX_LIVE_ROWS = 500
/** The ledger records its own doings too, under this name; they would hide what others have done. */
const OWN = 'killick'
/** Rows that a page has at least, and pages that are asked for at most to fill it, where own events are left out. */
const FILLED = 25
const MAX_PAGES = 8
const DAY_MS = 86_400_000
const SAVED = 'killick.searches'

type Page = { events: ListedEvent[]; next: string | null }

const START = `npx killick keygen --out billing-api.key.json
# register the public key with POST /v1/sources, then:
echo '{"action":"hello","actor":{"type":"user","id":"me"},"targets":[]}' |
  npx killick record --source billing-api --key billing-api.key.json --url ${location.origin}`

export async function events(search: URLSearchParams, signal: AbortSignal): Promise<HTMLElement> {
  const terms = new URLSearchParams([...search].filter(([name, value]) => name in FILTERS && value !== ''))
  const withOwn = search.has('own') || terms.get('source') === OWN
  const { asked, faults } = times(terms)
  if (faults.size > 0) return view('Events', form(terms, withOwn, faults), saved(terms))
  const isShown = (event: ListedEvent) => withOwn || event.source !== OWN
  let left = 0
  const load = async (from: string | null): Promise<Page> => {
    const found: ListedEvent[] = []
    let next = from
    for (let pages = 0; pages < MAX_PAGES && found.length < FILLED && (next !== null || pages === 0); pages++) {
      const page = await api<Page>(`/v1/events?${asked}${next === null ? '' : `&cursor=${next}`}`)
      const shown = page.events.filter(isShown)
      left += page.events.length - shown.length
      found.push(...shown)
      next = page.next === null ? null : encodeURIComponent(page.next)
    }
    return { events: found, next }
  }
  let first: Page
  try {
    first = await load(null)
  } catch (error) {
    // The form stays, with what was typed into it.
    if (!(error instanceof ApiError) || error.status !== 400) throw error
    return view('Events', form(terms, withOwn), h('p', { class: 'bad note', role: 'alert' }, said(error.message)))
  }
  const rows = table(
    EVENT_HEADS,
    first.events.map((event) => eventRow(event)),
    'Events',
  )
  const body = rows.querySelector('tbody')!
  const own = h('p', { class: 'note' })
  const tell = () => {
    own.replaceChildren(
      ...(left === 0
        ? []
        : [
            `${plural(left, 'event')} of the ledger itself, in between, ${left === 1 ? 'is' : 'are'} not shown. `,
            h('a', { href: hrefWith(terms, true) }, 'Show them too'),
          ]),
    )
  }
  tell()
  const more = moreButton(
    'Older events',
    first.next === null ? null : decodeURIComponent(first.next),
    async (cursor) => {
      const page = await load(cursor)
      body.append(...page.events.map((event) => eventRow(event)))
      rows.hidden = body.rows.length === 0
      nothing.hidden = !rows.hidden
      tell()
      return page.next === null ? null : decodeURIComponent(page.next)
    },
  )
  const nothing =
    terms.size > 0
      ? empty(
          'Nothing matches this search.',
          'Terms must match exactly, but for invoice.*. Take one away, or widen the time.',
        )
      : empty('No events yet.', 'Make a key, register it, and record the first event:', START)
  nothing.hidden = first.events.length > 0
  rows.hidden = first.events.length === 0
  const show = (event: ListedEvent) => {
    if (!isShown(event)) return
    nothing.hidden = true
    rows.hidden = false
    body.prepend(eventRow(event))
    while (body.rows.length > MAX_LIVE_ROWS) body.lastElementChild!.remove()
  }
  return view('Events', form(terms, withOwn), saved(terms), live(asked, show, signal), nothing, rows, own, more)
}

const hrefWith = (terms: URLSearchParams, withOwn: boolean): string =>
  `#/events?${new URLSearchParams([...terms, ...(withOwn ? [['own', '1']] : [])])}`

/** What the service is asked for: a day by itself is the whole day, UTC. What is no time is told by the name of its field. */
function times(terms: URLSearchParams): { asked: URLSearchParams; faults: Map<string, string> } {
  const asked = new URLSearchParams(terms)
  const faults = new Map<string, string>()
  for (const name of ['from', 'to']) {
    const typed = terms.get(name)?.trim()
    if (typed === undefined) continue
    const isDay = /^\d{4}-\d\d-\d\d$/.test(typed)
    // Nobody types seconds.
    const time = parseTime(isDay ? `${typed}T00:00:00Z` : typed.replace(/^(\S{10}[Tt]\d\d:\d\d)(?!:)/, '$1:00'))
    if (time === null) faults.set(name, 'A day such as 2026-11-23, or a time such as 2026-11-23T09:30Z')
    else asked.set(name, new Date(isDay && name === 'to' ? time + DAY_MS : time).toISOString())
  }
  return { asked, faults }
}

/** Of a field that has a few values: any, or one of them. */
const choice = (name: string, terms: URLSearchParams): HTMLElement =>
  h(
    'select',
    { id: `f-${name}`, name },
    ...['', ...CHOICES[name]!].map((value) =>
      h('option', { value, selected: value === (terms.get(name) ?? '') }, value || 'any'),
    ),
  )

function form(terms: URLSearchParams, withOwn: boolean, faults: ReadonlyMap<string, string> = new Map()): HTMLElement {
  const inputs = Object.entries(FILTERS).map(([name, label]) =>
    h(
      'p',
      {},
      h('label', { for: `f-${name}` }, label),
      name in CHOICES
        ? choice(name, terms)
        : h('input', {
            id: `f-${name}`,
            name,
            type: 'text',
            value: terms.get(name) ?? '',
            placeholder: EXAMPLES[name] ?? null,
            'aria-invalid': faults.has(name) ? 'true' : null,
            'aria-describedby': faults.has(name) ? `f-${name}-fault` : null,
          }),
      faults.has(name) && h('span', { id: `f-${name}-fault`, class: 'bad note', role: 'alert' }, faults.get(name)!),
    ),
  )
  const own = h('input', { type: 'checkbox', id: 'own', checked: withOwn })
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const data = new FormData(event.target as HTMLFormElement)
    const filled = [...data].filter(([, value]) => value !== '') as [string, string][]
    location.hash = hrefWith(new URLSearchParams(filled.filter(([name]) => name in FILTERS)), own.checked)
  }
  const exported = (format: string) =>
    h(
      'a',
      {
        class: 'button',
        href: `/v1/events/export?${new URLSearchParams([...times(terms).asked, ['format', format]])}`,
        download: '',
      },
      format.toUpperCase(),
    )
  return h(
    'form',
    { class: 'filters', onsubmit: submit as (event: Event) => void, role: 'search' },
    ...inputs,
    h(
      'div',
      { class: 'actions' },
      h('button', { type: 'submit', class: 'primary' }, 'Search'),
      h('span', {}, own, ' ', h('label', { for: 'own' }, 'With the ledger’s own events')),
      h('span', { class: 'note' }, 'Save as'),
      exported('csv'),
      exported('ndjson'),
    ),
  )
}

function live(terms: URLSearchParams, show: (event: ListedEvent) => void, signal: AbortSignal): HTMLElement {
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
    source = new EventSource(`/v1/events/live?${terms}`)
    source.onopen = () => {
      state.textContent = 'New events appear as they are accepted.'
    }
    source.onerror = () => {
      state.textContent = 'The connection was lost; trying again.'
    }
    source.onmessage = ({ data }) => {
      show(JSON.parse(data as string) as ListedEvent)
    }
  })
  signal.addEventListener('abort', stop)
  return h('p', {}, box, ' ', h('label', { for: 'live' }, 'Live'), ' ', state)
}

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
            [...new URLSearchParams(search)].map(([name, value]) => `${name}: ${value}`).join(', '),
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
