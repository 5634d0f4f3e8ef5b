import { isObject, type JsonObject } from '../../core/json.ts'
import { askJson } from '../../http/ask-json.ts'
import { accessOf, openAccess, withToken } from '../access.ts'
import { type Command, EXIT, readArgs, required, UsageError } from '../command.ts'
import { HOLDS } from '../table/erasing.ts'
import { columns, err, jsonLine, out, type Printed } from '../terminal.ts'
import { conditionsOf, coversOf, listOf, numberOf, textOf, UUID } from './answers.ts'

export const holds: Command = {
  run: async (args) => {
    const given = readArgs(HOLDS, args)
    const { place, lift, json } = given.values
    const covers = conditionsOf(given.values)
    if (place !== undefined && lift !== undefined) throw new UsageError('--place and --lift are two things to do')
    const [condition] = Object.keys(covers)
    if (place === undefined && condition !== undefined) throw new UsageError(`--${condition} goes with --place`)
    if (lift !== undefined && !UUID.test(lift)) throw new UsageError(`${lift} is no id of a hold`)
    if (place === undefined && lift === undefined) {
      if (given.values.reason !== undefined) throw new UsageError('--reason goes with --place or --lift')
      const api = openAccess(accessOf(HOLDS, given, 'KILLICK_TOKEN', 'KILLICK_ADMIN_TOKEN', 'KILLICK_ERASER_TOKEN'))
      const answer = await api.json('/v1/holds')
      list(listOf(isObject(answer) ? answer : {}, 'holds'), json)
      return EXIT.ok
    }
    const reason = required(HOLDS, given, 'reason')
    const service = withToken(accessOf(HOLDS, given, 'KILLICK_ADMIN_TOKEN'))
    const done =
      lift === undefined
        ? await askJson(service, 'POST', '/v1/holds', { case: place, reason, covers })
        : await askJson(service, 'DELETE', `/v1/holds/${lift}?${new URLSearchParams({ reason })}`)
    if (json) out(jsonLine(done))
    else {
      out(textOf(done, 'id'))
      err(
        lift === undefined
          ? `The hold stands by entry ${numberOf(done, 'logIndex')} of the log. It covers ${coversOf(done)}.`
          : 'The hold is lifted. What another hold covers stays held.',
      )
    }
    return EXIT.ok
  },
}

function list(rows: readonly JsonObject[], isJson: boolean): void {
  if (!process.stdout.isTTY || isJson) for (const row of rows) out(jsonLine(row))
  else if (rows.length === 0) out('No hold was placed.')
  else out(columns(['placed (UTC)', 'id', 'entry', 'covers', 'state'], rows.map(cellsOf)))
}

const cellsOf = (row: JsonObject): Printed[] => [
  textOf(row, 'createdAt').slice(0, 19).replace('T', ' '),
  ...[textOf(row, 'id'), numberOf(row, 'logIndex'), coversOf(row), textOf(row, 'state')],
]
