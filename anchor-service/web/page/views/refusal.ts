/** Nothing to give a verdict on: the input is no proof, or the link leads nowhere. */
import type { KillickError } from '@killick/sdk/verify'
import { h, icon } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import type { LinkError } from '../read-proof.ts'

const LINKS: Record<LinkError['state'], [headline: string, reason: string]> = {
  revoked: [
    'This link was revoked',
    'Whoever shared it has withdrawn it. That says nothing about what it showed: ask them for a new link, or for the proof as a file.',
  ],
  expired: [
    'This link has expired',
    'It was made to last until a certain day. That says nothing about what it showed: ask for a new link, or for the proof as a file.',
  ],
  altered: [
    'The event behind this link cannot be read',
    'What the service holds of it is not what was accepted: somebody has altered it there. A proof that was made before, as a file, can still be checked here.',
  ],
  unknown: ['This link leads nowhere', 'No such link exists here. It may have been cut off when it was copied.'],
  limited: [
    'Too many attempts',
    'The service is asked too often from your network. Wait a minute, and open the link again.',
  ],
  unreachable: [
    'The service could not be reached',
    'The proof behind this link could not be fetched. A proof that you have as a file can be checked here without the service.',
  ],
}

export function linkRefusal({ state }: LinkError): HTMLElement {
  const [headline, reason] = LINKS[state]
  return refusal(`link-${state}`, headline, reason)
}

export function inputRefusal(error: KillickError): HTMLElement {
  return refusal(
    'unreadable',
    'This is not a proof that can be read',
    `${error.message.replace(/\.$/, '')} (${error.code}). Nothing was checked.`,
  )
}

function refusal(state: string, headline: string, reason: string): HTMLElement {
  return h(
    'section',
    { class: 'banner open', 'data-state': state },
    h('span', { class: 'seal' }, icon('open')),
    h('div', {}, h('h1', {}, headline), h('p', {}, said(reason))),
  )
}
