import { stripVTControlCharacters, styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]
const paint = (format: Format, text: string) => styleText(format, text, { stream: process.stdout })

/** Terminal words of the scripts here: calm, one line each, coloured only where the output is a terminal. */
export const bold = (text: string) => paint('bold', text)
export const dim = (text: string) => paint('dim', text)
export const red = (text: string) => paint('red', text)
export const yellow = (text: string) => paint('yellow', text)
export const MARK = { good: paint('green', '✓'), bad: paint('red', '✗'), open: paint('yellow', '–') }

/** `1.2 s` or `2 min 5 s`. @param ms - Milliseconds. */
export function duration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

/** `1 commit`, `2 commits`. */
export function count(n: number, noun: string): string {
  return `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
}

/** Text as one column of a table: padded to `width` by what is seen, not by escape codes. */
export function column(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - stripVTControlCharacters(text).length))
}
