/**
 * Strings that somebody else wrote, made safe to look at: each stands alone for bidirectional text, characters that
 * cannot be seen are shown by their number, and words that mix look-alike alphabets are marked.
 */
import { h } from './dom.ts'
import { words } from './language.ts'
import { mixedAlphabets, visibleParts } from './unseen.ts'

const MAX_SHOWN = 2000

/**
 * Arabic digits in a text without Arabic letters, each run by itself at the odd places: else 2026-٠٠٤٢ would be drawn with its
 * halves exchanged.
 */
function numbersApart(text: string): string[] {
  return /[\p{Script=Arabic}\p{Script=Hebrew}](?<!\p{Nd})/u.test(text)
    ? [text]
    : text.split(/(\p{Nd}*[\u0660-\u0669\u06f0-\u06f9]\p{Nd}*)/u)
}

/** Somebody else's text as an element. */
export function said(text: string): HTMLElement {
  const mixed = mixedAlphabets(text)
  // Not between the halves of a surrogate pair.
  const end = /[\ud800-\udbff]/.test(text[MAX_SHOWN - 1] ?? '') ? MAX_SHOWN - 1 : MAX_SHOWN
  const shown = visibleParts(text.slice(0, end)).flatMap((part) =>
    part.unseen
      ? [h('span', { class: 'unseen', title: words.text.unseen }, part.text)]
      : numbersApart(part.text).map((run, i) => (i % 2 === 1 ? h('bdi', {}, run) : run)),
  )
  return h(
    'bdi',
    { class: 'said' },
    ...shown,
    text.length > MAX_SHOWN && h('span', { class: 'note' }, words.text.longer(text.length - end)),
    mixed.length > 0 && h('span', { class: 'unseen' }, words.text.mixes(mixed)),
  )
}
