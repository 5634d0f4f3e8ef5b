// What must not be recorded of a command line. An option's name says what its value is; a URL and many tokens say it themselves.
import { basename } from 'node:path'
import { compileRedaction, type Redaction, type RedactionRules, type Removal, STANDARD_RULES } from './redaction.ts'

/** Endings of names of options, variables and headers whose values are secrets. */
const SECRET_NAME =
  /(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|secret|private)[-_]?key|credentials?|authorization|cookie)$|(?:^|[-_.])(?:pass|pwd|auth|otp|pin)$/i

/** Behind the user in `postgres://user:…@host`. */
const URL_PASSWORD = /(?<=[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@]{0,256}:)[^\s/]+(?=@)/i

const SECRET = 'secret'
const URL_RULE = 'url-password'
const markOf = (rule: string): string => `[redacted:${rule}]`
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

/** A command line, a text or a variable without secrets; made by `compileCommandRedaction`. Inputs are never changed. */
export type CommandRedaction = {
  /** The words of a command. Paths of the removals are `/command/<index>`. */
  command(words: readonly string[]): { command: string[]; removals: Removal[] }
  /** Any text that may hold parts of a command. @param path where it will stand */
  text(text: string, path: string): { text: string; removals: Removal[] }
  /** The value of an environment variable. @param path where it will stand */
  variable(name: string, value: string, path: string): { text: string; removals: Removal[] }
}

/** Options of `compileCommandRedaction`. */
export type CommandRedactionOptions = {
  /** Names of options and variables whose values are secrets too, with or without dashes before them. Default: none. */
  readonly names?: readonly string[] | undefined
  /** What to look for in words and, by rules with `keys`, in names of options. Default `STANDARD_RULES`. */
  readonly rules?: RedactionRules | undefined
}

/** The rule that hides what an option or variable of this name has; null: none does. */
type RuleFor = (option: string) => string | null

/**
 * Rules for what people type, where a JSON pointer names nothing: values of options, variables and headers whose names say that they are
 * secrets, passwords in URLs, `user:password` of curl, `-p` of MySQL and sshpass, what detectors find in any word. Rule `secret` where the
 * name decides, `url-password` in URLs.
 * @throws KitError `redaction_rule_invalid`
 * @example
 * compileCommandRedaction().command(['psql', 'postgres://ada:hunter2@db/x']).command
 * // ['psql', 'postgres://ada:[redacted:url-password]@db/x']
 */
export function compileCommandRedaction({
  names = [],
  rules = STANDARD_RULES,
}: CommandRedactionOptions = {}): CommandRedaction {
  const redaction = compileRedaction([...rules, { name: URL_RULE, values: [URL_PASSWORD] }])
  const named = new Set(names.map(bare))
  const ruleFor: RuleFor = (option) => {
    const name = bare(option)
    if (named.has(name) || (SECRET_NAME.test(name) && !/^no-/i.test(name))) return SECRET
    return redaction.redactValue({ [name]: 'value' }).removals[0]?.rule ?? null
  }
  const text = (given: string, path: string) => {
    const removals: Removal[] = []
    const left = inText(given, ruleFor, (rule) => removals.push({ path, rule }))
    const found = detected(redaction, left, path)
    return { text: found.text, removals: [...removals, ...found.removals] }
  }
  return {
    text,
    variable(name, value, path) {
      const rule = value === '' ? null : ruleFor(name)
      return rule === null ? text(value, path) : { text: markOf(rule), removals: [{ path, rule }] }
    },
    command(words) {
      const removals: Removal[] = []
      const program = basename(words[0] ?? '')
      const command = words.map((word, i) => {
        const path = `/command/${i}`
        const hidden = i === 0 ? null : byPlace(word, words[i - 1]!, i === 1, program, ruleFor, named)
        if (hidden !== null) {
          removals.push({ path, rule: hidden.rule })
          return hidden.text
        }
        const found = text(word.toWellFormed(), path)
        removals.push(...found.removals)
        return found.text
      })
      return { command, removals }
    },
  }
}

const bare = (option: string): string => option.replace(/^-+/, '')

/** What stands for a word that is a secret because of where it stands; null if it is none. */
function byPlace(
  word: string,
  before: string,
  isFirst: boolean,
  program: string,
  ruleFor: RuleFor,
  named: ReadonlySet<string>,
): { text: string; rule: string } | null {
  const letters = LETTERS.filter(([programs]) => programs.test(program))
  const hidden = (rule: string, shown = '') => ({ text: shown + markOf(rule), rule })
  // Of a script nothing but the values themselves is hidden: what it does is to be seen.
  if (IS_SCRIPT.test(before)) return null
  const assigned = /^(-{0,2}[A-Za-z][\w.-]*)=(.)/s.exec(word)
  const assignedRule = assigned && ruleFor(assigned[1]!)
  if (assignedRule) return hidden(assignedRule, `${assigned[1]}=`)
  const header = /^([A-Za-z][\w-]*): ?(.)/s.exec(word)
  const headerRule = header && IS_HEADER.test(before) ? ruleFor(header[1]!) : null
  if (headerRule) return hidden(headerRule, `${header![1]}: `)
  const letter = /^-([A-Za-z])./s.exec(word)?.[1]
  if (letter !== undefined && (named.has(letter) || letters.some(([, each]) => each === letter)))
    return hidden(SECRET, `-${letter}`)
  if (/^(?:pass|env):./s.test(word) && /^-pass(?:in|out)?$/.test(before)) return hidden(SECRET)
  if (isFirst || !/^-{1,2}[A-Za-z][\w.-]*$/.test(before) || word === '') return null
  const followed = ruleFor(before)
  if (followed !== null) return hidden(followed)
  if (letters.some(([, each, joined]) => !joined && before === `-${each}`)) return hidden(SECRET)
  if (TAKES_USERS.test(program) && USER_AND_PASSWORD.test(before) && word.includes(':'))
    return hidden(SECRET, `${word.slice(0, word.indexOf(':'))}:`)
  return null
}

function inText(text: string, ruleFor: RuleFor, onRemoval: (rule: string) => void): string {
  const hide = (whole: string, name: string, between: string): string => {
    const rule = ruleFor(name)
    if (rule === null) return whole
    onRemoval(rule)
    return name + between + markOf(rule)
  }
  const left = text.replace(ASSIGNED, hide).replace(MEMBER, hide)
  return /\s/.test(left) ? left.replace(FOLLOWED, hide) : left
}

function detected(rules: Redaction, text: string, path: string): { text: string; removals: Removal[] } {
  const { value, removals } = rules.redactValue(text)
  return { text: value as string, removals: removals.map(({ rule }) => ({ path, rule })) }
}
