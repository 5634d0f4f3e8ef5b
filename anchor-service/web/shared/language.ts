/** The language that is spoken: one at a time, as a document has one `lang`. */
import { ENGLISH } from './english.ts'

/** Everything there is to say, with the values that each sentence needs. One that lacks any of it does not compile. */
export type Language = Readonly<typeof ENGLISH>

/** The words of the language that is spoken now. What was drawn with others stays until it is drawn again. */
export let words: Language = ENGLISH

export function speak(language: Language): void {
  words = language
}
