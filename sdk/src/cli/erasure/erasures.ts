import { readRows } from '../../audit/answers.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { accessOf, openAccess } from '../access.ts'
import { type Command, EXIT, readArgs, UsageError } from '../command.ts'
import { ERASURES } from '../table/erasing.ts'
import { columns, jsonLine, out, type Printed, paint } from '../terminal.ts'
import { numberOf, textOf, UUID } from './answers.ts'

const PAGE = 1000

export const erasures: Command = {
  run: async (args) => {
    const given = readArgs(ERASURES, args)
    const [id] = given.positionals
    if (id !== undefined && !UUID.test(id)) throw new UsageError(`${id} is no id of an erasure`)
    const api = openAccess(accessOf(ERASURES, given, 'KILLICK_TOKEN', 'KILLICK_ERASER_TOKEN'))
    const rows: JsonObject[] = []
    if (id !== undefined) {
      const one = await api.json(`/v1/erasures/${id}`)
      rows.push(isObject(one) ? one : {})
    }
    for (let isLast = id !== undefined; !isLast; ) {
      const after = rows.length === 0 ? -1 : numberOf(rows.at(-1)!, 'logIndex')
      const path = `/v1/erasures?limit=${PAGE}&after=${after}`
      const page = await readRows(
        api,
        path,
        'erasures',
        after,
        (row) => row,
        (row) => numberOf(row, 'logIndex'),
      )
      rows.push(...page)
      isLast = page.length < PAGE
    }
    if (!process.stdout.isTTY || given.values.json) for (const row of rows) out(jsonLine(row))
    else if (rows.length === 0) out('Nothing was ordered to be erased.')
    else out(columns(['ordered (UTC)', 'id', 'entry', 'events', 'state', 'by'], rows.map(cellsOf)))
    return EXIT.ok
  },
}

function cellsOf(row: JsonObject): Printed[] {
  const { policy } = row
  const isDone = textOf(row, 'state') === 'done'
  return [
    textOf(row, 'createdAt').slice(0, 19).replace('T', ' '),
    ...[textOf(row, 'id'), numberOf(row, 'logIndex'), numberOf(row, 'events')],
    isDone ? paint('green', 'done') : paint('yellow', 'open'),
    isObject(policy) ? `policy ${policy.id}, version ${policy.version}` : 'order',
  ]
}
