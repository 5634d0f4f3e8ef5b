/** Text that others wrote, on its way to a screen. */

// Controls (C0, DEL, C1), halves of surrogate pairs, line and paragraph separators, and what formats invisibly: changes
// of direction, zero widths, tags. The two joiners stay: Persian, the scripts of India and emoji are written with them.
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu

/**
 * A text that is safe to show: all that a terminal obeys, or a reader does not see, is written out as in JSON: `\u001b`. One
 * line, whatever it was before; and a string in JSON stays the same string.
 */
export function printable(text: string): string {
  return text.replace(INVISIBLE, (char) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  )
}
