// Completion for shells, from the table of commands.
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { COMMANDS, type CommandEntry, type OptionEntry } from './table/index.ts'
import { COMPLETION } from './table/itself.ts'
import { out, own } from './terminal.ts'

export const completion: Command = {
  run: async (args) => {
    const shell = readArgs(COMPLETION, args).positionals[0]!
    const print = SCRIPTS[shell]
    if (!Object.hasOwn(SCRIPTS, shell) || !print)
      throw new UsageError(`There is completion for ${Object.keys(SCRIPTS).join(', ')}, not for ${shell}`)
    out(own(print(COMMANDS)))
    return EXIT.ok
  },
}

type Commands = readonly CommandEntry[]
type Completed = OptionEntry['complete']

const SCRIPTS: Record<string, (commands: Commands) => string> = { bash, zsh, fish }

const namesOf = (commands: Commands): string[] => commands.map(({ name }) => name)
const optionsOf = ({ options }: CommandEntry): [string, OptionEntry][] => Object.entries(options)

/** What an option is about, in a few words: up to the first stop. Quotes and brackets would need escapes. */
const short = (about: string): string =>
  about
    .split(/[;:(,]/)[0]!
    .replace(/['"\\[\]`$]/g, '')
    .trim()

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

function bash(commands: Commands): string {
  const words = (list: readonly string[]) => `COMPREPLY=($(compgen -W ${quoted(list.join(' '))} -- "$word"))`
  const complete = (what: Completed): string => {
    if (what === 'file' || what === 'folder') return `_killick_paths ${what === 'file' ? '-f' : '-d'}`
    return what === undefined ? ':' : words(what)
  }
  const values = commands.flatMap((entry) =>
    optionsOf(entry)
      .filter(([, { value }]) => value !== undefined)
      .map(([name, option]) => `    ${quoted(`${entry.name} --${name}`)}) ${complete(option.complete)}; return ;;`),
  )
  const options = commands.map(
    (entry) => `      ${entry.name}) ${words([...optionsOf(entry).map(([name]) => `--${name}`), '--help'])} ;;`,
  )
  const positionals = commands.flatMap(({ name, arguments: list }) =>
    list?.[0]?.complete === undefined ? [] : [`    ${name}) ${complete(list[0].complete)} ;;`],
  )
  return `# Completion of killick for bash. In ~/.bashrc: source <(killick completion bash)
_killick_paths() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen "$1" -- "$word"))
  compopt -o filenames 2>/dev/null
}
_killick() {
  local word="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    ${words([...namesOf(commands), 'help', '--help', '--version'])}
    return
  fi
  if [ "\${COMP_WORDS[1]}" = help ]; then
    ${words(namesOf(commands))}
    return
  fi
  case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD - 1]}" in
${values.join('\n')}
  esac
  if [[ $word == -* ]]; then
    case "\${COMP_WORDS[1]}" in
${options.join('\n')}
    esac
    return
  fi
  case "\${COMP_WORDS[1]}" in
${positionals.join('\n')}
  esac
}
complete -F _killick killick`
}

function zsh(commands: Commands): string {
  const action = (what: Completed): string => {
    if (what === 'file') return '_files'
    if (what === 'folder') return '_files -/'
    return what === undefined ? ' ' : `(${what.join(' ')})`
  }
  const option = ([name, { value, repeat, about, complete }]: [string, OptionEntry]): string => {
    const head = `${repeat ? '*' : ''}--${name}[${short(about)}]`
    return quoted(value === undefined ? head : `${head}:${value.replace(/[^\w-]/g, '')}:${action(complete)}`)
  }
  const cases = commands.map((entry) => {
    const list = (entry.arguments ?? []).map(({ name, complete }, i) => quoted(`${i + 1}:${name}:${action(complete)}`))
    const help = quoted('--help[explain the command]')
    return `    ${entry.name}) _arguments ${[...optionsOf(entry).map(option), help, ...list].join(' \\\n      ')} ;;`
  })
  return `#compdef killick
# Completion of killick for zsh: a file _killick in a folder of $fpath, or source it.
_killick() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT -= 1 ))
  case $words[1] in
${cases.join('\n')}
    help) _describe command commands ;;
  esac
}
if [ "$funcstack[1]" = _killick ]; then _killick "$@"; else compdef _killick killick; fi`
}

function fish(commands: Commands): string {
  const values = (what: Completed): string => {
    if (what === 'file' || what === 'folder') return '-r -F'
    return what === undefined ? '-x' : `-x -a ${quoted(what.join(' '))}`
  }
  const lines = commands.flatMap((entry) => {
    const when = `complete -c killick -n ${quoted(`__fish_seen_subcommand_from ${entry.name}`)}`
    const [first] = entry.arguments ?? []
    return [
      `complete -c killick -n __fish_use_subcommand -a ${entry.name} -d ${quoted(entry.summary)}`,
      ...optionsOf(entry).map(
        ([name, { value, about, complete }]) =>
          `${when} -l ${name} ${value === undefined ? '' : `${values(complete)} `}-d ${quoted(short(about))}`,
      ),
      ...(first?.complete === undefined ? [] : [`${when} ${values(first.complete).replace(/-[rx] /, '')}`]),
    ]
  })
  return `# Completion of killick for fish: ~/.config/fish/completions/killick.fish
complete -c killick -f
complete -c killick -l help -d 'explain a command'
${lines.join('\n')}`
}
