/** Calls of agents that wait for a person, and what was decided last. The recorder that holds a call asks, on a page of its own. */
import { isObject, type JsonObject } from '@killick/sdk/core'
import { sessionOf } from '@killick/sdk/words'
import type { SessionAnswer } from '../../../src/http/answers.ts'
import { type Child, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api, type ListedEvent, type ReadableEvent, serviceNow } from '../api.ts'
import { count, empty, hrefOf, labelled, row, span, table, view, watched, when, who } from '../parts.ts'

const ACTION = 'mcp.approval'
/** What came of a call, also where its recorder was killed while it waited: then that is all that is heard of it. */
const OUTCOME = 'mcp.tools.call.result'
/** A call waits for a day at most. */
const LONGEST_MS = 86_400_000
/** Events that are looked through, and decisions that are shown. */
const MOST = 500
const FEW = 20

type AskedCall = { event: ReadableEvent; known: JsonObject }
/** `isAll`: no call can wait that is not among these. */
export type Approvals = { waiting: AskedCall[]; decided: AskedCall[]; isAll: boolean }

/** What the recorders say that they have asked and heard within a day. */
export async function readApprovals(): Promise<Approvals> {
  const { calls: told, isAll } = await readCalls(ACTION, new Date(serviceNow() - LONGEST_MS).toISOString())
  const decided = told.filter(({ known }) => known.verdict !== 'waits')
  const isOver = new Set(decided.map((it) => callOf(it)))
  const undecided = told.filter(
    (it) =>
      it.known.verdict === 'waits' && !isOver.has(callOf(it)) && Date.parse(String(it.known.until)) > serviceNow(),
  )
  const oldest = undecided.at(-1)?.event.recordedAt
  const ended = oldest === undefined ? [] : (await readCalls(OUTCOME, oldest)).calls
  const hasEnded = new Set(ended.map(intentOf))
  const waiting = undecided.filter((it) => it.known.intent === undefined || !hasEnded.has(intentOf(it)))
  return { waiting, decided: decided.slice(0, FEW), isAll }
}

/** The newest events of an action that tell of calls; one that cannot be read is left out. */
async function readCalls(action: string, from: string): Promise<{ calls: AskedCall[]; isAll: boolean }> {
  const terms = new URLSearchParams({ action, limit: String(MOST), from })
  const { events, next } = await api<{ events: ListedEvent[]; next: string | null }>(`/v1/events?${terms}`)
  const calls = events.flatMap((event): AskedCall[] => {
    if (event.error) return []
    const { metadata } = event.fields
    const known = isObject(metadata) ? metadata.mcp : undefined
    return isObject(known) ? [{ event, known }] : []
  })
  return { calls, isAll: next === null }
}

/**
 * Which call it is about. Ids are the word of whoever records, so they count within their stream alone; an intent that could not be recorded
 * has none.
 */
const callOf = ({ event, known }: AskedCall): string =>
  JSON.stringify([event.source, event.stream, sessionOf(event), known.intent, known.requestId])

const intentOf = ({ event, known }: AskedCall): string => JSON.stringify([event.source, event.stream, known.intent])

export async function approvals(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  const { approvals: origins } = await api<SessionAnswer>('/console/session')
  const read = async () => ({ ...(await readApprovals()), minute: Math.floor(serviceNow() / 60_000) })
  return view('Calls that wait for a person', await watched(read, (state) => parts(state, origins), signal))
}

const WAITING_HEADS = ['Denied after (UTC)', 'Call', 'Agent', 'Rule', 'Source', 'Decide']
const DECIDED_HEADS = ['Recorded (UTC)', 'Call', 'What came of it', 'Who', 'Source']

function parts({ waiting, decided, isAll }: Approvals, origins: readonly string[]): Child[] {
  return [
    waiting.length === 0
      ? empty(
          'No call waits.',
          'Where the policy of a recorder for agents lets a call wait for a person, it is shown here until it is decided.',
        )
      : table(
          WAITING_HEADS,
          waiting.map((it) => labelled(WAITING_HEADS, waitingRow(it, origins))),
          'Calls that wait',
        ),
    !isAll &&
      h('p', { class: 'caveat' }, `Only the newest ${count(MOST)} events about such calls were looked through.`),
    h(
      'p',
      { class: 'note' },
      'The recorder decides, on a page of its own, by your key for it; this ledger never sees the key. Its events come within seconds, so one that is decided may still be shown for a moment.',
    ),
    h('h2', {}, 'Decided last'),
    decided.length === 0
      ? empty('Nothing was decided within a day.', 'What came of such calls is shown here.')
      : table(
          DECIDED_HEADS,
          decided.map((it) => labelled(DECIDED_HEADS, decidedRow(it))),
          'Decided last',
        ),
  ]
}

function waitingRow(it: AskedCall, origins: readonly string[]): HTMLElement {
  const { event, known } = it
  const until = new Date(String(known.until)).toISOString()
  return row(
    h(
      'span',
      {},
      when(until),
      h('span', { class: 'note below' }, `in ${span((Date.parse(until) - serviceNow()) / 1000)}`),
    ),
    call(event),
    event.fields.actor ? who(event.fields.actor) : '',
    said(String(known.rule ?? '')),
    said(event.source),
    decideAt(String(known.link), origins),
  )
}

/** People enter their keys there, and any source can name an address: only where the operator, or the person's own machine, asks. */
function decideAt(link: string, origins: readonly string[]): HTMLElement {
  if (!/^https?:/.test(link) || !URL.canParse(link))
    return h('span', { class: 'note' }, 'no address that people can open')
  const { origin, protocol, hostname, pathname } = new URL(link)
  const isOwn = protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname)
  const isKnown = (isOwn || origins.includes(origin)) && pathname.startsWith('/approve/')
  if (!isKnown)
    return h(
      'span',
      { class: 'note' },
      said(origin),
      ', which is not among KILLICK_APPROVAL_URLS. Enter no key there unless you know who asks.',
    )
  return h(
    'span',
    {},
    h('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, 'Look and decide'),
    h('span', { class: 'note below' }, said(origin), isOwn && ', on this machine'),
  )
}

const VERDICTS: Readonly<Record<string, string>> = {
  approved: 'approved',
  denied: 'denied',
  timed_out: 'denied: nobody decided in time',
  too_many: 'denied: too many waited',
  withdrawn: 'taken back by the client',
}

function decidedRow({ event, known }: AskedCall): HTMLElement {
  const verdict = String(known.verdict)
  return row(
    when(event.recordedAt),
    call(event),
    h('span', { class: verdict === 'approved' ? '' : 'bad' }, VERDICTS[verdict] ?? said(verdict)),
    event.fields.actor && known.vouchedBy === 'key' ? who(event.fields.actor) : h('span', { class: 'note' }, 'nobody'),
    said(event.source),
  )
}

const call = (event: ReadableEvent): HTMLElement => {
  const [tool] = event.fields.targets ?? []
  return h('a', { href: hrefOf(event) }, said(tool?.id ?? 'a call'))
}
