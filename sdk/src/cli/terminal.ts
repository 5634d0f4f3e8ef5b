// Prints to the terminal, the only file that does. `out` and `err` escape every control character in a string, since a service, a
// node, a file or an argument may have supplied it. Only a `Text`, which this file makes, may hold line breaks and styles.
// `styleText` gives colour only if the stream is a terminal and NO_COLOR is unset.
import { once } from 'node:events'
import { stripVTControlCharacters, styleText } from 'node:util'
import { printable } from '../core/text.ts'

type Format = Parameters<typeof styleText>[0]

/** Text made of our own words and styles, and of other people's words with control characters escaped. */
export class Text {
  readonly raw: string
  /** @param raw already harmless */
  constructor(raw: string) {
    this.raw = raw
  }
}

/** What can be printed. Strings and numbers count as other people's words. */
export type Printed = string | number | Text

/** What would be written. */
export const rawText = (value: Printed): string => (value instanceof Text ? value.raw : printable(String(value)))

/** A template whose words are ours and whose values may be other people's: text`Proof in ${file}`. */
export const text = (own: TemplateStringsArray, ...values: readonly Printed[]): Text =>
  new Text(own.map((part, i) => part + (i < values.length ? rawText(values[i]!) : '')).join(''))

/** A text of this program alone, such as a help page. It must not contain other people's words. */
export const own = (words: string): Text => new Text(words)

export const lines = (items: readonly Printed[]): Text => new Text(items.map(rawText).join('\n'))

export const joined = (items: readonly Printed[], separator: string): Text =>
  new Text(items.map(rawText).join(separator))

export const paint = (format: Format, value: Printed, stream: NodeJS.WriteStream = process.stdout): Text =>
  new Text(styleText(format, rawText(value), { stream }))

/** Padded with spaces to a width that `widthOf` measured. */
export const padded = (value: Printed, width: number, side: 'left' | 'right' = 'right'): Text => {
  const raw = rawText(value)
  return new Text(side === 'right' ? raw.padEnd(width) : raw.padStart(width))
}

/** Number of characters of an unstyled text, as printed. */
export const widthOf = (value: Printed): number => rawText(value).length

/** JSON, whose own escapes make every character visible. */
export const json = (value: unknown): Text =>
  new Text(
    JSON.stringify(value, null, 2)
      .split('\n')
      .map((line) => printable(line))
      .join('\n'),
  )

/** JSON on one line. */
export const jsonLine = (value: unknown): Text => new Text(printable(JSON.stringify(value)))

/** A table: heads in bold, columns as wide as what is in them. */
export function columns(heads: readonly string[], rows: readonly (readonly Printed[])[]): Text {
  const width = (cell: Printed) => stripVTControlCharacters(rawText(cell)).length
  const widths = heads.map((head, i) => rows.reduce((most, row) => Math.max(most, width(row[i]!)), head.length))
  const line = (cells: readonly Printed[]) => {
    const fill = cells.map((cell, i) => new Text(rawText(cell) + ' '.repeat(widths[i]! - width(cell))))
    return new Text(joined(fill, '  ').raw.trimEnd())
  }
  return lines([paint('bold', line(heads)), ...rows.map(line)])
}

export const out = (value: Printed): void => {
  process.stdout.write(`${rawText(value)}\n`)
}

/** For long outputs: resolves when the reader has room again. */
export const outDrained = async (value: Printed): Promise<void> => {
  const { stdout } = process
  if (!stdout.write(`${rawText(value)}\n`)) await once(stdout, 'drain')
}

export const err = (value: Printed): void => {
  process.stderr.write(`${rawText(value)}\n`)
}

const MARKS = { passed: ['green', '✓'], failed: ['red', '✗'], skipped: ['yellow', '–'] } as const

/** Checks as aligned lines: mark, status in words, title, detail. */
export function checkLines(checks: readonly { status: keyof typeof MARKS; title: string; detail: string }[]): Text[] {
  const width = Math.max(...checks.map(({ title }) => widthOf(title)))
  return checks.map(({ status, title, detail }) => {
    const [colour, mark] = MARKS[status]
    const line = text`  ${paint(colour, `${mark} ${status.padEnd(7)}`)}  ${padded(title, width)}  ${paint('dim', detail)}`
    return new Text(line.raw.trimEnd())
  })
}

/** A line on stderr that is rewritten as work goes on; if stderr is not a terminal, a new line every ten seconds. */
export function progress(words: () => Printed): { step: () => void; done: () => void } {
  const { stderr } = process
  const every = stderr.isTTY ? 200 : 10_000
  let shown = performance.now()
  let isDirty = false
  return {
    step: () => {
      if (performance.now() - shown < every) return
      shown = performance.now()
      isDirty = stderr.isTTY
      stderr.write(stderr.isTTY ? `\r\x1b[K${rawText(words())}` : `${rawText(words())}\n`)
    },
    done: () => {
      if (isDirty) stderr.write('\r\x1b[K')
    },
  }
}

export const count = (n: number, noun: string): string => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`

export const waitInSpool = (n: number): string => `${count(n, 'event')} ${n === 1 ? 'waits' : 'wait'} in the spool`
