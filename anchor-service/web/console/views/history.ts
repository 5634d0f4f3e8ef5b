/** The history of a thing: its steps over all sources, its state after any of them, who set each member, and what two states differ in. */
import type { JsonObject, JsonValue, Party } from '@killick/sdk/core'
import { sealedIn } from '@killick/sdk/words'
import type { HistoryAnswer } from '../../../src/http/answers.ts'
import { type Child, copyable, h } from '../../shared/dom.ts'
import { changes, tree } from '../../shared/record.ts'
import { said } from '../../shared/text.ts'
import { folded, MANY, outcomeMark } from '../../shared/verdict.ts'
import { plural } from '../../shared/words.ts'
import { ApiError, api, type Fields } from '../api.ts'
import { count, empty, endingOf, faultOf, hrefOf, labelled, list, row, table, view, when, who } from '../parts.ts'
import { proofButton } from './session.ts'

type Step = Omit<HistoryAnswer['steps'][number], 'fields'> & { fields: Fields }
type Contradiction = Step['contradictions'][number]
type Told = Pick<HistoryAnswer, 'state' | 'blame' | 'doubt'>
type Setter = HistoryAnswer['blame'][number]

const STEP_HEADS = ['Step', 'Recorded (UTC)', 'What', 'Who', 'What it changed', 'Source', 'Proof']
const STATE_HEADS = ['Member', 'Value', 'Set by', 'Recorded (UTC)', 'In step']
/** Changes of a step that are shown; its event's page has all of them. */
const MAX_CHANGES = 6
const MAX_TEXT = 80

export async function thing([type = '', id = '']: readonly string[], search: URLSearchParams): Promise<HTMLElement> {
  const target = { type: decodeURIComponent(type), id: decodeURIComponent(id) }
  const title = (name?: string): Child[] => [
    'History of ',
    ...(name ? [said(name)] : [said(target.type), ' ', said(target.id)]),
  ]
  const path = `/v1/history/${type}/${id}`
  let answer: HistoryAnswer
  try {
    answer = await api<HistoryAnswer>(path)
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'history_too_long') throw error
    return view(title(), tooLong(target.id))
  }
  const steps = answer.steps as readonly Step[]
  if (steps.length === 0 && answer.altered.length === 0)
    return view(
      title(),
      empty(
        'No event is found that names it.',
        'It may not have been accepted yet, or what named it may have been erased, have expired, or have been dropped by a retention policy, or its type or id may be spelled otherwise: both must match exactly.',
      ),
    )
  const numbers = new Map(steps.map(({ id: event }, i) => [event, i + 1]))
  const odd = steps.reduce((sum, { contradictions }) => sum + contradictions.length, 0)
  const sources = new Set(steps.map(({ source }) => source))
  const rows = steps.map((step, i) => stepRow(step, i + 1, numbers))
  return view(
    title(nameOf(steps, target)),
    list({
      Thing: h('span', {}, said(target.type), ' ', said(target.id)),
      Events: h(
        'span',
        {},
        h('a', { href: `#/events?${new URLSearchParams({ target: target.id })}` }, plural(steps.length, 'event')),
        ` of ${plural(sources.size, 'source')}`,
      ),
      Contradictions:
        odd > 0
          ? h('span', { class: 'bad note' }, plural(odd, 'contradiction'))
          : answer.doubt === null
            ? 'none'
            : 'none in what is known',
      'SHA-256': copyable(answer.sha256, 'SHA-256'),
    }),
    altered(answer),
    steps.length > 0 && states({ path, steps, rows, numbers, newest: answer, search }),
    h('h2', {}, 'Step by step'),
    steps.length > 0 && table(STEP_HEADS, rows, 'Steps'),
    h(
      'p',
      { class: 'note' },
      'In the order of the recorders’ clocks, but never against the order of a stream. All of it is what the sources say; the proof of each step shows that they said it. That these are all its events is the service’s word; those that a retention policy has dropped, or whose targets are sealed, were erased or have expired, are not found. The SHA-256 is over the bytes of these events, as killick history prints it.',
    ),
  )
}

/** As its newest event calls it. */
function nameOf(steps: readonly Step[], { type, id }: Pick<Party, 'type' | 'id'>): string | undefined {
  const names = steps.flatMap(({ fields: { targets = [] } }) =>
    targets.flatMap((each) => (each.type === type && each.id === id && each.name ? [each.name] : [])),
  )
  return names.at(-1)
}

function tooLong(id: string): HTMLElement {
  return h(
    'div',
    { class: 'empty', role: 'alert' },
    h('p', {}, h('strong', {}, 'It has more events than are told here.')),
    h(
      'p',
      {},
      'The command killick history tells up to 100,000 of them, and a bundle has any number. ',
      h('a', { href: `#/events?${new URLSearchParams({ target: id })}` }, 'Its newest events'),
      ' can be looked through.',
    ),
  )
}

function altered({ altered }: HistoryAnswer): HTMLElement | null {
  if (altered.length === 0) return null
  const places = altered.map(({ id = 'an event', source, stream, seq }) =>
    source === undefined || stream === undefined || seq === undefined
      ? said(id)
      : h('a', { href: hrefOf({ source, stream, seq }) }, said(id)),
  )
  return h(
    'div',
    { class: 'empty', role: 'alert' },
    h(
      'p',
      {},
      h(
        'strong',
        {},
        `${plural(altered.length, 'event')} of this id cannot be read, and what they changed is not told here.`,
      ),
    ),
    h(
      'p',
      {},
      'What the database holds of them is not what was accepted: somebody has changed it. ',
      h('a', { href: '#/audit' }, 'The audit'),
      ' tells what else is wrong.',
    ),
    h('ul', { class: 'plain' }, ...places.slice(0, MANY).map((place) => h('li', {}, place))),
    places.length > MANY && h('p', {}, `and ${count(places.length - MANY)} more`),
  )
}

type Shown = {
  path: string
  steps: readonly Step[]
  rows: readonly HTMLElement[]
  numbers: ReadonlyMap<string, number>
  newest: Told
  search: URLSearchParams
}

/** Its state after the step that the slider stands at, and beside another. What is chosen stands in the address. */
function states({ path, steps, rows, numbers, newest, search }: Shown): HTMLElement {
  const last = steps.length
  const chosen = (name: string, otherwise: number) => numbers.get(search.get(name) ?? '') ?? otherwise
  const slider = h('input', { type: 'range', id: 'version', min: 1, max: last, value: chosen('at', last) })
  const beside = h(
    'select',
    { id: 'beside' },
    h('option', { value: 0 }, 'nothing'),
    ...steps.map((step, i) =>
      h('option', { value: i + 1 }, `step ${i + 1}, ${step.recordedAt.slice(0, 16).replace('T', ' ')}`),
    ),
  )
  beside.value = String(chosen('from', 0))
  const back = h('button', { type: 'button', 'aria-label': 'One step back' }, '‹')
  const on = h('button', { type: 'button', 'aria-label': 'One step on' }, '›')
  const title = h('h2', {})
  const place = h('div', { 'aria-live': 'polite' })
  const name = (at: number) =>
    title.replaceChildren(
      at === last ? 'Its state now' : `Its state after step ${at} of ${last}`,
      ', as far as changes tell it',
    )
  const tell = async (at: number, from: number): Promise<HTMLElement[]> => {
    try {
      const told = at === last && from === 0 ? { ...newest, difference: null } : await ask(path, steps, at, from)
      return [stateOf(told, numbers), ...differenceOf(told.difference, from, at)]
    } catch (error) {
      return [h('p', { role: 'alert' }, said(faultOf(error)))]
    }
  }
  const chosenNow = () => [Number(slider.value), Number(beside.value)] as const
  let isAsking = false
  /** One question at a time: what is drawn along a long history would ask hundreds. The title is that of what stands below it. */
  const draw = async () => {
    if (isAsking) return
    isAsking = true
    const [at, from] = chosenNow()
    const told = await tell(at, from)
    isAsking = false
    name(at)
    place.replaceChildren(...told)
    if (String(chosenNow()) !== String([at, from])) await draw()
  }
  const show = () => {
    const [at, from] = chosenNow()
    mark(rows, at)
    back.disabled = at === 1
    on.disabled = at === last
    slider.setAttribute('aria-valuetext', `after step ${at} of ${last}`)
    keepInAddress({ at: at === last ? null : steps[at - 1]!.id, from: from === 0 ? null : steps[from - 1]!.id })
    void draw()
  }
  const move = (by: number) => {
    slider.value = String(Number(slider.value) + by)
    show()
  }
  back.addEventListener('click', () => move(-1))
  on.addEventListener('click', () => move(1))
  for (const input of [slider, beside]) input.addEventListener('input', show)
  name(Number(slider.value))
  show()
  return h(
    'div',
    {},
    title,
    h(
      'div',
      { class: 'player' },
      h('div', { class: 'slider' }, h('label', { for: 'version' }, 'After step'), back, slider, on),
      h('div', { class: 'slider' }, h('label', { for: 'beside' }, 'Beside its state after'), beside),
    ),
    place,
  )
}

const ask = (path: string, steps: readonly Step[], at: number, from: number): Promise<HistoryAnswer> =>
  api<HistoryAnswer>(
    `${path}?${new URLSearchParams({ at: steps[at - 1]!.id, ...(from > 0 && { from: steps[from - 1]!.id }) })}`,
  )

function mark(rows: readonly HTMLElement[], at: number): void {
  for (const [i, line] of rows.entries()) line.classList.toggle('current', i + 1 === at)
}

/** Without another entry in the browser's list of where it was. */
function keepInAddress(terms: { [name: string]: string | null }): void {
  const [hash = ''] = location.hash.split('?')
  const kept = new URLSearchParams(Object.entries(terms).filter((term): term is [string, string] => term[1] !== null))
  history.replaceState(history.state, '', kept.size === 0 ? hash : `${hash}?${kept}`)
}

/** A member that holds no other members, or that nobody is known to have set parts of. */
type Member = { path: string; value: JsonValue | undefined; by: Setter | undefined }

function stateOf({ state, blame, doubt }: Told, numbers: ReadonlyMap<string, number>): HTMLElement {
  const setters = new Map(blame.map((by) => [by.path, by]))
  const members = membersOf(state as JsonValue, setters)
  const lines = members.map((member) => memberRow(member, numbers))
  const rest = lines.slice(MANY)
  return h(
    'div',
    {},
    doubt !== null &&
      h(
        'p',
        { class: 'caveat' },
        `Step ${numbers.get(doubt)} may have changed anything, and does not show what. What was set before it is not known any more, nor are members that are not listed.`,
      ),
    lines.length > 0
      ? table(STATE_HEADS, lines.slice(0, MANY), 'State')
      : h('p', {}, doubt === null ? 'No change of it is recorded up to here.' : 'Nothing of it is known.'),
    rest.length > 0 && folded(`${count(rest.length)} more`, () => table(STATE_HEADS, rest, 'More of its state')),
  )
}

function membersOf(state: JsonValue, setters: ReadonlyMap<string, Setter>): Member[] {
  const found: Member[] = []
  const seen = new Set<string>()
  const holders = new Set([...setters.keys()].flatMap(pathsAbove))
  const look = (value: JsonValue, path: string, holder: Setter | undefined) => {
    const by = setters.get(path) ?? holder
    seen.add(path)
    const names = typeof value === 'object' && value !== null ? Object.keys(value) : []
    const isList = Array.isArray(value) && !holders.has(path)
    if (names.length === 0 || isList) {
      if (by !== undefined) found.push({ path, value, by })
    } else
      for (const name of names)
        look((value as JsonObject)[name]!, `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, by)
  }
  if (state !== null || setters.has('')) look(state, '', undefined)
  for (const [path, by] of setters) if (!seen.has(path)) found.push({ path, value: undefined, by })
  return found
}

/** Of what holds this path: "/a/b" and "/a" and "" for "/a/b/c". */
const pathsAbove = (path: string): string[] => [...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index))

function memberRow({ path, value, by }: Member, numbers: ReadonlyMap<string, number>): HTMLElement {
  const doubt = by?.doubt ?? null
  return labelled(
    STATE_HEADS,
    row(
      h('span', {}, path === '' ? note('all of it') : said(path)),
      h(
        'span',
        {},
        value === undefined ? note('removed') : tree(value),
        doubt !== null && h('span', { class: 'wait note below' }, `not known since step ${numbers.get(doubt)}`),
      ),
      by?.actor == null ? note('not shown') : said(by.actor),
      by && when(by.recordedAt),
      by && h('a', { href: `#step-${numbers.get(by.event)}`, onclick: goTo }, `step ${numbers.get(by.event)}`),
    ),
  )
}

/** An address behind # is a view here, so the way to a row is not one. */
function goTo(clicked: Event): void {
  clicked.preventDefault()
  const line = document.getElementById((clicked.currentTarget as HTMLElement).getAttribute('href')!.slice(1))
  line?.scrollIntoView({ block: 'center' })
  line?.querySelector<HTMLElement>('a')?.focus({ preventScroll: true })
}

function differenceOf(difference: HistoryAnswer['difference'], from: number, to: number): HTMLElement[] {
  if (difference === null) return []
  const isUnsure = difference.from.doubt !== null || difference.to.doubt !== null
  return [
    h('h2', {}, `From step ${from} to step ${to}`),
    ...(isUnsure
      ? [
          h(
            'p',
            { class: 'caveat' },
            'Something that is not shown may have changed it, so there may be more, or less, than this.',
          ),
        ]
      : []),
    difference.changes.length === 0
      ? h('p', {}, 'Nothing is different.')
      : changes(difference.changes as Parameters<typeof changes>[0]),
  ]
}

const note = (text: string) => h('span', { class: 'note' }, text)

function stepRow(step: Step, number: number, numbers: ReadonlyMap<string, number>): HTMLElement {
  const { fields, hidden, source, recordedAt } = step
  const outcome = endingOf({ fields, missing: hidden })
  const line = labelled(
    STEP_HEADS,
    row(
      String(number),
      when(recordedAt),
      h(
        'span',
        {},
        h(
          'a',
          { href: hrefOf(step) },
          fields.action === undefined ? 'an action that is not shown' : said(fields.action),
        ),
        step.effect === 'not_done' && h('span', { class: 'below' }, outcomeMark(outcome)),
      ),
      fields.actor ? who(fields.actor) : note('not shown'),
      h('span', {}, ...effectOf(step), ...step.contradictions.map((each) => contradiction(each, numbers))),
      said(source),
      proofButton(step, number),
    ),
  )
  line.id = `step-${number}`
  return line
}

function effectOf({ effect, fields, hidden, erased = 0, expired = 0, undecided = 0 }: Step): Child[] {
  if (effect === 'unreadable')
    return [
      h(
        'span',
        { class: 'wait note' },
        hidden > 0
          ? `Not known: ${goneWords({ hidden: hidden - erased - expired - undecided, undecided, erased, expired })}.`
          : sealedIn('changes', fields.changes) !== null
            ? 'Not known: its changes are sealed.'
            : 'Not known: its changes cannot be applied.',
      ),
    ]
  if (effect === 'touched') return [note('nothing')]
  const all = fields.changes ?? []
  if (effect === 'not_done')
    return [note(all.length === 0 ? 'nothing' : `nothing; ${plural(all.length, 'change')} did not come about`)]
  const rest = all.length - MAX_CHANGES
  return [
    h(
      'ul',
      { class: 'plain' },
      ...all
        .slice(0, MAX_CHANGES)
        .map(({ path, before, after }) =>
          h('li', {}, path === '' ? note('all of it') : said(path), ': ', short(before), ' → ', short(after)),
        ),
      rest > 0 && h('li', { class: 'note' }, `and ${count(rest)} more`),
    ),
  ]
}

/** "1 field is not shown, and 2 fields were erased by order" */
function goneWords({
  hidden,
  undecided,
  erased,
  expired,
}: Record<'hidden' | 'undecided' | 'erased' | 'expired', number>) {
  const parts = [
    hidden > 0 && `${plural(hidden, 'field')} ${hidden === 1 ? 'is' : 'are'} not shown`,
    undecided > 0 && `${plural(undecided, 'field')} may be hidden`,
    erased > 0 && `${plural(erased, 'field')} ${erased === 1 ? 'was' : 'were'} erased by order`,
    expired > 0 && `${plural(expired, 'field')} ${expired === 1 ? 'has' : 'have'} expired`,
  ]
  return parts.filter((part) => part !== false).join(', and ')
}

function short(value: JsonValue | undefined): HTMLElement {
  if (value === undefined) return note('nothing')
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return said(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)
}

function contradiction(
  { path, known, before, since }: Contradiction,
  numbers: ReadonlyMap<string, number>,
): HTMLElement {
  return h(
    'span',
    { class: 'bad note below' },
    'Contradiction: ',
    path === '' ? 'all of it' : said(path),
    ' was ',
    short(known as JsonValue | undefined),
    ` since step ${numbers.get(since)}; this says that it was `,
    short(before as JsonValue | undefined),
  )
}
