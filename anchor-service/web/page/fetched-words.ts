/** Words of a language from a script of their own, because a page on a disk can read no file but scripts. */
import type { Language } from '../shared/language.ts'
import { runScript } from '../shared/script.ts'
import type { Offer } from './languages.ts'

type Shelf = { killickWords?: { [tag: string]: Language } }
const shelf = globalThis as Shelf

/** Called by the script: leaves the words for the page. */
export function deliver(language: Language): void {
  shelf.killickWords = { ...shelf.killickWords, [language.tag]: language }
}

/**
 * The words of a language, wherever they are.
 * @param home - Where the page's own files are.
 * @throws Error where they cannot be loaded
 */
export async function wordsOf({ tag, words, script }: Offer, home: string): Promise<Language> {
  // A page in one file has them in it.
  return words ?? shelf.killickWords?.[tag] ?? fetchWords(tag, `${home}${script}`)
}

async function fetchWords(tag: string, src: string): Promise<Language> {
  await runScript(src)
  const words = shelf.killickWords?.[tag]
  if (words === undefined) throw new Error(`${src} is missing, or holds no words`)
  return words
}
