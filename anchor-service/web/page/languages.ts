/** The languages of the page, and which one is spoken: what was chosen in this tab, or else what the browser asks for. */
import { ENGLISH } from '../shared/english.ts'
import type { Language } from '../shared/language.ts'

/** A language that the page has: what it is called in itself, and where its words are. */
export type Offer = {
  readonly tag: string
  readonly name: string
  /** Null: they are in a script of their own, beside the page. */
  readonly words: Language | null
  readonly script: string | null
}

/** In the order of the switch; the first is spoken to those whose language is not among them. Only its words come with the page. */
export const LANGUAGES: readonly [Offer, ...Offer[]] = [
  { tag: ENGLISH.tag, name: ENGLISH.name, words: ENGLISH, script: null },
  { tag: 'de', name: 'Deutsch', words: null, script: 'german.js' },
]

/** @param wanted as in BCP 47, the one liked best first: `de-AT`, `en` */
export function preferred(wanted: readonly string[]): Offer {
  const found = wanted.flatMap((tag) => LANGUAGES.filter((offer) => offer.tag === tag.split('-')[0]!.toLowerCase()))
  return found[0] ?? LANGUAGES[0]
}

const CHOSEN = 'killick.language'

/** Kept for this tab alone: the page keeps nothing on a device without being asked to. */
export function keepChosen(tag: string): void {
  try {
    sessionStorage.setItem(CHOSEN, tag)
  } catch {
    // Then it is the browser's language again after a reload.
  }
}

/** The tag of what was chosen in this tab, or none. */
export function readChosen(): string[] {
  try {
    const tag = sessionStorage.getItem(CHOSEN)
    return tag === null ? [] : [tag]
  } catch {
    return []
  }
}
