/** Streams, how long each has been silent, and which were refused because something is missing before it. */
import type { RefusalsAnswer, StreamAnswer } from '../../../src/http/answers.ts'
import { type Child, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api, serviceNow } from '../api.ts'
import { count, empty, exactly, hrefOf, labelled, list, moreButton, row, span, table, view, when } from '../parts.ts'
import { bundleButton } from './bundles.ts'

type Page = { streams: StreamAnswer[]; next: string | null }
type Refused = RefusalsAnswer['refusals'][number]

const HEADS = ['Source', 'Stream', 'Events', 'Last batch (UTC)', 'Silent for', 'Last refusal (UTC)', 'Bundle']
const WORDS: Record<string, string> = {
  stream_gap: 'gap: events before it never arrived',
  stream_fork: 'fork: it does not name the event before it',
  equivocation: 'equivocation: another event stands there',
}

export async function streams(search: URLSearchParams): Promise<HTMLElement> {
  const source = search.get('source')
  const terms = new URLSearchParams(source === null ? {} : { source })
  const [first, { since, refusals }] = await Promise.all([
    api<Page>(`/v1/streams?${terms}`),
    api<RefusalsAnswer>('/v1/refusals'),
  ])
  const mine = refusals.filter((refused) => source === null || refused.source === source)
  const refusalOf = ({ source, stream }: StreamAnswer) =>
    mine.find((refused) => refused.source === source && refused.stream === stream)
  const line = (stream: StreamAnswer) => labelled(HEADS, streamRow(stream, refusalOf(stream)))
  const rows = table(HEADS, first.streams.map(line), 'List of streams')
  const more = moreButton('More streams', first.next, async (cursor) => {
    const page = await api<Page>(`/v1/streams?${terms}&cursor=${cursor}`)
    rows.querySelector('tbody')!.append(...page.streams.map(line))
    return page.next
  })
  return view(
    'Streams',
    source !== null &&
      h(
        'div',
        { class: 'tools' },
        h('span', {}, 'Only those of ', said(source), '. ', h('a', { href: '#/streams' }, 'Show all streams')),
        bundleButton({ source }, 'Evidence bundle of this source'),
      ),
    h(
      'p',
      { class: 'note' },
      'No stream was accepted with a gap: a batch is taken only where its stream ends. That all of it is still there, the audit tells. What a source has not sent cannot be seen from here; look for a source that has been silent for longer than it should be, or let it promise how often it is heard: killick register --heartbeat. A stream that its recorder has ended is not silent.',
    ),
    first.streams.length === 0 ? empty('No stream yet.', 'A source begins one with its first batch.') : rows,
    more,
    h('h2', {}, 'Rejected: out of order'),
    mine.length === 0
      ? empty(
          'No batch was out of order.',
          `Since ${clock(since)} UTC every batch that this process was sent followed the one before it. Earlier refusals, and those of other processes, are not known here.`,
        )
      : h(
          'div',
          {},
          h('p', { class: 'note' }, `The last of each stream, as this process has seen it since ${clock(since)} UTC.`),
          ...mine.map(refusedItem),
        ),
  )
}

function streamRow(stream: StreamAnswer, refused: Refused | undefined): HTMLElement {
  const { source, stream: name, events, lastAt, ended } = stream
  return row(
    h('a', { href: `#/events?source=${encodeURIComponent(source)}` }, said(source)),
    h('a', { href: hrefOf({ source, stream: name, seq: events - 1 }) }, said(name)),
    count(events),
    when(lastAt),
    ended === false ? silentFor(stream) : h('span', { class: 'note' }, ended ? 'ended' : 'not known any more'),
    refused ? h('span', {}, when(refused.at), ` ${refused.code}`) : h('span', { class: 'note' }, 'none known'),
    h('span', { class: 'tools' }, bundleButton({ source, stream: name }, 'Evidence bundle')),
  )
}

/** What its source promises, where there is silence beyond it. */
function silentFor({ lastAt, heartbeat }: StreamAnswer): Child {
  const seconds = (serviceNow() - Date.parse(lastAt)) / 1000
  if (heartbeat === null || seconds <= heartbeat) return span(seconds)
  return h(
    'span',
    { class: 'bad' },
    span(seconds),
    h('span', { class: 'bad note below' }, `promised every ${exactly(heartbeat)}`),
  )
}

function refusedItem({ source, stream, code, seq, expected, at, times }: Refused): HTMLElement {
  const missing: Record<string, Child> =
    code === 'stream_gap'
      ? {
          'Missing then':
            seq - expected === 1 ? `event ${count(expected)}` : `events ${count(expected)} to ${count(seq - 1)}`,
        }
      : {}
  return h(
    'article',
    { class: 'card' },
    h('h3', {}, said(source), ', stream ', said(stream)),
    list({
      Refused: h(
        'span',
        {},
        when(at),
        times > 1 && h('span', { class: 'note' }, `, ${count(times)} refusals of this stream in all`),
      ),
      Reason: WORDS[code] ?? said(code),
      'Batch starts at': count(seq),
      'Stream went on at': count(expected),
      ...missing,
    }),
  )
}

const clock = (iso: string): string => iso.replace('T', ' ').replace(/\.\d+Z$/, '')
