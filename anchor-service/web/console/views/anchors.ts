/** Anchors on a time line, and what they cost. */
import type uPlot from 'uplot'
import type { AnchorAnswer } from '../../../src/http/answers.ts'
import { copyable, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { chainName } from '../../shared/words.ts'
import { api } from '../api.ts'
import { chartMaker } from '../fetched-charts.ts'
import { empty, labelled, moreButton, row, table, view, when } from '../parts.ts'

const HEADS = ['Planned (UTC)', 'State', 'Log size', 'Chain', 'Block', 'Transaction', 'Gas']
const PLOTS: [title: string, unit: string, value: (anchor: AnchorAnswer) => number | null][] = [
  ['Gas', 'gas', ({ gasUsed }) => gasUsed],
  [
    'Fee',
    'gwei',
    ({ gasUsed, gasPrice }) => (gasUsed === null || gasPrice === null ? null : (gasUsed * Number(gasPrice)) / 1e9),
  ],
  // Both by the service's clock: the chain's is another, and their difference would be no latency.
  [
    'From plan to final',
    'seconds',
    ({ state, plannedAt, changedAt }) =>
      state === 'final' ? (Date.parse(changedAt) - Date.parse(plannedAt)) / 1000 : null,
  ],
]

/** What a state means that leads to another, where the service says no more. Of these, proofs show none. */
const MEANS: { readonly [state in AnchorAnswer['state']]?: string } = {
  planned: 'not signed yet',
  signed: 'not sent yet',
  replaced: 'signed again with a higher fee, not sent yet',
  broadcast: 'sent, in no block yet',
  mined: 'in a block, but not deep enough to count',
}
const SETTLED: readonly AnchorAnswer['state'][] = ['confirmed', 'final', 'abandoned']

type Page = { anchors: AnchorAnswer[]; next: string | null }

/** As many as the charts show well. */
const PAGE = 100

export async function anchors(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  const { anchors: all, next } = await api<Page>(`/v1/anchors?limit=${PAGE}`)
  if (all.length === 0) {
    return view(
      'Anchors',
      empty(
        'Nothing is anchored yet.',
        'Name a chain, a contract and a key, and restart the service; the first anchor follows the first event:',
        'KILLICK_RPC_URL=… KILLICK_CONTRACT=0x… KILLICK_CHAIN_KEY=…',
      ),
    )
  }
  const rows = table(HEADS, all.map(line), 'List of anchors')
  const more = moreButton('Older anchors', next, async (cursor) => {
    const page = await api<Page>(`/v1/anchors?limit=${PAGE}&cursor=${cursor}`)
    rows.querySelector('tbody')!.append(...page.anchors.map(line))
    return page.next
  })
  const inTime = [...all].reverse().filter(({ time }) => time !== null)
  const charts = h('div', { class: 'charts' })
  const draw = (Plot: typeof uPlot) => {
    // The size of a chart is that of its place, which it has only once it stands in the page, and which zooming and turning change.
    let width = 0
    const place = new ResizeObserver(() => {
      if (charts.clientWidth === width) return
      width = charts.clientWidth
      charts.replaceChildren(...PLOTS.map((plot) => chart(Plot, plot, inTime, width)))
    })
    place.observe(charts)
    signal.addEventListener('abort', () => place.disconnect())
  }
  chartMaker().then(draw, () =>
    charts.append(h('p', { class: 'bad note', role: 'alert' }, 'What draws the charts could not be loaded.')),
  )
  return view('Anchors', charts, rows, more)
}

function line(a: AnchorAnswer): HTMLElement {
  return labelled(
    HEADS,
    row(
      when(a.plannedAt),
      stateOf(a),
      a.size.toLocaleString('en'),
      // After a succession the anchors of two logs stand here, and proofs name them by this.
      h(
        'span',
        { title: `contract ${a.contract}, log ${a.logId}` },
        chainName(a.chainId),
        h('span', { class: 'note below' }, 'log ', said(`${a.logId.slice(0, 10)}…`)),
      ),
      a.block === null ? '' : String(a.block),
      a.transaction ? copyable(a.transaction, 'transaction') : '',
      a.gasUsed?.toLocaleString('en') ?? '',
    ),
  )
}

/** What stands there for long is stuck, so it says since when. */
function stateOf({ state, detail, changedAt }: AnchorAnswer): HTMLElement {
  const more = detail ?? MEANS[state]
  return h(
    'span',
    {},
    h('span', { class: 'whole' }, said(state)),
    more && h('span', { class: 'note below' }, said(more)),
    !SETTLED.includes(state) && h('span', { class: 'note below' }, 'since ', when(changedAt)),
  )
}

function chart(
  Plot: typeof uPlot,
  [title, unit, value]: (typeof PLOTS)[number],
  anchors: readonly AnchorAnswer[],
  width: number,
): HTMLElement {
  const values = anchors.map(value)
  const known = values.filter((v) => v !== null)
  const colour = getComputedStyle(document.documentElement)
  const [ink, accent, rule] = ['--quiet', '--accent', '--rule'].map((name) => probe(colour.getPropertyValue(name)))
  const place = h('div', { 'aria-hidden': 'true' })
  const axis = { stroke: ink!, grid: { stroke: rule!, width: 1 }, ticks: { stroke: rule!, width: 1 } }
  new Plot(
    {
      width: Math.max(240, Math.min(width, width > 900 ? width / 3 - 16 : width)),
      height: 170,
      padding: [8, 44, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      axes: [
        { ...axis, space: 110, values: (_, times, __, ___, step) => times.map((time) => clock(time, step)) },
        {
          ...axis,
          size: 64,
          values: (_, ticks) => ticks.map(short),
        },
      ],
      series: [{}, { stroke: accent!, width: 2, points: { show: true, size: 5 } }],
    },
    [anchors.map(({ time }) => time!), values],
    place,
  )
  const range = known.length === 0 ? 'no data' : `${short(Math.min(...known))} to ${short(Math.max(...known))} ${unit}`
  return h('figure', {}, h('figcaption', {}, title, h('span', { class: 'note' }, ` ${range}`)), place)
}

const short = (value: number) => value.toLocaleString('en', { maximumSignificantDigits: 4 })
/** Month, day and time, UTC; the time with its seconds where marks are less than a minute apart. */
const clock = (seconds: number, step: number) => {
  const iso = new Date(seconds * 1000).toISOString()
  return step < 60 ? iso.slice(11, 19) : iso.slice(5, 16).replace('T', ' ')
}

/** A canvas does not know light-dark(); an element does. */
function probe(colour: string): string {
  const element = h('span', { hidden: true })
  document.body.append(element)
  element.style.color = colour
  const computed = getComputedStyle(element).color
  element.remove()
  return computed
}
