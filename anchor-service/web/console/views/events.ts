/** Search, live tail and export. The address holds the search, so any search is a link. */
import { h } from '../../page/dom.ts'
import { api, type ListedEvent } from '../api.ts'
import { EVENT_HEADS, empty, eventRow, moreButton, table, view } from '../parts.ts'

const FILTERS = {
  action: 'What',
  actor: 'Who (id)',
  target: 'To what (id)',
  source: 'Source',
  from: 'From',
  to: 'To',
} as const
const MAX_LIVE_ROWS = 500
const SAVED = 'killick.searches'

type Page = { events: ListedEvent[]; next: string | null }

const START = `npx killick keygen --out billing-api.key.json
# register the public key with POST /v1/sources, then:
echo '{"action":"hello","actor":{"type":"user","id":"me"},"targets":[]}' |
  npx killick record --source billing-api --key billing-api.key.json --url ${location.origin}`

export async function events(search: URLSearchParams, signal: AbortSignal): Promise<HTMLElement> {
  const terms = new URLSearchParams([...search].filter(([name, value]) => name in FILTERS && value !== ''))
  const first = await api<Page>(`/v1/events?${terms}`)
  const rows = table(
    EVENT_HEADS,
    first.events.map((event) => eventRow(event)),
    'Events',
  )
  const body = rows.querySelector('tbody')!
  const more = moreButton('Older events', first.next, async (cursor) => {
    const page = await api<Page>(`/v1/events?${terms}&cursor=${cursor}`)
    body.append(...page.events.map((event) => eventRow(event)))
    return page.next
  })
  const nothing =
    terms.size > 0
      ? empty('Nothing matches this search.', 'Terms must match exactly. Take one away, or widen the time.')
      : empty('No events yet.', 'Make a key, register it, and record the first event:', START)
  nothing.hidden = first.events.length > 0
  rows.hidden = first.events.length === 0
  const show = (event: ListedEvent) => {
    nothing.hidden = true
    rows.hidden = false
    body.prepend(eventRow(event))
    while (body.rows.length > MAX_LIVE_ROWS) body.lastElementChild!.remove()
  }
  return view('Events', form(terms), saved(terms), live(terms, show, signal), nothing, rows, more)
}

function form(terms: URLSearchParams): HTMLElement {
  const inputs = Object.entries(FILTERS).map(([name, label]) =>
    h(
      'p',
      {},
      h('label', { for: `f-${name}` }, label),
      h('input', {
        id: `f-${name}`,
        name,
        type: 'text',
        value: terms.get(name) ?? '',
        placeholder: name === 'from' || name === 'to' ? '2026-11-23T00:00Z' : null,
      }),
    ),
  )
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const data = new FormData(event.target as HTMLFormElement)
    const filled = [...data].filter(([, value]) => value !== '') as [string, string][]
    location.hash = `#/events?${new URLSearchParams(filled)}`
  }
  const exported = (format: string) =>
    h(
      'a',
      {
        class: 'button',
        href: `/v1/events/export?${new URLSearchParams([...terms, ['format', format]])}`,
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
    source = new EventSource('/v1/events/live')
    source.onopen = () => {
      state.textContent = 'New events appear as they are accepted.'
    }
    source.onerror = () => {
      state.textContent = 'The connection was lost; trying again.'
    }
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data as string) as ListedEvent
      if (matches(event, terms)) show(event)
    }
  })
  signal.addEventListener('abort', stop)
  return h('p', {}, box, ' ', h('label', { for: 'live' }, 'Live'), ' ', state)
}

/** The same rules as the search of the service; an event that cannot be read is shown whatever is searched for. */
function matches(event: ListedEvent, terms: URLSearchParams): boolean {
  if (event.error) return true
  const { source, recordedAt, fields } = event
  const is = (name: string, value: string | undefined) => !terms.has(name) || terms.get(name) === value
  const time = Date.parse(recordedAt)
  return (
    is('source', source) &&
    is('action', fields.action) &&
    is('actor', fields.actor?.id) &&
    (!terms.has('target') || (fields.targets ?? []).some(({ id }) => id === terms.get('target'))) &&
    (!terms.has('from') || time >= Date.parse(terms.get('from')!)) &&
    (!terms.has('to') || time < Date.parse(terms.get('to')!))
  )
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
