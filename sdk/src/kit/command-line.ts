// What must not be recorded of a command line. An option's name says what its value is; a URL and many tokens say it themselves.
import { basename } from 'node:path'
import { knownOptions } from '../core/options.ts'
import { optionFault } from './errors.ts'
import { compileRedaction, type Redaction, type RedactionRules, type Removal, STANDARD_RULES } from './redaction.ts'

/** Endings of names of options, variables and headers whose values are secrets. */
const SECRET_NAME =
  /(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|secret|private)[-_]?key|credentials?|authorization|bearer|cookie)$|(?:^|[-_.])(?:pass|pwd|auth|otp|pin)$/i

/**
 * Behind `PASSWORD`, `PASSWORD FOR … =` and `IDENTIFIED BY` in SQL. A backslash may be one before a quote or no more than itself. Without a space
 * the quote may be the end of a text; not where it is the first one of CREATE USER.
 */
const SQL_PASSWORD =
  /\b(?:password(?:\s{1,100}for\s{1,100}\S{1,200}(?=\s{0,100}=))?|identified\s{1,100}(?:with\s{1,100}\S{1,100}\s{1,100})?by)(?:\s{1,100}|\s{0,100}=\s{0,100}|(?=')(?<=\b(?:role|user|group)\s[^']{0,1000}))(?:(?:E|U&)?'(?:[^'\\]|''|\\.){0,1000}'|(?:U&)?'(?:[^']|''){0,1000}'|\$(\w{0,60})\$[\s\S]{0,1000}?\$\1\$)/iu

const SECRET = 'secret'
const URL_RULE = 'url-password'
const SQL_RULE = 'sql-password'
const MARK = '[redacted:'
const markOf = (rule: string): string => `${MARK}${rule}]`
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"?|'[^']*'?`

/** How texts name a value: what stands before it, and the value, which is looked for from there on. */
type Naming = { readonly head: RegExp; readonly value: RegExp }
/** `name=value`, as shells and query strings have it. What a shell joins to a quoted part belongs to it. */
const ASSIGNED: Naming = {
  head: /(?<![\w.-])(-{0,2}[A-Za-z_][\w.-]{0,100})=/g,
  value: new RegExp(String.raw`(?:${QUOTED})(?:${QUOTED}|\\.|[^\s&;|"'\\,)}\]])*|(?:\\.|[^\s&;|\\])+`, 'sy'),
}
/** `name: value`, as headers and JSON have it. */
const MEMBER: Naming = {
  head: /(?<![\w.-])([A-Za-z][\w.-]{0,100})["']?\s{0,4}:\s{0,4}/g,
  value: new RegExp(String.raw`${QUOTED}|(?:(?:basic|bearer|digest|token)\s{1,4})?(?:\\.|[^\s"';&|\\])+`, 'isy'),
}
/** A header in quotation marks, whose value may be a scheme and what belongs to it. */
const CREDENTIALS: readonly Naming[] = [
  { head: /(?<=')((?:proxy-)?authorization|(?:set-)?cookie):\s{0,8}/gi, value: /[^'\n]+/y },
  { head: /(?<=")((?:proxy-)?authorization|(?:set-)?cookie):\s{0,8}/gi, value: /(?:\\.|[^"\\\n])+/sy },
]
/** `--name value`, inside an argument that is a script. */
const FOLLOWED: Naming = {
  head: /(?<![\w-])(--?[A-Za-z][\w.-]{0,100})\s{1,8}/g,
  value: new RegExp(String.raw`${QUOTED}|\S+`, 'y'),
}
/** A word of a script, or what separates two commands. */
const SHELL_WORD = /(?:"(?:[^"\\]|\\.)*"?|'[^']*'?|\\.|[^\s;|&"'\\])+|[;|&\n]/gs

/** Options of one letter that carry a password in programs of these names; `joined`: only without a space between. */
const LETTERS: readonly (readonly [programs: RegExp, letter: string, joined: boolean])[] = [
  [/^sshpass$/, 'p', false],
  [/^(?:mysql|mariadb)/, 'p', true],
  [/^mongo(?:sh|dump|restore|export|import|files|stat|top)?$/, 'p', false],
  [/^(?:sqlcmd|bcp)$/, 'P', false],
  [/^redis-cli$/, 'a', false],
  [/^ldap(?:add|compare|delete|exop|modify|modrdn|passwd|search|whoami)$/, 'w', false],
  [/^(?:un)?zip$/, 'P', false],
  [/^(?:7z[arz]?|(?:un)?rar)$/, 'p', true],
]
/** The same of commands that programs of these names have. */
const COMMAND_LETTERS: readonly (readonly [programs: RegExp, command: string, letter: string])[] = [
  [/^(?:docker|podman|nerdctl|buildah|skopeo|helm|oras|az|oc|cf)$/, 'login', 'p'],
]
/** Commands of programs of these names whose first word that is no option is a secret. */
const COMMAND_SECRETS: readonly (readonly [programs: RegExp, command: string])[] = [
  [/^(?:vault|bao)$/, 'login'],
  [/^mysqladmin$/, 'password'],
]
/** Commands behind which a name stands before its value: `set` of any program, as of `aws configure set`. */
const SETS: readonly (readonly [programs: RegExp, command: string])[] = [
  [/^/, 'set'],
  [/^git$/, 'config'],
]
/** Options whose value is `user:password`; of one letter also behind others that take no value. */
const USER_AND_PASSWORD = /^(?:-[\d#aBfgGiIjJklLMnNOpqRsSvVZ]{0,20}[uU]|--(?:proxy-)?user)$/
const WITH_USER_AND_PASSWORD =
  /^(["']?(?:-[\d#aBfgGiIjJklLMnNOpqRsSvVZ]{0,20}[uU]|--(?:proxy-)?user=)["']?[^:\s]{0,256}:)./s
const TAKES_USERS = /^curl$/
/** Of these programs it stands behind `-U` or `-u`, with another sign before the password. */
const OTHER_USERS = /^(?:smbclient|rpcclient|lftp)$/
const OTHER_USER = /^(-[uU])?([^\s%,]{1,256}[%,])./s

/** Options that a header follows, and options that a script follows. */
const IS_HEADER = /^(?:-[a-zA-Z]*H|--(?:proxy-)?header)$/
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

const findsInUrls = (rule: RedactionRules[number]): boolean => 'detect' in rule && rule.detect.includes('urlPassword')

/** The rule that hides what an option or variable of this name has; null: none does. */
type RuleFor = (option: string) => string | null

/**
 * Rules for what people type, where a JSON pointer names nothing: values of options, variables and headers whose names say that they are
 * secrets, passwords in URLs and behind PASSWORD in SQL, `user:password` of curl, `-p` of MySQL, MongoDB and sshpass, `-P` of sqlcmd, bcp
 * and zip, `-a` of redis-cli, `-w` of the tools of LDAP, `-p` of `docker login` and its kin, what `vault login` is given, and what `set` gives to such a
 * name, also behind `sudo` and the like and inside a script, and what detectors find in any word. Rule `secret` where name or place decides, `url-password` in URLs, `sql-password` in SQL.
 * @throws KitError `redaction_rule_invalid`, `option_invalid`
 * @example
 * compileCommandRedaction().command(['psql', 'postgres://ada:hunter2@db/x']).command
 * // ['psql', 'postgres://ada:[redacted:url-password]@db/x']
 */
export function compileCommandRedaction(options?: CommandRedactionOptions): CommandRedaction {
  const { names = [], rules = STANDARD_RULES } = knownOptions(options, { names: true, rules: true }, optionFault)
  const redaction = compileRedaction([
    ...rules,
    // The standard rules look for them already.
    ...(rules.some(findsInUrls) ? [] : [{ name: URL_RULE, detect: ['urlPassword'] as const }]),
    { name: SQL_RULE, values: [SQL_PASSWORD] },
  ])
  const named = new Set(names.map(bare))
  const known = new Map<string, string | null>()
  const ruleFor: RuleFor = (option) => {
    const name = bare(option)
    // A hostile text may name as many as it has letters.
    if (known.size >= MAX_KNOWN) known.clear()
    if (!known.has(name)) known.set(name, ruleOf(name))
    return known.get(name)!
  }
  const ruleOf = (name: string) => {
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
      const programs = new Programs(ruleFor)
      const command = words.map((word, i) => {
        const path = `/command/${i}`
        const hidden = i === 0 ? null : byPlace(word, words[i - 1]!, i === 1, programs, ruleFor, named)
        programs.saw(word)
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

/** Names whose rule is remembered. */
const MAX_KNOWN = 1000
/** Words of a command among which its program is looked for. */
const MAX_NAMES = 16

const bare = (option: string): string => option.replace(/^-+/, '')

/** Programs of a command whose options say less than their names: the first word, or one behind `sudo`, `env`, `time` … */
class Programs {
  /** Letters of options whose value is a password; true: never in the next word. */
  readonly letters = new Map<string, boolean>()
  takesUsers = false
  takesOtherUsers = false
  readonly #ruleFor: RuleFor
  readonly #names: string[] = ['']
  #setsNames = false
  #isSecretNext = false

  constructor(ruleFor: RuleFor) {
    this.#ruleFor = ruleFor
  }

  saw(word: string): void {
    if (word.length > 256) return
    const name = basename(word)
    const has = (programs: RegExp, command: string) =>
      word === command && this.#names.some((each) => programs.test(each))
    for (const [programs, letter, isJoined] of LETTERS) if (programs.test(name)) this.letters.set(letter, isJoined)
    for (const [programs, command, letter] of COMMAND_LETTERS)
      if (has(programs, command)) this.letters.set(letter, false)
    if (COMMAND_SECRETS.some(([programs, command]) => has(programs, command))) this.#isSecretNext = true
    if (SETS.some(([programs, command]) => has(programs, command))) this.#setsNames = true
    if (TAKES_USERS.test(name)) this.takesUsers = true
    if (OTHER_USERS.test(name)) this.takesOtherUsers = true
    // A program may stand behind `sudo -u ada` and the like.
    if (this.#names.length < MAX_NAMES) this.#names.push(name)
  }

  /** Of a word, what of it may be shown where the rest is a password because of the program; null: all of it. */
  shown(word: string, before: string): string | null {
    const letter = /^-([A-Za-z])./s.exec(word)?.[1]
    if (letter !== undefined && this.letters.has(letter)) return `-${letter}`
    if (this.letters.get(/^-([A-Za-z])$/.exec(before)?.[1] ?? '') === false) return ''
    const isOption = word.startsWith('-')
    if (this.#isSecretNext && !isOption && !word.includes('=')) {
      this.#isSecretNext = false
      return ''
    }
    if (this.#setsNames && !isOption && !before.startsWith('-') && this.#ruleFor(before) !== null) return ''
    if (this.takesOtherUsers && (isOption || /^-[uU]$/.test(before))) {
      const [, option = '', user] = OTHER_USER.exec(word) ?? []
      if (user !== undefined && (option !== '') === isOption) return option + user
    }
    if (!this.takesUsers) return null
    if (USER_AND_PASSWORD.test(before) && word.includes(':')) return word.slice(0, word.indexOf(':') + 1)
    return WITH_USER_AND_PASSWORD.exec(word)?.[1] ?? (/^-b$/.test(before) && word.includes('=') ? '' : null)
  }
}

/** What stands for a word that is a secret because of where it stands; null if it is none. */
function byPlace(
  word: string,
  before: string,
  isFirst: boolean,
  programs: Programs,
  ruleFor: RuleFor,
  named: ReadonlySet<string>,
): { text: string; rule: string } | null {
  const hidden = (rule: string, shown = '') => ({ text: shown + markOf(rule), rule })
  // Of a script nothing but the values themselves is hidden: what it does is to be seen.
  if (IS_SCRIPT.test(before)) return null
  const assigned = /^(-{0,2}[A-Za-z][\w.-]*)=(.)/s.exec(word)
  const assignedRule = assigned && ruleFor(assigned[1]!)
  if (assignedRule) return hidden(assignedRule, `${assigned[1]}=`)
  const header = /^(-H|--header=|--proxy-header=|)([A-Za-z][\w-]*): ?(.)/s.exec(word)
  const headerRule = header && (header[1] !== '' || IS_HEADER.test(before)) ? ruleFor(header[2]!) : null
  if (headerRule) return hidden(headerRule, `${header![1]}${header![2]}: `)
  const letter = /^-([A-Za-z])./s.exec(word)?.[1]
  if (letter !== undefined && named.has(letter)) return hidden(SECRET, `-${letter}`)
  if (/^(?:pass|env):./s.test(word) && /^-pass(?:in|out)?$/.test(before)) return hidden(SECRET)
  if (word === '') return null
  const shown = programs.shown(word, isFirst ? '' : before)
  if (shown !== null) return hidden(SECRET, shown)
  if (isFirst || !/^-{1,2}[A-Za-z][\w.-]*$/.test(before)) return null
  const followed = ruleFor(before)
  return followed === null ? null : hidden(followed)
}

function inText(text: string, ruleFor: RuleFor, onRemoval: (rule: string) => void): string {
  let left = text
  for (const naming of [ASSIGNED, ...CREDENTIALS, MEMBER]) left = withoutNamed(left, naming, ruleFor, onRemoval)
  if (!/\s/.test(left)) return left
  return inScript(withoutNamed(left, FOLLOWED, ruleFor, onRemoval), ruleFor, onRemoval)
}

/** A name that says nothing of its value takes nothing along: the value may itself be a name and what it stands before. */
function withoutNamed(text: string, { head, value }: Naming, ruleFor: RuleFor, onRemoval: (rule: string) => void) {
  let left = ''
  let from = 0
  head.lastIndex = 0
  for (let found = head.exec(text); found !== null; found = head.exec(text)) {
    const rule = ruleFor(found[1]!)
    // The white space behind this name may be the one before the next.
    const end = head.lastIndex
    head.lastIndex = found.index + found[0].trimEnd().length
    if (rule === null) continue
    value.lastIndex = end
    if (text.startsWith(MARK, end) || !value.test(text)) continue
    onRemoval(rule)
    left += text.slice(from, end) + markOf(rule)
    from = value.lastIndex
    head.lastIndex = from
  }
  return left + text.slice(from)
}

/** Without passwords that only the program tells from other words. */
function inScript(text: string, ruleFor: RuleFor, onRemoval: (rule: string) => void): string {
  let programs = new Programs(ruleFor)
  let before = ''
  return text.replace(SHELL_WORD, (word) => {
    const quote = /^["']/.exec(word)?.[0] ?? ''
    const bareWord = word.slice(quote.length)
    const shown = /^[;|&\n]$/.test(word) || bareWord.startsWith(MARK) ? null : programs.shown(bareWord, before)
    if (/^[;|&\n]$/.test(word)) programs = new Programs(ruleFor)
    else programs.saw(bareWord)
    before = word
    if (shown === null) return word
    onRemoval(SECRET)
    return quote + shown + markOf(SECRET) + quote
  })
}

function detected(rules: Redaction, text: string, path: string): { text: string; removals: Removal[] } {
  const { value, removals } = rules.redactValue(text)
  return { text: value as string, removals: removals.map(({ rule }) => ({ path, rule })) }
}
