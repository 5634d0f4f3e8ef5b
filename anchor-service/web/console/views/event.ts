/** One event with its neighbours in the stream, its proof, and a form to share it. */
import { copyable, h } from '../../page/dom.ts'
import { packFragment } from '../../page/fragment.ts'
import { tree } from '../../page/views/record.ts'
import { ApiError, api, type ConsoleEvent, type Share } from '../api.ts'
import { EVENT_HEADS, empty, eventRow, table, view, when } from '../parts.ts'

export async function event([source, stream, seq]: readonly string[]): Promise<HTMLElement> {
  const path = `/v1/streams/${source}/${stream}/events?seq=${seq}`
  const { events } = await api<{ events: ConsoleEvent[] }>(path).catch((error) => {
    if (isDamage(error)) return { events: null }
    throw error
  })
  if (events === null) return damaged()
  const current = events.find((candidate) => candidate.seq === Number(seq))
  if (current === undefined)
    return view('Event', empty('There is no such event.', 'It may not have been accepted yet.'))
  const proof = await fetch(`/v1/proofs/${current.leafHash}`).then((response) => response.text())
  const anchors = (JSON.parse(proof) as { anchors?: unknown[] }).anchors?.length ?? 0
  const rows: [string, Node | string][] = [
    ['Recorded', when(current.recordedAt)],
    ['Source', `${current.source}, stream ${current.stream}, number ${current.seq}`],
    ['Id', copyable(current.id, 'id')],
    ['Leaf hash', copyable(current.leafHash, 'leaf hash')],
    ['Log entry', String(current.logIndex)],
    [
      'Proof',
      h(
        'span',
        {},
        anchors > 0 ? 'anchored ' : 'not anchored yet ',
        h('a', { href: `/verify/#${await packFragment(proof)}`, target: '_blank', rel: 'noopener' }, 'open and verify'),
      ),
    ],
  ]
  return view(
    'Event',
    h('dl', {}, ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    h('h2', {}, 'Fields'),
    tree(current.fields as Parameters<typeof tree>[0]),
    h('h2', {}, 'Before and after it in its stream'),
    table(
      EVENT_HEADS,
      events.map((each) => eventRow(each, each === current)),
      'Neighbours',
    ),
    h('h2', {}, 'Share'),
    shareForm(current),
  )
}

/** What the ledger accepts can be read; a refusal by the format of events means that the database was tampered with. */
const isDamage = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 400 && error.code !== 'request_invalid'

function damaged(): HTMLElement {
  return view(
    'Event',
    h(
      'div',
      { class: 'empty', role: 'alert' },
      h('p', {}, h('strong', {}, 'This event, or one beside it in its stream, cannot be read.')),
      h(
        'p',
        {},
        'What the database holds of it is not what was accepted: somebody has changed it. ',
        h('a', { href: '#/audit' }, 'The audit'),
        ' says which event it is; a copy of the ledger, or a proof that was made before, still shows what was recorded.',
      ),
    ),
  )
}

function shareForm(current: ConsoleEvent): HTMLElement {
  const names = Object.keys(current.fields)
  const boxes = names.map((name) =>
    h('input', {
      type: 'checkbox',
      id: `show-${name}`,
      name,
      checked: ['action', 'actor', 'targets', 'outcome'].includes(name),
    }),
  )
  const expires = h('input', { type: 'date', id: 'expires' })
  const answer = h('p', { role: 'status' })
  const submit = async (submitted: Event) => {
    submitted.preventDefault()
    const fields = boxes.filter(({ checked }) => checked).map(({ name }) => name)
    try {
      const body = {
        eventId: current.leafHash,
        fields,
        ...(expires.value && { expires: `${expires.value}T23:59:59Z` }),
      }
      const { url } = await api<Share>('/v1/shares', 'POST', body)
      answer.replaceChildren(
        'Whoever has this link sees the chosen fields. It is shown only now: ',
        copyable(url!, 'link'),
      )
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      answer.textContent = error.message
    }
  }
  return h(
    'form',
    { onsubmit: submit },
    h(
      'fieldset',
      {},
      h('legend', {}, 'Fields that the link shows'),
      ...boxes.map((box) => h('p', {}, box, ' ', h('label', { for: box.id }, box.name))),
    ),
    h('p', {}, h('label', { for: 'expires' }, 'Until (empty: no end) '), expires),
    h('button', { type: 'submit', class: 'primary' }, 'Make a link'),
    answer,
  )
}
