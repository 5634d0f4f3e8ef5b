/** Text that others wrote, on its way to a screen. */

// Controls (C0, DEL, C1), halves of surrogate pairs, line and paragraph separators, and what Unicode has drawn as nothing: changes of
// direction, zero widths, tags, fillers, variation selectors; and the Braille pattern without a dot. The two joiners stay, since Persian, the scripts of India and emoji need
// them, and so does a variation selector behind what it makes a variant of.
const INVISIBLE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u2800]|(?![\u200c\u200d])(?!(?<=[\p{Extended_Pictographic}\p{Ideographic}\p{Script=Mongolian}])\p{Variation_Selector}|\ufe0f\u20e3)[\p{Cf}\p{Default_Ignorable_Code_Point}]/gu

/**
 * A text that is safe to show: characters that a terminal obeys or a reader cannot see are escaped as in JSON, such as `\u001b`.
 * The result is always one line; inside a JSON string it still stands for the same string.
 */
export function printable(text: string): string {
  return text.replace(INVISIBLE, (char) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  )
}
