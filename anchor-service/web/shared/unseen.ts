/** What in a text cannot be seen, covers what else is there, or is made to look like something else. Pure. */

/**
 * Controls, formats (bidi overrides, zero width), line and paragraph separators, private use, unassigned, odd spaces, and what else
 * Unicode has drawn as nothing: fillers, joiners of graphemes, variation selectors but for those of an emoji. Marks upon marks too: a
 * browser piles them up over the lines above, whatever those say. No language has more than six upon a letter.
 */
const UNSEEN =
  /(?!(?<=\p{Extended_Pictographic})[\ufe0e\ufe0f]|\ufe0f\u20e3)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}|(?<=[\p{Mn}\p{Me}]{6})[\p{Mn}\p{Me}]/gu
const WORD = /[\p{L}\p{M}]+/gu
const ALPHABETS = { Latin: /\p{Script=Latin}/u, Greek: /\p{Script=Greek}/u, Cyrillic: /\p{Script=Cyrillic}/u }
type Alphabet = keyof typeof ALPHABETS
const NAMES = Object.keys(ALPHABETS) as Alphabet[]

/** Names of the alphabets that some word of the text mixes, e.g. a Cyrillic а in "pаypal"; none is the normal case. */
export function mixedAlphabets(text: string): Alphabet[] {
  for (const [word] of text.matchAll(WORD)) {
    const used = NAMES.filter((name) => ALPHABETS[name].test(word))
    if (used.length > 1) return used
  }
  return []
}

/** Splits a text into what can be drawn, and what is not. */
export function visibleParts(text: string): { text: string; unseen: boolean }[] {
  const parts: { text: string; unseen: boolean }[] = []
  let at = 0
  for (const { 0: char, index } of text.matchAll(UNSEEN)) {
    if (index > at) parts.push({ text: text.slice(at, index), unseen: false })
    parts.push({ text: `U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`, unseen: true })
    at = index + char.length
  }
  if (at < text.length || text === '') parts.push({ text: text.slice(at), unseen: false })
  return parts
}
