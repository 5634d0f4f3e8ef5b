import { readPages } from '../audit/answers.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject, type JsonValue } from '../core/json.ts'
import type { UnsealedEvent } from '../sealing/index.ts'
import { accessOf, openAccess } from './access.ts'
import { type Command, EXIT, integer, readArgs } from './command.ts'
import { queryOf } from './conditions.ts'
import { openUnseal, sealedWords } from './sealed.ts'
import { SEARCH } from './table/reading.ts'
import { columns, err, jsonLine, out, type Printed, paint } from './terminal.ts'

/** Largest page that the service gives. */
const PAGE = 500

export const search: Command = {
  run: async (args) => {
    const given = readArgs(SEARCH, args)
    const { values } = given
    const limit = integer(values.limit, 'limit', 1)
    const path = `/v1/events${queryOf(values)}`
    const api = openAccess(accessOf(SEARCH, given))
    const unseal = await openUnseal(values['subject-keys'])
    const read = async (row: JsonObject): Promise<JsonObject> =>
      unseal && isObject(row.fields) ? { ...row, ...(await unseal(row as Readable)) } : row
    const asTable = process.stdout.isTTY === true && !values.json
    const rows: JsonObject[] = []
    let found = 0
    let hasMore = false
    for await (const page of readPages(api, path, 'events', () => Math.min(PAGE, limit - found), parseRow)) {
      found += page.rows.length
      hasMore = page.next !== null
      for (const { token: _, ...row } of page.rows) {
        if (asTable) rows.push(await read(row))
        else out(jsonLine(await read(row)))
      }
      if (found >= limit) break
    }
    if (rows.length > 0) out(columns(HEADS, rows.map(cellsOf)))
    if (asTable && found === 0) out('No event was found.')
    if (hasMore) err(`These are the newest ${found}; there are more: --limit lists them.`)
    return EXIT.ok
  },
}

type Readable = JsonObject & { id: string; fields: JsonObject }

function parseRow(row: JsonValue): JsonObject {
  if (isObject(row) && (typeof row.id === 'string' || isObject(row.error))) return row
  throw new KillickError('answer_malformed', '/v1/events holds something else than events')
}

const HEADS = ['recorded (UTC)', 'action', 'outcome', 'actor', 'targets', 'source', 'event']

const COLOURS: Record<string, 'red' | 'green'> = { denied: 'red', failure: 'red', success: 'green' }

function cellsOf({ id, leafHash, recordedAt, source, fields, error, sealed }: JsonObject): Printed[] {
  const { action, outcome, actor, targets } = isObject(fields) ? fields : {}
  const told = (name: string, value: JsonValue | undefined) =>
    sealedWords(name, value, sealed as UnsealedEvent['sealed'])
  const unread = told('targets', targets)
  const shown = unread !== null ? [unread] : Array.isArray(targets) ? targets.map(party) : []
  const list = shown.length > 2 ? `${shown.slice(0, 2).join(', ')} and ${shown.length - 2} more` : shown.join(', ')
  // A policy has done what it says; anything else is somebody's doing.
  const isDropped = isObject(error) && error.code === 'event_dropped'
  const why = isDropped ? paint('dim', 'dropped') : isObject(error) ? paint('red', String(error.code)) : words(action)
  return [
    words(recordedAt).slice(0, 19).replace('T', ' '),
    why,
    COLOURS[words(outcome)] ? paint(COLOURS[words(outcome)]!, words(outcome)) : words(outcome),
    cut(told('actor', actor) ?? party(actor)),
    cut(list),
    words(source),
    words(id ?? leafHash),
  ]
}

/** Of a longer text the table would be wider than any terminal. */
const cut = (value: string): string => (value.length > 48 ? `${value.slice(0, 47)}…` : value)

const words = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '')

function party(value: JsonValue | undefined): string {
  if (!isObject(value)) return ''
  const { type, id, name } = value
  return typeof name === 'string' ? `${words(type)} ${words(id)} (${name})` : `${words(type)} ${words(id)}`
}
