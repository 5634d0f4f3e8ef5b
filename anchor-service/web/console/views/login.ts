import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { ApiError, api } from '../api.ts'
import { sending, view } from '../parts.ts'

/** @param refusal - Why a link did not sign in, where one was tried. */
export function login(done: () => void, refusal = ''): HTMLElement {
  const token = h('input', { id: 'token', type: 'password', autocomplete: 'current-password', required: true })
  const answer = h('p', { role: 'alert', class: 'bad note' }, said(refusal))
  const signIn = async () => {
    try {
      await api('/console/session', 'POST', { token: token.value.trim() })
      done()
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      answer.textContent = error.message
    }
  }
  return view(
    'Sign in',
    h(
      'p',
      {},
      'With the reader’s or the administrator’s token. The service keeps them in ',
      h('code', {}, 'keys/*.token'),
      ' of its data folder, unless they are set in its environment.',
    ),
    h(
      'form',
      { class: 'login', ...sending(signIn) },
      h('label', { for: 'token' }, 'Token'),
      token,
      h('button', { type: 'submit', class: 'primary' }, 'Sign in'),
      answer,
    ),
  )
}
