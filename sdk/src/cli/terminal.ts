// Words on a terminal. Colour only where the stream is a terminal and NO_COLOR is unset; `styleText` knows both.
import { stripVTControlCharacters, styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]

export const paint = (format: Format, text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  styleText(format, text, { stream })

/** Text that others wrote, made harmless: no escape sequences, no line breaks, no change of direction. */
export const printable = (text: string): string =>
  stripVTControlCharacters(text).replace(
    /[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export const out = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

export const err = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

const MARKS = { passed: ['green', '✓'], failed: ['red', '✗'], skipped: ['yellow', '–'] } as const

/** Checks as aligned lines: mark, status in words, title, detail. */
export function checkLines(checks: readonly { status: keyof typeof MARKS; title: string; detail: string }[]): string[] {
  const width = Math.max(...checks.map(({ title }) => title.length))
  return checks.map(({ status, title, detail }) => {
    const [colour, mark] = MARKS[status]
    const line = `  ${paint(colour, `${mark} ${status.padEnd(7)}`)}  ${title.padEnd(width)}  ${paint('dim', printable(detail))}`
    return line.trimEnd()
  })
}

/** A line on stderr that is rewritten as work goes on; on anything but a terminal, a new line every ten seconds. */
export function progress(text: () => string): { step: () => void; done: () => void } {
  const { stderr } = process
  const every = stderr.isTTY ? 200 : 10_000
  let shown = performance.now()
  let isDirty = false
  return {
    step: () => {
      if (performance.now() - shown < every) return
      shown = performance.now()
      isDirty = stderr.isTTY
      stderr.write(stderr.isTTY ? `\r\x1b[K${text()}` : `${text()}\n`)
    },
    done: () => {
      if (isDirty) stderr.write('\r\x1b[K')
    },
  }
}

export const count = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`
