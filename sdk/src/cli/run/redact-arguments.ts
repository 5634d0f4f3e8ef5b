// What must not be recorded of a command line. An option's name says what its value is; a URL and many tokens say it themselves.
import { basename } from 'node:path'
import { compileRedaction, type Redaction, type Removal, STANDARD_RULES } from '../../kit/redaction.ts'

/** Endings of names of options, variables and headers whose values are secrets. */
const SECRET_NAME =
  /(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|secret|private)[-_]?key|credentials?|authorization|cookie)$|(?:^|[-_.])(?:pass|pwd|auth|otp|pin)$/i

/** Behind the user in `postgres://user:…@host`. */
const URL_PASSWORD = /(?<=[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@]{0,256}:)[^\s/]+(?=@)/i

const SECRET = 'secret'
const MARK = `[redacted:${SECRET}]`
const VALUE = String.raw`"(?:[^"\\]|\\.)*"?|'[^']*'?`
/** `name=value`, as shells and query strings have it. */
const ASSIGNED = new RegExp(String.raw`(?<![\w.-])(-{0,2}[A-Za-z][\w.-]{0,100})(=)(${VALUE}|[^\s&;|]+)`, 'g')
/** `name: value`, as headers and JSON have it. */
const MEMBER = new RegExp(
  String.raw`(?<![\w.-])([A-Za-z][\w.-]{0,100})(["']?\s{0,4}:\s{0,4})(${VALUE}|(?:(?:basic|bearer|digest|token)\s{1,4})?[^\s"';&|]+)`,
  'gi',
)
/** `--name value`, inside an argument that is a script. */
const FOLLOWED = new RegExp(String.raw`(?<![\w-])(--?[A-Za-z][\w.-]{0,100})(\s{1,8})(${VALUE}|\S+)`, 'g')

/** Options of one letter that carry a password in programs of these names; `joined`: only without a space between. */
const LETTERS: readonly (readonly [programs: RegExp, letter: string, joined: boolean])[] = [
  [/^sshpass$/, 'p', false],
  [/^(?:mysql|mariadb)/, 'p', true],
]
/** Options whose value is `user:password`. */
const USER_AND_PASSWORD = /^(?:-u|--user|-U|--proxy-user)$/
const TAKES_USERS = /^curl$/

/** Options that a header follows, and options that a script follows. */
const IS_HEADER = /^(?:-H|--header)$/
const IS_SCRIPT = /^-[a-z]*c$/

/** A command line, or another text, without secrets; `removals` have paths such as `/command/2`. */
export type ArgumentRedaction = {
  arguments(command: readonly string[]): { command: string[]; removals: Removal[] }
  /** @param path where it will stand */
  text(text: string, path: string): { text: string; removals: Removal[] }
  /** The value of a variable. */
  variable(name: string, value: string, path: string): { text: string; removals: Removal[] }
}

/** @param more names of options and variables whose values are secrets too, with or without dashes before them */
export function redactionOf(more: readonly string[]): ArgumentRedaction {
  const rules = compileRedaction([...STANDARD_RULES, { name: 'url-password', values: [URL_PASSWORD] }])
  const named = new Set(more.map(bare))
  const isSecret = (option: string): boolean => {
    const name = bare(option)
    return named.has(name) || (SECRET_NAME.test(name) && !/^no-/i.test(name))
  }
  const text = (given: string, path: string) => {
    const removals: Removal[] = []
    const left = inText(given, isSecret, () => removals.push({ path, rule: SECRET }))
    const found = detected(rules, left, path)
    return { text: found.text, removals: [...removals, ...found.removals] }
  }
  return {
    text,
    variable: (name, value, path) =>
      isSecret(name) && value !== '' ? { text: MARK, removals: [{ path, rule: SECRET }] } : text(value, path),
    arguments(command) {
      const removals: Removal[] = []
      const program = basename(command[0] ?? '')
      const redacted = command.map((argument, i) => {
        const path = `/command/${i}`
        const hidden = i === 0 ? null : byPlace(argument, command[i - 1]!, i === 1, program, isSecret, named)
        if (hidden !== null) {
          removals.push({ path, rule: SECRET })
          return hidden
        }
        const found = text(argument, path)
        removals.push(...found.removals)
        return found.text
      })
      return { command: redacted, removals }
    },
  }
}

const bare = (option: string): string => option.replace(/^-+/, '')

/** An argument whose value is a secret because of where it stands; null if it is none. */
function byPlace(
  argument: string,
  before: string,
  isFirst: boolean,
  program: string,
  isSecret: (option: string) => boolean,
  named: ReadonlySet<string>,
): string | null {
  const letters = LETTERS.filter(([programs]) => programs.test(program))
  // Of a script nothing but the values themselves is hidden: what it does is to be seen.
  if (IS_SCRIPT.test(before)) return null
  const assigned = /^(-{0,2}[A-Za-z][\w.-]*)=(.)/s.exec(argument)
  if (assigned && isSecret(assigned[1]!)) return `${assigned[1]}=${MARK}`
  const header = /^([A-Za-z][\w-]*): ?(.)/s.exec(argument)
  if (header && IS_HEADER.test(before) && isSecret(header[1]!)) return `${header[1]}: ${MARK}`
  const letter = /^-([A-Za-z])./s.exec(argument)?.[1]
  if (letter !== undefined && (named.has(letter) || letters.some(([, each]) => each === letter)))
    return `-${letter}${MARK}`
  if (/^(?:pass|env):./s.test(argument) && /^-pass(?:in|out)?$/.test(before)) return MARK
  if (isFirst || !/^-{1,2}[A-Za-z][\w.-]*$/.test(before) || argument === '') return null
  if (isSecret(before)) return MARK
  if (letters.some(([, each, joined]) => !joined && before === `-${each}`)) return MARK
  if (TAKES_USERS.test(program) && USER_AND_PASSWORD.test(before) && argument.includes(':'))
    return `${argument.slice(0, argument.indexOf(':'))}:${MARK}`
  return null
}

function inText(text: string, isSecret: (option: string) => boolean, onRemoval: () => void): string {
  const hide = (whole: string, name: string, between: string): string => {
    if (!isSecret(name)) return whole
    onRemoval()
    return name + between + MARK
  }
  const left = text.replace(ASSIGNED, hide).replace(MEMBER, hide)
  return /\s/.test(left) ? left.replace(FOLLOWED, hide) : left
}

function detected(rules: Redaction, text: string, path: string): { text: string; removals: Removal[] } {
  const { value, removals } = rules.redactValue(text)
  return { text: value as string, removals: removals.map(({ rule }) => ({ path, rule })) }
}
