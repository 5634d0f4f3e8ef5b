/** The languages of the page, and which one is spoken: what was chosen in this tab, or else what the browser asks for. */
import { ENGLISH } from '../shared/english.ts'
import type { Language } from '../shared/language.ts'
import { GERMAN } from './german.ts'

/** In the order of the switch; the first is spoken to those whose language is not among them. */
export const LANGUAGES: readonly Language[] = [ENGLISH, GERMAN]

/** @param wanted as in BCP 47, the one liked best first: `de-AT`, `en` */
export function preferred(wanted: readonly string[]): Language {
  const found = wanted.flatMap((tag) =>
    LANGUAGES.filter((language) => language.tag === tag.split('-')[0]!.toLowerCase()),
  )
  return found[0] ?? LANGUAGES[0]!
}

const CHOSEN = 'killick.language'

/** Kept for this tab alone: the page keeps nothing on a device without being asked to. */
export function keepChosen(language: Language): void {
  try {
    sessionStorage.setItem(CHOSEN, language.tag)
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
