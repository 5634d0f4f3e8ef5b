/** How things stand, at a glance: what is anchored, what happened day by day, what was denied, and what the last audit covers. */
import type { ActivityAnswer, FrontAnswer, ReadinessAnswer } from '../../../src/http/answers.ts'
import { type Child, h, s } from '../../shared/dom.ts'
import { anchoredWords, moment } from '../../shared/standing.ts'
import { api, type ListedEvent, readiness, serviceNow } from '../api.ts'
import { count, EVENT_HEADS, empty, eventRow, span, table, view, watched } from '../parts.ts'
import { readApprovals } from './approvals.ts'
import { readWaiting } from './retention.ts'

const LOOK_EVERY_MS = 10_000
const DAYS = 14
const FEW = 5

type Day = ActivityAnswer['days'][number]
type State = {
  front: FrontAnswer
  activity: ActivityAnswer
  audit: ReadinessAnswer['audit']
  /** Entries of the log; null: not known. */
  entries: number | null
  denied: ListedEvent[]
  /** How many calls wait for a person, at least; and what another person proposed. */
  waiting: number
  proposed: number
  /** So that what is told by the clock is drawn anew too. */
  minute: number
}

export async function home(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  return view('Overview', await watched(read, parts, signal, LOOK_EVERY_MS))
}

async function read(): Promise<State> {
  const [front, activity, { audit, logSize }, { events: denied }, { waiting }, { proposals }] = await Promise.all([
    api<FrontAnswer>('/'),
    api<ActivityAnswer>(`/v1/activity?days=${DAYS}`),
    readiness(),
    api<{ events: ListedEvent[] }>(`/v1/events?outcome=denied&limit=${FEW}`),
    readApprovals(),
    readWaiting(),
  ])
  const { log } = front
  // Where that is the time of the answer, the minute will do, or each look would draw everything anew.
  if (log?.upTo && log.rest !== 'entries') log.upTo = `${log.upTo.slice(0, 16)}:00.000Z`
  return {
    ...{ front, activity, audit, entries: logSize, denied, waiting: waiting.length, proposed: proposals.length },
    minute: Math.floor(serviceNow() / 60_000),
  }
}

function parts({ front, activity, audit, entries, denied, waiting, proposed }: State): Child[] {
  const { days } = activity
  const today = days.at(-1)!
  const of = (what: 'denied' | 'failed') => (today[what] === null ? 'many' : count(today[what]))
  return [
    waiting > 0 &&
      h(
        'p',
        { class: 'caveat', role: 'status' },
        h(
          'a',
          { href: '#/approvals' },
          waiting === 1 ? 'A call of an agent waits' : `${count(waiting)} calls of agents wait`,
        ),
        ' for a person to decide, as recorders say.',
      ),
    proposed > 0 &&
      h(
        'p',
        { class: 'caveat', role: 'status' },
        h('a', { href: '#/retention' }, proposed === 1 ? 'A proposal waits' : `${count(proposed)} proposals wait`),
        ' for a second person: what it says is to go, goes once that one confirms it.',
      ),
    h(
      'div',
      { class: 'tiles' },
      anchoredTile(front),
      tile(
        'Today',
        recorded(today),
        { href: `#/events?from=${today.day}&to=${today.day}` },
        `events accepted since 00:00 UTC; ${count(activity.events)} in the whole log, the ledger’s own included`,
      ),
      tile(
        'Denied today',
        of('denied'),
        {
          href: `#/events?outcome=denied&from=${today.day}&to=${today.day}&own=1`,
          tone: today.denied === 0 ? '' : 'bad',
        },
        `and ${of('failed')} failed`,
      ),
      auditTile(audit, entries),
    ),
    h(
      'div',
      { class: 'figures' },
      chart('Events a day', '', days, [['recorded', others]], () => ''),
      chart(
        'Denied and failed a day',
        'denied below, failed above',
        days,
        [
          ['denied', ({ denied }) => denied],
          ['failed', ({ failed }) => failed],
        ],
        // The ledger's own are counted too. A search finds one outcome, so it is one that the day has.
        ({ denied, failed }) => `&outcome=${denied === 0 && failed !== 0 ? 'failure' : 'denied'}&own=1`,
      ),
    ),
    h(
      'p',
      { class: 'note' },
      'Days are UTC, by when the ledger accepted an event. What it recorded itself is left out of the events, not of what was denied or failed: that is counted by search keys, so what was erased, has expired or was dropped may not be among it.',
    ),
    h('h2', {}, 'Denied last'),
    denied.length === 0
      ? empty(
          'No event is found that was denied.',
          'Such events are shown here, unless their outcome was erased or has expired, or a retention policy has dropped them.',
        )
      : table(
          EVENT_HEADS,
          denied.map((event) => eventRow(event)),
          'Denied last',
        ),
  ]
}

/** Of a day what sources recorded; all of it, where the ledger's own are too many to count. */
const others = ({ events, own }: Day): number => events - (own ?? 0)
const recorded = (day: Day): string => count(others(day))

function tile(
  name: string,
  value: Child,
  { href, tone = '' }: { href: string; tone?: string },
  ...more: Child[]
): HTMLElement {
  return h(
    'a',
    { class: `tile ${tone}`, href },
    h('span', { class: 'note' }, name),
    h('strong', {}, value),
    h('span', { class: 'note' }, ...more),
  )
}

function anchoredTile({ log }: FrontAnswer): HTMLElement {
  const target = { href: '#/anchors' }
  if (log === null || log.upTo === null) return tile('Anchored', 'nothing yet', { ...target, tone: 'wait' })
  const { tone, more } = anchoredWords(log)
  return tile(
    'Anchored up to',
    moment(log.upTo, serviceNow()),
    { ...target, tone: tone === 'word' ? '' : 'wait' },
    more,
  )
}

const OUTCOMES = { pass: 'passed', fail: 'failed', undecided: 'undecided' } as const

/**
 * What an audit says holds for what it looked at, which may be less than there is now. That is a share of the entries: it reads no event
 * that a policy has dropped, and looks at its entry even so.
 */
function auditTile(audit: ReadinessAnswer['audit'], entries: number | null): HTMLElement {
  const target = { href: '#/audit' }
  if (audit === null) return tile('Last audit', 'off', { ...target, tone: 'wait' }, 'this process does not audit')
  const { last } = audit
  if (last === null) return tile('Last audit', 'none yet', { ...target, tone: 'wait' })
  const [events, size] = [last.events ?? 0, last.size ?? 0]
  const share = (of: number) => (of === 0 ? 100 : Math.floor((Math.min(size, of) / of) * 100))
  const now = entries === null ? '' : `, of ${count(entries)} now (${share(entries)} %)`
  const ago = span((serviceNow() - Date.parse(last.at)) / 1000)
  return tile(
    'Last audit',
    OUTCOMES[last.outcome],
    { ...target, tone: { pass: '', fail: 'bad', undecided: 'wait' }[last.outcome] },
    `${ago} ago: ${count(size)} log entries${now}, with ${count(events)} events`,
  )
}

type Series = readonly [name: string, value: (day: Day) => number | null]

/** A column for each day, which leads to its events. What could not be counted has none, and says so. */
function chart(
  title: string,
  note: string,
  days: readonly Day[],
  series: readonly Series[],
  terms: (day: Day) => string,
): HTMLElement {
  const sum = (day: Day) => series.reduce((all, [, value]) => all + (value(day) ?? 0), 0)
  const most = Math.max(1, ...days.map(sum))
  const column = (day: Day) => {
    let top = 100
    const bars = series.map(([name, value]) => {
      const height = ((value(day) ?? 0) / most) * 100
      top -= height
      return s('rect', { class: `bar ${name}`, x: 0, y: top, width: 10, height })
    })
    const told = series.map(([name, value]) => `${value(day) === null ? 'too many' : count(value(day)!)} ${name}`)
    const isKnown = series.every(([, value]) => value(day) !== null)
    const label = `${day.day}: ${told.join(', ')}`
    return h(
      'li',
      {},
      h(
        'a',
        { href: `#/events?from=${day.day}&to=${day.day}${terms(day)}`, title: label },
        h('span', { class: 'aside' }, label),
        h('span', { class: 'note', 'aria-hidden': 'true' }, isKnown ? short(sum(day)) : '?'),
        s('svg', { viewBox: '0 0 10 100', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...bars),
        h('span', { class: 'note', 'aria-hidden': 'true' }, String(Number(day.day.slice(8)))),
      ),
    )
  }
  return h(
    'figure',
    {},
    h('figcaption', {}, title, ' ', h('span', { class: 'note' }, note)),
    h('ol', { class: 'columns' }, ...days.map(column)),
  )
}

/** Short enough to stand over a column. */
const short = (n: number): string =>
  n === 0 ? '' : new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(n)
