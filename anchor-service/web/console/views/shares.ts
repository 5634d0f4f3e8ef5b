import { h } from '../../page/dom.ts'
import { said } from '../../page/text.ts'
import { api, type Share } from '../api.ts'
import { empty, row, table, view, when } from '../parts.ts'

export async function shares(): Promise<HTMLElement> {
  const { shares: all } = await api<{ shares: Share[] }>('/v1/shares?limit=200')
  if (all.length === 0)
    return view(
      'Links',
      empty(
        'No links were made yet.',
        'Open an event, choose the fields to show, and make a link that anyone can check.',
      ),
    )
  return view(
    'Links',
    h(
      'p',
      { class: 'note' },
      'The links themselves are not kept, only what they show. Making and withdrawing one is recorded in the ledger.',
    ),
    table(['Made (UTC)', 'State', 'Shows', 'Until', 'Event', ''], all.map(line), 'Links'),
  )
}

function line(share: Share): HTMLElement {
  const { id, leafHash, fields, state, createdAt, expires } = share
  const button = h('button', { type: 'button' }, 'Withdraw')
  let isSure = false
  button.addEventListener('click', async () => {
    if (!isSure) {
      isSure = true
      button.textContent = 'Withdraw for good?'
      return
    }
    const revoked = await api<Share>(`/v1/shares/${id}`, 'DELETE')
    shown.replaceWith(line(revoked))
  })
  const shown = row(
    when(createdAt),
    h('span', { class: `state ${state}` }, state),
    said(fields.join(', ')),
    expires ? when(expires) : 'no end',
    h('code', {}, leafHash.slice(0, 12)),
    state === 'revoked' ? '' : button,
  )
  return shown
}
