// The command of a server, as an event may show it.
import type { Redaction } from '@killick/sdk/kit'

const OPTION = /^-{0,2}([A-Za-z][\w.-]*)(=)?([\s\S]*)$/
/** A password in a URL, such as a database's. */
const URL_PASSWORD = /(\w:\/\/[^/\s:@]*:)[^@\s]+(?=@)/g

/** The command without secrets: those that rules find in its words, values of options that rules know by name, passwords in URLs. */
export function commandShown(command: readonly string[], redaction: Redaction): string[] {
  let owed: string | null = null
  return command.map((word, i) => {
    const text = redaction.redactValue(word.toWellFormed().replace(URL_PASSWORD, '$1[redacted:url]')).value as string
    const [, name, equals, value] = OPTION.exec(word) ?? []
    const isOption = word.startsWith('-')
    const shown = owed !== null && !isOption ? owed : text
    owed = null
    if (i === 0 || name === undefined) return shown
    const mark = markFor(name, redaction)
    if (mark === null) return shown
    if (equals !== undefined) return `${word.slice(0, word.length - value!.length)}${mark}`
    if (isOption) owed = mark
    return shown
  })
}

/** What stands for a value of this name; null if no rule is for it. */
function markFor(name: string, redaction: Redaction): string | null {
  const { value, removals } = redaction.redactValue({ [name]: 'value' })
  return removals.length > 0 ? String(Object.values(value as object)[0]) : null
}
