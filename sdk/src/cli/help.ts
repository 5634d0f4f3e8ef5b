// Help, as printed on a terminal, from the table of commands.
import { type CommandEntry, GROUPS, type OptionEntry, PROGRAM } from './table/index.ts'

const WIDTH = 128
/** Options whose names are longer have their words on the next line. */
const MAX_INDENT = 26

/** The whole text of `killick <command> --help`. */
export function commandHelp(entry: CommandEntry): string {
  const { name, summary, usage, about, options, environment, exits, examples } = entry
  const rows = Object.entries(options).map(([option, of]): Row => [optionName(option, of), optionWords(of)])
  const blocks = [
    `killick ${name}: ${summary}`,
    usage.map((line, i) => `${i === 0 ? 'Usage: ' : '       '}killick ${line}`).join('\n'),
    ...about.map((paragraph) => wrap(paragraph, WIDTH).join('\n')),
    ...(rows.length > 0 ? [table(rows)] : []),
    ...(environment ? [table(environment)] : []),
    exitWords(exits),
    `${examples.length > 1 ? 'Examples' : 'Example'}:\n${examples.map((line) => `  ${line}`).join('\n')}`,
  ]
  return blocks.join('\n\n')
}

/** What `killick --help` prints. */
export function programHelp(): string {
  const width = Math.max(...GROUPS.flatMap(({ commands }) => commands.map(({ name }) => name.length)))
  const groups = GROUPS.map(({ title, commands }) =>
    [`${title}:`, ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`)].join('\n'),
  )
  return [
    `killick: ${PROGRAM.summary}`,
    'Usage: killick <command> [options]',
    ...groups,
    '  killick <command> --help   explains a command, with examples\n  killick -v, --version',
    exitWords(PROGRAM.exits),
  ].join('\n\n')
}

/** An option as it is written: `--url <url>`. */
export const optionName = (name: string, { value }: OptionEntry): string =>
  value === undefined ? `--${name}` : `--${name} <${value}>`

/** What an option is about, and where else its value is taken from. */
export function optionWords({ about, env, config }: OptionEntry): string {
  const elsewhere = [env, config && `${config} in killick.json`].filter((place) => place !== undefined)
  return elsewhere.length === 0 ? about : `${about}; or ${elsewhere.join(', or ')}`
}

/** Exit codes in one paragraph. */
export const exitWords = (exits: CommandEntry['exits']): string =>
  wrap(`Exit codes: ${exits.map(([code, meaning]) => `${code} ${meaning}`).join(' · ')}`, WIDTH).join('\n')

type Row = readonly [name: string, words: string]

function table(rows: readonly Row[]): string {
  const indent = 2 + Math.min(MAX_INDENT, Math.max(...rows.map(([name]) => name.length))) + 2
  return rows
    .map(([name, words]) => {
      const lines = wrap(words, WIDTH - indent)
      const head = `  ${name}`
      const rest = lines.map((line) => `${' '.repeat(indent)}${line}`)
      return head.length + 2 > indent
        ? [head, ...rest].join('\n')
        : [head.padEnd(indent) + lines[0], ...rest.slice(1)].join('\n')
    })
    .join('\n')
}

/** Lines of whole words, none longer than `width` unless a word is. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
