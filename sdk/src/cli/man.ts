// The manual page, from the table of commands, in the macros of man(7).
import { CONFIG_FILE } from '../config/config.ts'
import { type Command, EXIT, readArgs } from './command.ts'
import { optionWords } from './help.ts'
import { COMMANDS, type CommandEntry, GROUPS, PROGRAM } from './table/index.ts'
import { MAN } from './table/itself.ts'
import { out, own } from './terminal.ts'
import { version } from './version.ts'

export const man: Command = {
  run: async (args) => {
    readArgs(MAN, args)
    out(own(manPage(version())))
    return EXIT.ok
  },
}

/** Text as it is: no macro at the start of a line, and - as what one types. */
const plain = (text: string): string => text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/, '\\&$&')

/** Options and placeholders stand out. */
const bold = (text: string): string => `\\fB${plain(text)}\\fR`

const paragraph = (text: string): string[] => ['.PP', plain(text)]
const item = (head: string, text: string): string[] => ['.TP', head, plain(text)]
const code = (lines: readonly string[]): string[] => ['.PP', '.EX', ...lines.map(plain), '.EE']

const exitItems = (exits: CommandEntry['exits']): string[] =>
  exits.flatMap(([number, meaning]) => item(bold(`${number}`), meaning))

function section({ name, summary, usage, about, options, environment, exits, examples }: CommandEntry): string[] {
  return [
    `.SS ${plain(`killick ${name}`)}`,
    plain(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`),
    ...code(usage.map((line) => `killick ${line}`)),
    ...about.flatMap(paragraph),
    ...Object.entries(options).flatMap(([option, entry]) => {
      const value = entry.value === undefined ? '' : ` \\fI${plain(entry.value)}\\fR`
      return item(`${bold(`--${option}`)}${value}`, optionWords(entry))
    }),
    ...(environment ?? []).flatMap(([variable, words]) => item(bold(variable), words)),
    ...['.PP', 'Exit codes:'],
    ...exitItems(exits),
    ...code(examples),
  ]
}

/** Every variable that an option is read from, with the options. */
function variables(): [variable: string, options: string[]][] {
  const all = COMMANDS.flatMap(({ options }) => Object.entries(options)).flatMap(([name, { env }]) =>
    env === undefined ? [] : [[env, `--${name}`] as const],
  )
  return [...Map.groupBy(all, ([env]) => env)].map(([env, pairs]) => [env, [...new Set(pairs.map(([, name]) => name))]])
}

/** @param release the version of the package */
export function manPage(release: string): string {
  return [
    `.TH KILLICK 1 "" "killick ${plain(release)}" "Killick"`,
    '.SH NAME',
    `killick \\- ${plain(PROGRAM.summary)}`,
    '.SH SYNOPSIS',
    `.B killick\n.I command\n[\\fIoptions\\fR]`,
    '.SH DESCRIPTION',
    plain(
      'Killick is an audit ledger that not even its operator can rewrite. This program records events, fetches and checks proofs, and audits a whole ledger from outside.',
    ),
    ...GROUPS.flatMap(({ title, commands }) => [`.SH ${plain(title.toUpperCase())}`, ...commands.flatMap(section)]),
    '.SH EXIT STATUS',
    ...exitItems(PROGRAM.exits),
    '.SH ENVIRONMENT',
    ...variables().flatMap(([variable, options]) =>
      item(bold(variable), `Read where ${options.join(' or ')} is absent.`),
    ),
    ...item(bold('KILLICK_TOKEN'), 'A reader token, sent to the origin of KILLICK_URL only.'),
    ...item(bold('KILLICK_ADMIN_TOKEN'), 'An admin token, sent to the origin of KILLICK_URL only.'),
    ...item(bold('NO_COLOR'), 'No colours, on a terminal either.'),
    '.SH FILES',
    ...item(
      bold(CONFIG_FILE),
      'Settings and pins of a project, in the working folder; killick init writes it. Options and the environment go before it.',
    ),
  ].join('\n')
}
