/** Nothing to give a verdict on: the input is no proof, or the link leads nowhere. */
import type { KillickError } from '@killick/sdk/verify'
import { h, icon } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import { refusalInWords } from '../../shared/refusal.ts'
import { said } from '../../shared/text.ts'
import type { LinkError } from '../read-proof.ts'

export function linkRefusal({ state }: LinkError): HTMLElement {
  const [headline, reason] = words.refused.links[state]
  return refusal(`link-${state}`, headline, reason)
}

export function inputRefusal(error: KillickError): HTMLElement {
  return refusal('unreadable', words.refused.input, words.refused.inputWhy(refusalInWords(error), error.code))
}

function refusal(state: string, headline: string, reason: string): HTMLElement {
  return h(
    'section',
    { class: 'banner open', 'data-state': state },
    h('span', { class: 'seal' }, icon('open')),
    h('div', {}, h('h1', {}, headline), h('p', {}, said(reason))),
  )
}
