// The member `sealed` of every configuration: which fields are encrypted, for whom, and where the keys are.
import { resolve } from 'node:path'
import { MAX_MS, type Members } from '../members.ts'

/**
 * Which fields of events are encrypted under a key of the person whose data they are, so that destroying the key erases them in every copy.
 * What should be sealed and cannot be is never written in clear: docs/guides/sealed.md says what becomes of it.
 */
export type SealedSettings = {
  /**
   * Names of the fields. Of a recorder: `actor`, `context` and its own, which are `statement`, `parameters` and `error` (postgres),
   * `requestBody` and `responseBody` (http), `arguments` and `result` (mcp), `changes` and `targets` (changes). `details` (not changes): what
   * else stands in `metadata` beside what the recorder knows by itself, such as path and query of a request. Of the collector: `actor`,
   * `targets`, `context`, `changes`, `metadata` and its `fields`.
   */
  fields: readonly string[]
  /** Where the keys of subjects are. */
  keys: SealedKeys
  /**
   * Whose data an event holds: `id` is a JSON pointer into its fields, such as `/context/tenant`; `type` is one too, or a fixed text. An
   * outcome that does not say it itself belongs to the subject of its intent. Default: the event's actor.
   */
  subject: { type: string; id: string } | null
  /**
   * What becomes of an event that does not say whose data it holds: it is `refuse`d, or belongs to its `actor`. Default `refuse`.
   */
  onMissing: 'refuse' | 'actor'
  /** How long the store of keys may take, ms; then it counts as unreachable. Default 5,000. */
  timeoutMs: number
}

/**
 * A store of subjects' keys, one of three. `folder`: files on this host, with their secret unless `secretFile` names one. `database`: the URL
 * of a PostgreSQL database of its own, or `databaseFile`, a file that holds it, and `secretFile`. `module`: a file whose default export is a
 * `SubjectKeys`. A `secretFile` holds 32 bytes, as they are, in hex or in base64.
 */
export type SealedKeys =
  | { readonly folder: string; readonly secretFile: string | null }
  | { readonly database: string; readonly isFile: boolean; readonly secretFile: string }
  | { readonly module: string }

/**
 * Takes the member `sealed` out of a configuration; null where there is none.
 * @param folder what paths are relative to @param faults where what is wrong is added @param sealable fields that can be sealed here
 * @param readable fields that the subject may be in beside those
 */
export function sealedSettingsOf(
  root: Members,
  folder: string,
  sealable: readonly string[],
  readable: readonly string[] = [],
): SealedSettings | null {
  if (!root.has('sealed')) return null
  const sealed = root.object('sealed')
  const fields = sealed.texts('fields') ?? []
  if (fields.length === 0) sealed.fault('fields', `must name at least one of ${sealable.join(', ')}`)
  for (const name of fields)
    if (!sealable.includes(name))
      sealed.fault('fields', `has ${name}, which cannot be sealed here; ${sealable.join(', ')} can be`)
  const made: SealedSettings = {
    fields: [...new Set(fields)],
    keys: keysOf(sealed.object('keys'), folder),
    subject: sealed.has('subject') ? subjectOf(sealed.object('subject'), [...sealable, ...readable]) : null,
    onMissing: sealed.choice('onMissing', ['refuse', 'actor']),
    timeoutMs: sealed.integer('timeoutMs', 5_000, 1, MAX_MS),
  }
  sealed.done()
  return made
}

function keysOf(keys: Members, folder: string): SealedKeys {
  const given = ['folder', 'database', 'databaseFile', 'module'].filter((name) => keys.has(name))
  if (given.length !== 1) keys.fault('', 'must have one of folder, database, databaseFile and module')
  const path = (name: string): string => resolve(folder, keys.text(name))
  const made = ((): SealedKeys => {
    if (given[0] === 'module') return { module: path('module') }
    if (given[0] === 'database' || given[0] === 'databaseFile') {
      const isFile = given[0] === 'databaseFile'
      const database = isFile ? path('databaseFile') : keys.text('database', POSTGRES, 'must be a URL postgres://…')
      return { database, isFile, secretFile: path('secretFile') }
    }
    const secret = keys.optional('secretFile')
    const where = given[0] === 'folder' ? path('folder') : folder
    return { folder: where, secretFile: secret === null ? null : resolve(folder, secret) }
  })()
  for (const name of given.slice(1)) keys.any(name)
  keys.done()
  return made
}

const POSTGRES = /^postgres(ql)?:\/\/./
const POINTER = /^(\/([^~/]|~[01])*)+$/

function subjectOf(subject: Members, fields: readonly string[]): NonNullable<SealedSettings['subject']> {
  const made = {
    type: subject.text('type'),
    id: subject.text('id', POINTER, 'must be a JSON pointer into the event, such as /context/tenant'),
  }
  for (const name of ['type', 'id'] as const) {
    const [first, field] = [made[name][0], made[name].split('/')[1]!]
    if (first === '/' && !fields.includes(field))
      subject.fault(name, `points into ${field}; an event here has ${fields.join(', ')}`)
  }
  subject.done()
  return made
}
