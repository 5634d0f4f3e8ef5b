import type { ShareAnswer } from '../../../src/http/answers.ts'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { api } from '../api.ts'
import { empty, faultOf, isSecondHalf, labelled, moreButton, row, table, view, when } from '../parts.ts'

const HEADS = ['Made (UTC)', 'State', 'Shows', 'Until', 'Event', 'Withdraw']

type Page = { shares: ShareAnswer[]; next: string | null }

export async function shares(): Promise<HTMLElement> {
  const { shares: all, next } = await api<Page>('/v1/shares')
  if (all.length === 0)
    return view(
      'Links',
      empty('No links yet.', 'Open an event, choose the fields to show, and make a link that anyone can check.'),
    )
  const rows = table(HEADS, all.map(line), 'List of links')
  const more = moreButton('Older links', next, async (cursor) => {
    const page = await api<Page>(`/v1/shares?cursor=${cursor}`)
    rows.querySelector('tbody')!.append(...page.shares.map(line))
    return page.next
  })
  return view(
    'Links',
    h(
      'p',
      { class: 'note' },
      'The links themselves are not kept, only what they show. Making and withdrawing one is recorded in the ledger. An open one shows less once fields of its event were erased or have expired, and nothing once the event was dropped.',
    ),
    rows,
    more,
  )
}

/** A button that cannot be pressed, or is gone, loses the place of whoever pressed it; one who has gone on stays there. */
function giveBack(to: HTMLElement): void {
  if (document.activeElement === document.body) to.focus({ preventScroll: true })
}

function line(share: ShareAnswer): HTMLElement {
  const { id, leafHash, fields, state, createdAt, expires } = share
  const button = h('button', { type: 'button' }, 'Withdraw')
  const alert = h('span', { class: 'bad note', role: 'alert' })
  let isSure = false
  button.addEventListener('click', async (event) => {
    if (isSecondHalf(event)) return
    if (!isSure) {
      isSure = true
      button.textContent = 'Withdraw for good?'
      return
    }
    button.disabled = true
    try {
      const withdrawn = line(await api<ShareAnswer>(`/v1/shares/${id}`, 'DELETE'))
      withdrawn.tabIndex = -1
      shown.replaceWith(withdrawn)
      giveBack(withdrawn)
    } catch (error) {
      alert.textContent = faultOf(error)
      button.disabled = false
      giveBack(button)
    }
  })
  const shown = labelled(
    HEADS,
    row(
      when(createdAt),
      h('span', { class: `state ${state}` }, state),
      said(fields.join(', ')),
      expires ? when(expires) : 'no end',
      h('code', {}, leafHash.slice(0, 12)),
      state === 'revoked' ? '' : h('span', {}, button, ' ', alert),
    ),
  )
  return shown
}
