/** Evidence bundles: asked for, on their way, and to be taken away; and the button elsewhere that asks for one. */
import type { BundleAnswer } from '../../../src/http/answers.ts'
import { type Child, copyable, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api } from '../api.ts'
import { count, empty, faultOf, isSecondHalf, labelled, row, table, view, watched, when } from '../parts.ts'

const HEADS = ['Asked for (UTC)', 'What', 'State', 'Events', 'File', '']
const LOOK_EVERY_MS = 1_000

type Conditions = BundleAnswer['conditions']

/** @param search `shown`: which of them was asked for just now */
export async function bundles(search: URLSearchParams, signal: AbortSignal): Promise<HTMLElement> {
  const alert = h('p', { class: 'bad note', role: 'alert', hidden: true })
  const shown = search.get('shown')
  /** Those that were asked once whether they should go. */
  const sure = new Set<string>()
  const act = (work: () => Promise<unknown>) => async (event?: Event) => {
    if (event && isSecondHalf(event)) return
    alert.hidden = true
    try {
      await work()
    } catch (error) {
      alert.textContent = faultOf(error)
      alert.hidden = false
    }
  }
  const line = (job: BundleAnswer) => {
    const made = labelled(HEADS, bundleRow(job, sure, act))
    if (job.id === shown) made.classList.add('current')
    return made
  }
  const list = await watched(
    async () => (await api<{ bundles: BundleAnswer[] }>('/v1/bundles')).bundles,
    (all) => [
      all.length === 0
        ? empty(
            'No bundle yet.',
            'Search for events, or choose a source or a stream, and press “Evidence bundle”: one file with everything about it, which proves itself.',
          )
        : table(HEADS, all.map(line), 'List of bundles'),
    ],
    signal,
    LOOK_EVERY_MS,
  )
  return view(
    'Evidence bundles',
    h(
      'p',
      { class: 'note' },
      'A bundle holds events with all that is needed to check them, years later and without this service. Of a source or a stream it also shows whether anything is missing. Whoever gets one drops it onto ',
      h('a', { href: '/verify/', target: '_blank', rel: 'noopener' }, 'the verification page'),
      ', or runs killick verify. Asking for one and taking it away are recorded in the ledger.',
    ),
    alert,
    h('div', { class: 'bundles' }, list),
  )
}

type Act = (work: () => Promise<unknown>) => (event?: Event) => Promise<void>

function bundleRow(job: BundleAnswer, sure: Set<string>, act: Act): HTMLElement {
  const { id, askedAt, conditions, events, state } = job
  const remove = h(
    'button',
    { type: 'button', class: 'small', id: `remove-${id}` },
    sure.has(id) ? 'Remove for good?' : 'Remove',
  )
  remove.addEventListener('click', async (event) => {
    if (isSecondHalf(event)) return
    if (state === 'done' && !sure.has(id)) {
      sure.add(id)
      remove.textContent = 'Remove for good?'
      return
    }
    await act(() => api(`/v1/bundles/${id}`, 'DELETE'))()
  })
  if (state !== 'done') remove.textContent = state === 'failed' ? 'Remove' : 'Give up'
  const again = h(
    'button',
    {
      ...{ type: 'button', class: 'small', id: `again-${id}` },
      onclick: act(() => api('/v1/bundles', 'POST', { ...conditions, again: true })),
    },
    'Make again',
  )
  const isOver = state === 'done' || state === 'failed'
  return row(
    when(askedAt),
    whatOf(conditions),
    stateOf(job),
    events === 0 ? '' : count(events),
    fileOf(job),
    h('span', { class: 'tools' }, h('span', { class: 'actions' }, isOver && again, remove)),
  )
}

/** What it is of, and how much that can show. */
function whatOf({ source, stream, first, last, from, to, ...others }: Conditions): HTMLElement {
  const period = [from && `from ${clock(from)}`, to && `until ${clock(to)}`].filter(Boolean).join(' ')
  const narrow = Object.entries(others).filter(([, value]) => value !== undefined)
  const isWhole = narrow.length === 0 && source !== undefined && (stream === undefined || period === '')
  const below = (...words: Child[]) => h('span', { class: 'note below' }, ...words)
  if (!isWhole) {
    const all = Object.entries({ source, stream, ...others }).filter(([, value]) => value !== undefined)
    return h(
      'span',
      {},
      ...all.flatMap(([name, value], i) => [i > 0 && ', ', `${name} `, said(String(value))]),
      below(period, period !== '' && ': ', 'what the index finds'),
    )
  }
  if (stream === undefined)
    return h('span', {}, 'Everything of ', said(source!), below(period || 'from the first entry to the newest'))
  const places =
    first === undefined && last === undefined
      ? 'from its first event to its newest'
      : `places ${count(first ?? 0)} to ${last === undefined ? 'the newest' : count(last)}`
  return h('span', {}, 'Stream ', said(stream), ' of ', said(source!), below(places))
}

function stateOf({ state, entries, of, error, startedAt }: BundleAnswer): HTMLElement {
  if (state === 'waiting') return h('span', { class: 'note' }, 'waits for its turn')
  if (state === 'done') return h('span', { class: 'state open' }, 'ready')
  if (state === 'failed')
    return h('span', { class: 'bad note' }, said(error?.detail ?? ''), ' ', h('code', {}, said(error?.code ?? '')))
  return h(
    'span',
    { class: 'making' },
    h('progress', { max: of ?? 1, value: of === null ? null : entries, 'aria-label': 'Entries of the log' }),
    h(
      'span',
      { class: 'note below' },
      of === null ? `begun ${clock(startedAt ?? '')}` : `${count(entries)} of ${count(of)} entries`,
    ),
  )
}

function fileOf({ id, state, bytes, sha256, removedAt }: BundleAnswer): HTMLElement {
  if (state !== 'done' || sha256 === null) return h('span', { class: 'note' }, bytes > 0 ? sizeOf(bytes) : '')
  const sum = copyable(sha256, 'SHA-256')
  sum.querySelector('button')!.id = `sum-${id}`
  return h(
    'span',
    { class: 'file' },
    h('a', { class: 'button small', href: `/v1/bundles/${id}/file`, download: '' }, `Download, ${sizeOf(bytes)}`),
    h('span', { class: 'note below' }, 'SHA-256 ', sum),
    removedAt !== null && h('span', { class: 'note below' }, `kept until ${removedAt.slice(0, 10)}`),
  )
}

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

function sizeOf(bytes: number): string {
  const step = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1)
  return `${(bytes / 1000 ** step).toLocaleString('en', { maximumSignificantDigits: 3 })} ${UNITS[step]}`
}

const clock = (iso: string): string => iso.replace('T', ' ').replace(/(:00)?(\.\d+)?Z$/, '')

/** Asks for a bundle, and shows it among the others. */
export function bundleButton(conditions: Record<string, string>, label: string): HTMLElement {
  const alert = h('span', { class: 'bad note', role: 'alert' })
  const button = h('button', { type: 'button', title: 'One file with all of this, which proves itself' }, label)
  button.addEventListener('click', async () => {
    button.disabled = true
    try {
      const { id } = await api<BundleAnswer>('/v1/bundles', 'POST', conditions)
      location.hash = `#/bundles?shown=${id}`
    } catch (error) {
      alert.textContent = faultOf(error)
      button.disabled = false
    }
  })
  return h('span', {}, button, ' ', alert)
}
