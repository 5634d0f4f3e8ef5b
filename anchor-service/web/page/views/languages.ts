/** The switch between languages, each called by its own name. */
import { h } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import type { Offer } from '../languages.ts'

export function languageSwitch(languages: readonly Offer[], choose: (language: Offer) => void): HTMLElement {
  const button = (language: Offer) =>
    h(
      'button',
      {
        ...{ type: 'button', id: `language-${language.tag}`, lang: language.tag },
        'aria-pressed': String(language.tag === words.tag),
        onclick: () => choose(language),
      },
      language.name,
    )
  return h('div', { class: 'languages', role: 'group', 'aria-label': words.header.language }, ...languages.map(button))
}
