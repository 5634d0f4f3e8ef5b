// What `killick init` knows after it was interrupted: the answers so far, and the event that it recorded. No token, no key.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { membersOf, textOf } from '../config/members.ts'
import { KillickError } from '../core/errors.ts'
import { isSourceName } from '../core/event.ts'
import { parseJson } from '../core/json.ts'
import { inputError, isSystemError } from './input.ts'

/** Name of the file, in the folder of the project. */
export const STATE_FILE = '.killick-init.json'

const MEMBERS = ['url', 'source', 'key', 'spool', 'event', 'link'] as const

/** Answers and results; what is absent has not been reached. Paths start from the folder. */
export type InitState = { [Name in (typeof MEMBERS)[number]]?: string }

/** @returns null if no run was interrupted here. @throws KillickError `config_invalid` */
export function loadState(folder: string): InitState | null {
  const file = join(folder, STATE_FILE)
  if (!existsSync(file)) return null
  const fail = (why: string, member?: string) =>
    new KillickError('config_invalid', `${STATE_FILE}: ${why}. Remove it to begin anew`, { file, member })
  let value: unknown
  try {
    value = parseJson(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof KillickError) throw fail(`it cannot be read as JSON: ${error.message}`)
    throw error
  }
  const members = membersOf(value, '', MEMBERS, fail)
  const state: InitState = {}
  for (const name of MEMBERS) {
    const text = textOf(members[name], name, 'a text', fail)
    if (text !== undefined) state[name] = text
  }
  if (state.source !== undefined && !isSourceName(state.source)) throw fail('source is no name of a source', 'source')
  return state
}

/** Keeps an answer, so that nobody is asked twice. */
export function keepState(folder: string, state: InitState): void {
  replaceFile(join(folder, STATE_FILE), `${JSON.stringify(state, null, 2)}\n`)
}

export const dropState = (folder: string): void => rmSync(join(folder, STATE_FILE), { force: true })

/** Writes a file either whole or not at all. @throws UsageError that names the file, and not the one beside it that becomes it */
export function replaceFile(file: string, text: string): void {
  const part = join(file, '..', `.${basename(file)}.part`)
  try {
    writeFileSync(part, text)
    renameSync(part, file)
  } catch (error) {
    rmSync(part, { force: true })
    throw isSystemError(error) ? inputError(error, file) : error
  }
}
