/** Two signed headers for one position: what a source said twice, side by side. */
import type { EquivocationAnswer } from '../../../src/http/answers.ts'
import { type Child, copyable, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api } from '../api.ts'
import { count, empty, hrefOf, list, moreButton, view, when } from '../parts.ts'

type SignedHeaderAnswer = EquivocationAnswer['accepted']
type Page = { equivocations: EquivocationAnswer[]; next: string | null }

export async function equivocations(): Promise<HTMLElement> {
  const first = await api<Page>('/v1/equivocations?limit=20')
  const place = h('div', {}, ...first.equivocations.map(pair))
  const more = moreButton('Older ones', first.next, async (cursor) => {
    const page = await api<Page>(`/v1/equivocations?limit=20&cursor=${cursor}`)
    place.append(...page.equivocations.map(pair))
    return page.next
  })
  return view(
    'Equivocations',
    first.equivocations.length === 0
      ? empty(
          'No source has contradicted itself.',
          'When one signs another batch for a place that is already taken, the second is refused, and both signed headers are kept and shown here.',
        )
      : h(
          'p',
          { class: 'note' },
          'A source signed two different batches for the same place of a stream. The first is in the ledger, the second was refused. Whoever has both headers can show it: both bear the source’s signature.',
        ),
    place,
    more,
  )
}

function pair(found: EquivocationAnswer): HTMLElement {
  const { source, stream, seq, recordedAt, logIndex, accepted, refused } = found
  const sides: [string, SignedHeaderAnswer][] = [
    ['Accepted', accepted],
    ['Refused', refused],
  ]
  return h(
    'article',
    { class: 'card' },
    h('h2', {}, said(source), ', stream ', said(stream)),
    list({
      'First at': h('a', { href: hrefOf({ source, stream, seq }) }, `event ${count(seq)}`),
      'Refused at': h('span', {}, when(recordedAt), ' UTC'),
      'Log entry': count(logIndex),
    }),
    h('div', { class: 'sides' }, ...sides.map(([name, header]) => side(name, header, accepted))),
    h('p', {}, h('button', { type: 'button', onclick: () => save(found) }, 'Save as evidence')),
  )
}

function side(
  name: string,
  { header, said: content, key }: SignedHeaderAnswer,
  accepted: SignedHeaderAnswer,
): HTMLElement {
  const differs = (member: 'seq' | 'n' | 'root' | 'prev' | 'time' | 'kid') =>
    content?.[member] !== accepted.said?.[member]
  const marked = (member: Parameters<typeof differs>[0], value: Child) =>
    differs(member) ? h('mark', {}, value) : value
  return h(
    'div',
    {},
    h('h3', {}, name),
    content === null
      ? h('p', { class: 'bad' }, 'This header cannot be read any more: somebody has changed it in the database.')
      : list({
          Events: marked('n', `${count(content.seq)} to ${count(content.seq + content.n - 1)}`),
          Signed: marked('time', when(content.time)),
          Root: marked('root', h('code', {}, content.root)),
          'Batch before': marked('prev', content.prev === null ? 'none' : h('code', {}, content.prev)),
          Key: marked('kid', h('code', {}, content.kid)),
          'Key known': key === null ? h('span', { class: 'bad' }, 'no') : 'yes, it goes into the file',
        }),
    h('p', {}, copyable(header, `the ${name.toLowerCase()} header`)),
  )
}

/** Both headers with the keys that signed them: what a stranger needs to check the signatures. */
function save(found: EquivocationAnswer): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(found, null, 2)], { type: 'application/json' }))
  const download = `equivocation-${found.source}-${found.stream}-${found.seq}.json`
  h('a', { href: url, download }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
