import { isObject, type JsonObject, type JsonValue } from '../../core/json.ts'
import { askJson } from '../../http/ask-json.ts'
import { accessOf, openAccess, withToken } from '../access.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from '../command.ts'
import { PRUNE } from '../table/erasing.ts'
import { count, err, json, out } from '../terminal.ts'
import { numberOf } from './answers.ts'

const PATH = '/v1/log/pruning'

export const prune: Command = {
  run: async (args) => {
    const given = readArgs(PRUNE, args)
    const { after, never } = given.values
    if (after !== undefined && never) throw new UsageError('--after and --never are two things to do')
    const isOrder = after !== undefined || never === true
    const afterDays = after === undefined ? null : integer(after, 'after', 1)
    const found = isOrder
      ? await order(withToken(accessOf(PRUNE, given, 'KILLICK_ADMIN_TOKEN')), afterDays)
      : await pruningOf(openAccess(accessOf(PRUNE, given, 'KILLICK_TOKEN', 'KILLICK_ADMIN_TOKEN')))
    if (given.values.json) {
      out(json(isOrder ? { afterDays, pruning: found } : { pruning: found }))
      return EXIT.ok
    }
    out(wordsOf(found))
    if (isOrder && (found?.afterDays ?? null) !== afterDays)
      err('That is in the log, and counts once a final anchor covers it.')
    return EXIT.ok
  },
}

async function order(service: Parameters<typeof askJson>[0], afterDays: number | null): Promise<JsonObject | null> {
  const answer = await (afterDays === null
    ? askJson(service, 'DELETE', PATH)
    : askJson(service, 'PUT', PATH, { afterDays }))
  return objectOf(answer.pruning)
}

async function pruningOf(api: { json(path: string): Promise<JsonValue> }): Promise<JsonObject | null> {
  const log = await api.json('/v1/log')
  return objectOf(isObject(log) ? log.pruning : undefined)
}

const objectOf = (value: JsonValue | undefined): JsonObject | null => (isObject(value) ? value : null)

function wordsOf(found: JsonObject | null): string {
  if (found === null || found.afterDays === null) return 'The whole log is published.'
  const entry = numberOf(found, 'minimumIndex').toLocaleString('en')
  return `The log is published from entry ${entry} on: after ${count(numberOf(found, 'afterDays'), 'day')} entries are for holders of a token only.`
}
