/**
 * Strings that somebody else wrote, made safe to look at: each stands alone for bidirectional text, characters that
 * cannot be seen are shown by their number, and words that mix look-alike alphabets are marked.
 */
import { h } from './dom.ts'
import { mixedAlphabets, visibleParts } from './unseen.ts'

const MAX_SHOWN = 2000

/** Somebody else's text as an element. */
export function said(text: string): HTMLElement {
  const mixed = mixedAlphabets(text)
  const shown = visibleParts(text.slice(0, MAX_SHOWN)).map((part) =>
    part.unseen ? h('span', { class: 'unseen', title: 'a character that cannot be seen' }, part.text) : part.text,
  )
  return h(
    'bdi',
    { class: 'said' },
    ...shown,
    text.length > MAX_SHOWN && h('span', { class: 'note' }, ` … ${text.length - MAX_SHOWN} characters more`),
    mixed.length > 0 && h('span', { class: 'unseen' }, `mixes ${mixed.join(' and ')} letters`),
  )
}
