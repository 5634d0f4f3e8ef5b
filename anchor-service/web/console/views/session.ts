/** A session: its steps in order, each with what came of it and its proof; played in its own time or faster. */
import { endingInWords, readStep, SESSION_TARGET, type SessionStep, sealedNames, tellStep } from '@killick/sdk/words'
import type { AnchorAnswer } from '../../../src/http/answers.ts'
import { type Child, copyable, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'
import { api, type ListedEvent, type ReadableEvent } from '../api.ts'
import { count, empty, hrefOf, labelled, list, row, table, view, when, who, wrapping } from '../parts.ts'
import { proofOf } from './event.ts'
import { player } from './session-player.ts'

const PAGE = 500
/** Steps that are shown, and bytes of their events: the newest. `killick replay` plays sessions of any length. */
const MOST = 2_000
const MOST_BYTES = 32 << 20

/** Steps that are named as those that an outcome belongs to. */
const MAX_LINKS = 5

const HEADS = ['Step', 'After', 'State', 'What', 'What came of it', 'Proof']

export async function session([name = '']: readonly string[], signal: AbortSignal): Promise<HTMLElement> {
  const id = decodeURIComponent(name)
  const [{ events, isWhole }, anchored] = await Promise.all([read(id), anchoredSize()])
  if (events.length === 0)
    return view(
      'Session',
      empty(
        'No such session is found.',
        'It may not have been accepted yet, or what named it may have been erased, have expired, or have been dropped by a retention policy.',
      ),
    )
  // Whoever may record can name any session, and any event in it: what a source leaves open none but itself can end.
  const steps = stepsOf(events)
  const known = { anchored, isWhole, signal }
  const parts = await Promise.all(
    streamsOf(events).map((stream) => {
      const ended = new Set(steps.get(stream[0]!.source ?? '')!.flatMap(({ closes }) => closes))
      return part(stream, { ...known, ended })
    }),
  )
  const goOn = [...steps].filter(([, those]) => !those.some(({ ends }) => ends)).map(([source]) => source)
  return view(
    ['Session ', said(id)],
    !isWhole &&
      h(
        'p',
        { class: 'caveat' },
        `These are the newest ${count(events.length)} of its events. The command killick replay plays all of them.`,
      ),
    goOn.length > 0 &&
      h(
        'p',
        { class: 'caveat' },
        ...(steps.size === 1 ? ['Nothing of it'] : ['Nothing recorded by ', said(goOn.join(', '))]),
        ' says that it has ended: it goes on, its end is not accepted yet, or is not found any more.',
      ),
    ...parts.flat(),
    h(
      'p',
      { class: 'note' },
      'That these are its events, and which of them are anchored, is the service’s word; those that a retention policy has dropped, or whose targets are sealed, were erased or have expired, are not found. The proof of each can be checked, and killick replay --verify checks that nothing between them is missing.',
    ),
  )
}

type Known = { anchored: number; ended: ReadonlySet<string>; isWhole: boolean; signal: AbortSignal }

async function read(id: string): Promise<{ events: ListedEvent[]; isWhole: boolean }> {
  const events: ListedEvent[] = []
  let cursor = ''
  for (let bytes = 0; events.length < MOST && bytes < MOST_BYTES; ) {
    const terms = new URLSearchParams({ target: id, limit: String(PAGE), ...(cursor !== '' && { cursor }) })
    const page = await api<{ events: ListedEvent[]; next: string | null }>(`/v1/events?${terms}`)
    for (const event of page.events) if (isOf(event, id)) events.push(event)
    bytes += page.events.reduce((sum, event) => sum + (event.error ? 0 : bytesOf(event).length), 0)
    if (page.next === null) return { events, isWhole: true }
    cursor = page.next
  }
  return { events, isWhole: false }
}

/** What the search found by the id alone may be something else of that name. What cannot be read it found by its keys. */
const isOf = (event: ListedEvent, id: string): boolean =>
  event.error !== undefined ||
  event.fields.targets === undefined ||
  event.fields.targets.some((target) => target.type === SESSION_TARGET && target.id === id)

/** How many entries of the log the largest anchor covers that counts. */
async function anchoredSize(): Promise<number> {
  const { anchors } = await api<{ anchors: AnchorAnswer[] }>('/v1/anchors?limit=100')
  const counted = anchors.filter(({ state }) => state === 'confirmed' || state === 'final')
  return Math.max(0, ...counted.map(({ size }) => size))
}

/** What each source says, of what can be read. */
function stepsOf(events: readonly ListedEvent[]): Map<string, SessionStep[]> {
  const steps = new Map<string, SessionStep[]>()
  for (const { source = '' } of events) steps.set(source, [])
  for (const event of events) if (!event.error) steps.get(event.source)!.push(stepOf(event))
  return steps
}

/** Events of each stream by themselves, in order: whoever may record can name any session. */
function streamsOf(events: readonly ListedEvent[]): ListedEvent[][] {
  const streams = new Map<string, ListedEvent[]>()
  for (const event of events) {
    const key = `${event.source}/${event.stream}`
    const found = streams.get(key)
    if (found) found.push(event)
    else streams.set(key, [event])
  }
  const sorted = [...streams].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([, found]) => found.sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0)))
}

async function part(events: readonly ListedEvent[], known: Known): Promise<HTMLElement[]> {
  const readable = events.filter((event): event is ReadableEvent => !event.error)
  const first = readable[0]
  const numbers = new Map<string, number>()
  const rows = events.map((event, i) => {
    if (event.error) return alteredRow(i + 1, event.error.code)
    const step = stepOf(event)
    if (step.opens !== null) numbers.set(step.opens, i + 1)
    return stepRow(i + 1, event, step, first!, numbers, known)
  })
  const times = events.map(({ recordedAt }) => (recordedAt === undefined ? null : Date.parse(recordedAt)))
  const { source = '', stream = '' } = events[0]!
  const apart = (events.at(-1)!.seq ?? 0) - (events[0]!.seq ?? 0) + 1 - events.length
  const label = `Steps recorded by ${source}`
  return [
    h('h2', {}, 'Recorded by ', said(source), ', stream ', said(stream)),
    list({
      Who: first?.fields.actor && who(first.fields.actor),
      // What came before may be gone, or be older than what is shown.
      [first && stepOf(first).begins ? 'Began' : 'First of these']:
        first && h('span', {}, when(first.recordedAt), ' UTC, by the recorder’s clock'),
      Steps: count(events.length),
      'Not shown': apart > 0 && `${plural(apart, 'place')} of the stream between them, which may be of other sessions`,
      'SHA-256': known.isWhole && (await hashOf(readable)),
    }),
    player(rows, times, label, known.signal),
    table(HEADS, rows, label),
  ]
}

/** The event as it was recorded, which the service sends beside what it says. */
const bytesOf = (event: ReadableEvent): string => (event as { token?: string }).token ?? ''

/** As docs/guides/replay.md has it: over each event's bytes and a line feed. Browsers hash only what came over https or from this machine. */
async function hashOf(events: readonly ReadableEvent[]): Promise<HTMLElement> {
  if (!isSecureContext) return h('span', { class: 'note' }, 'not computed: this page did not come over https')
  const bytes = new TextEncoder().encode(events.map((event) => `${bytesOf(event)}\n`).join(''))
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return copyable([...digest].map((byte) => byte.toString(16).padStart(2, '0')).join(''), 'SHA-256')
}

function stepRow(
  number: number,
  event: ReadableEvent,
  step: SessionStep,
  first: ReadableEvent,
  numbers: ReadonlyMap<string, number>,
  { anchored, ended }: Known,
): HTMLElement {
  const of = step.closes.flatMap((each) => numbers.get(each) ?? [])
  const named = `${of.slice(0, MAX_LINKS).join(', ')}${of.length > MAX_LINKS ? ` and ${of.length - MAX_LINKS} more` : ''}`
  const told = tellStep(event, step).map((each) => (typeof each === 'string' ? each : said(each.said)))
  const wording = told.map((each) => (typeof each === 'string' ? each : each.textContent)).join('')
  const seconds = (Date.parse(event.recordedAt) - Date.parse(first.recordedAt)) / 1000
  const line = row(
    String(number),
    `${seconds.toFixed(3)} s`,
    event.logIndex < anchored ? 'anchored' : h('span', { class: 'note' }, 'accepted'),
    h(
      'span',
      {},
      of.length > 0 && h('span', { class: 'note' }, `of ${named}: `),
      h('a', { href: hrefOf(event), class: wrapping(wording) }, ...told),
    ),
    ending(event, step, ended),
    proofButton(event, number),
  )
  return labelled(HEADS, line)
}

/** A step is told by what is left of its event: what was erased is not shown either. */
const stepOf = ({ missing = 0, erased = 0, expired = 0, ...event }: ReadableEvent): SessionStep =>
  readStep({ ...event, missing: missing + erased + expired })

const ENDINGS: { readonly [ending in SessionStep['ending']]: string } = {
  ...{ success: 'success', failure: 'bad note', denied: 'bad note', unknown: 'bad note', hidden: 'note', none: 'note' },
}

function ending(
  { missing = 0, erased = 0, expired = 0, fields }: ReadableEvent,
  step: SessionStep,
  ended: ReadonlySet<string>,
): Child {
  const isOpen = step.opens !== null && !ended.has(step.opens)
  const words = isOpen ? 'no outcome found' : endingInWords(step)
  const sealed = sealedNames(fields).length
  const lost = [
    sealed > 0 && h('span', { class: 'note' }, ` ${plural(sealed, 'field')} sealed`),
    missing > 0 && h('span', { class: 'bad note' }, ` ${plural(missing, 'field')} lost`),
    erased > 0 && h('span', { class: 'note' }, ` ${plural(erased, 'field')} erased`),
    expired > 0 && h('span', { class: 'note' }, ` ${plural(expired, 'field')} expired`),
  ]
  return h('span', {}, words !== '' && h('span', { class: isOpen ? 'bad note' : ENDINGS[step.ending] }, words), ...lost)
}

/** Asks for the proof only when somebody wants to see it: a session may have thousands. */
export function proofButton(event: Pick<ReadableEvent, 'leafHash'>, number: number): HTMLElement {
  const button = h('button', { type: 'button', class: 'small', 'aria-label': `Proof of step ${number}` }, 'Proof')
  const place = h('span', {}, button)
  button.addEventListener('click', async () => {
    button.disabled = true
    const shown = await proofOf(event)
    const link = shown.querySelector('a')
    place.replaceChildren(...(link === null ? [button, ' ', shown] : [shown]))
    button.disabled = false
    link?.focus()
  })
  return place
}

const alteredRow = (number: number, code: string): HTMLElement =>
  labelled(
    HEADS,
    row(
      String(number),
      '',
      '',
      h('span', { class: 'bad note' }, 'It was altered: ', h('code', {}, said(code))),
      '',
      '',
    ),
  )
