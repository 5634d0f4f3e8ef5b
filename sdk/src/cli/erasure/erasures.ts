import { readRows } from '../../audit/answers.ts'
import type { Api } from '../../audit/api.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { accessOf, openAccess } from '../access.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from '../command.ts'
import { ERASURES } from '../table/erasing.ts'
import { columns, jsonLine, out, outDrained, type Printed, paint } from '../terminal.ts'
import { aboutOf, numberOf, textOf, UUID } from './answers.ts'

const PAGE = 1000

export const erasures: Command = {
  run: async (args) => {
    const given = readArgs(ERASURES, args)
    const { values } = given
    const [id] = given.positionals
    if (id !== undefined && !UUID.test(id)) throw new UsageError(`${id} is no id of an erasure`)
    if (values.proposals && (id !== undefined || values.entries))
      throw new UsageError('--proposals lists proposals alone')
    if (id !== undefined && values.after !== undefined) throw new UsageError('--after is for lists of orders')
    const after = values.after === undefined ? -1 : integer(values.after, 'after', 0)
    const api = openAccess(accessOf(ERASURES, given, 'KILLICK_TOKEN', 'KILLICK_ERASER_TOKEN'))
    if (values.proposals) return listProposals(api, after, process.stdout.isTTY && !values.json)
    const orders = id === undefined ? pagesOf(api, '/v1/erasures', 'erasures', 'logIndex', after) : one(api, id)
    const asTable = process.stdout.isTTY && !values.json && !values.entries
    const rows: JsonObject[] = []
    for await (const order of orders)
      if (values.entries) await printEntries(api, order)
      else if (asTable) rows.push(order)
      else out(jsonLine(order))
    if (rows.length > 0) out(columns(['ordered (UTC)', 'id', 'entry', 'events', 'state', 'by'], rows.map(cellsOf)))
    else if (asTable) out('Nothing was ordered to be erased.')
    return EXIT.ok
  },
}

async function listProposals(api: Api, after: number, asTable: boolean): Promise<number> {
  const rows: JsonObject[] = []
  for await (const row of pagesOf(api, '/v1/proposals', 'proposals', 'logIndex', after))
    if (asTable) rows.push(row)
    else out(jsonLine(row))
  const cells = rows.map((row): Printed[] => [
    textOf(row, 'createdAt').slice(0, 19).replace('T', ' '),
    ...[
      textOf(row, 'id'),
      textOf(row, 'by'),
      aboutOf(row),
      textOf(row, 'state'),
      row.endedBy === null ? '' : textOf(row, 'endedBy'),
    ],
  ])
  if (rows.length > 0) out(columns(['proposed (UTC)', 'id', 'by', 'what', 'state', 'ended by'], cells))
  else if (asTable) out('Nothing was proposed.')
  return EXIT.ok
}

async function* one(api: Api, id: string): AsyncGenerator<JsonObject> {
  const row = await api.json(`/v1/erasures/${id}`)
  yield isObject(row) ? row : {}
}

/** The rows of a list, page by page. @param key the member by which they rise */
async function* pagesOf(api: Api, path: string, member: string, key: string, from: number): AsyncGenerator<JsonObject> {
  const keyOf = (row: JsonObject) => numberOf(row, key)
  for (let after = from; ; ) {
    const page = await readRows(api, `${path}?limit=${PAGE}&after=${after}`, member, after, (row) => row, keyOf)
    yield* page
    if (page.length < PAGE) return
    after = keyOf(page.at(-1)!)
  }
}

async function printEntries(api: Api, order: JsonObject): Promise<void> {
  const [erasure, logIndex] = [textOf(order, 'id'), numberOf(order, 'logIndex')]
  for await (const entry of pagesOf(api, `/v1/erasures/${encodeURIComponent(erasure)}/entries`, 'entries', 'pos', -1)) {
    const { leafHash, digests } = entry
    await outDrained(jsonLine({ erasure, logIndex, leafHash, digests }))
  }
}

function cellsOf(row: JsonObject): Printed[] {
  const { policy } = row
  const isDone = textOf(row, 'state') === 'done'
  return [
    textOf(row, 'createdAt').slice(0, 19).replace('T', ' '),
    ...[textOf(row, 'id'), numberOf(row, 'logIndex'), numberOf(row, 'events')],
    isDone ? paint('green', 'done') : paint('yellow', 'open'),
    isObject(policy)
      ? `policy ${policy.id}, version ${policy.version}`
      : typeof row.orderedBy === 'string'
        ? `${row.orderedBy} and ${row.confirmedBy}`
        : 'order',
  ]
}
