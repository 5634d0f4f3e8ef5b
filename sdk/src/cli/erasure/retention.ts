import { isObject, type JsonObject } from '../../core/json.ts'
import { askJson } from '../../http/ask-json.ts'
import { accessOf, openAccess, withToken } from '../access.ts'
import { type Args, type Command, EXIT, integer, readArgs, required, UsageError } from '../command.ts'
import { sayName } from '../conditions.ts'
import { RETENTION } from '../table/erasing.ts'
import { columns, count, err, jsonLine, out, type Printed } from '../terminal.ts'
import { coversOf, isProposal, listOf, numberOf, tellProposed, textOf } from './answers.ts'

export const retention: Command = {
  run: async (args) => {
    const given = readArgs(RETENTION, args)
    const { set, end, json } = given.values
    if (set !== undefined && end !== undefined) throw new UsageError('--set and --end are two things to do')
    const print = (row: JsonObject, told: string) => (json ? out(jsonLine(row)) : out(told))
    if (set !== undefined) {
      const body = policyOf(given)
      const service = withToken(accessOf(RETENTION, given, 'KILLICK_ERASER_TOKEN'))
      const made = await askJson(service, 'PUT', pathOf(set), body)
      if (body.dryRun) print(made, dryRunOf(made))
      else if (isProposal(made)) tellProposed(made, json ? jsonLine(made) : null)
      else
        print(
          made,
          `${set}, version ${numberOf(made, 'version')}, stands by entry ${numberOf(made, 'logIndex')} of the log.`,
        )
    } else {
      const name = (['days', 'events-days', 'source', 'stream', 'action'] as const).find(
        (each) => given.values[each] !== undefined,
      )
      if (name !== undefined || given.values['dry-run']) throw new UsageError(`--${name ?? 'dry-run'} goes with --set`)
      if (end !== undefined) {
        const service = withToken(accessOf(RETENTION, given, 'KILLICK_ERASER_TOKEN'))
        const ended = await askJson(service, 'DELETE', pathOf(end))
        if (isProposal(ended)) tellProposed(ended, json ? jsonLine(ended) : null)
        else print(ended, `${end} is ended. What has expired stays so.`)
      } else await list(given)
    }
    return EXIT.ok
  },
}

function pathOf(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(name))
    throw new UsageError(`${name} names no policy: 1 to 64 of a-z, 0-9 and dashes, the first no dash`)
  return `/v1/retention/policies/${name}`
}

function policyOf(given: Args<typeof RETENTION.options>) {
  const { source, stream, action, 'events-days': events, 'dry-run': dryRun } = given.values
  sayName(action)
  const contentsDays = integer(required(RETENTION, given, 'days'), 'days', 1)
  const eventsDays = events === undefined ? undefined : integer(events, 'events-days', contentsDays)
  if (eventsDays !== undefined && action !== undefined)
    throw new UsageError('--events-days does not go with --action: a batch has events of several actions')
  const covers = { ...(source !== undefined && { source }), ...(stream !== undefined && { stream }) }
  return {
    ...{ covers: { ...covers, ...(action !== undefined && { action }) }, contentsDays },
    ...(eventsDays !== undefined && { eventsDays }),
    ...(dryRun && { dryRun }),
  }
}

function dryRunOf(found: JsonObject): string {
  const [events, fields, held] = [numberOf(found, 'events'), numberOf(found, 'fields'), numberOf(found, 'held')]
  const some = found.isWhole === true ? '' : ' There is more than was looked at.'
  const drop = isObject(found.drop) ? found.drop : {}
  const old = typeof drop.events === 'number' && typeof drop.held === 'number' && drop.events + drop.held > 0
  const dropped = old
    ? ` ${count(drop.events as number, 'event')} old enough to be dropped then; ${count(drop.held as number, 'event')} of those held.`
    : ''
  return `${count(events, 'event')} would lose ${count(fields, 'field')} now; ${count(held, 'event')} held.${some}${dropped} Nothing was changed.`
}

async function list(given: Args<typeof RETENTION.options>): Promise<void> {
  const api = openAccess(accessOf(RETENTION, given, 'KILLICK_TOKEN', 'KILLICK_ERASER_TOKEN'))
  const answer = await api.json('/v1/retention')
  const all = isObject(answer) ? answer : {}
  const policies = listOf(all, 'policies')
  if (!process.stdout.isTTY || given.values.json) {
    for (const policy of policies) out(jsonLine(policy))
    return
  }
  if (policies.length === 0) out('No policy was set.')
  else out(columns(COLUMNS, policies.map(cellsOf)))
  const { clock } = all
  err(
    isObject(clock)
      ? `Events are as old as the anchor of ${clock.size} entries says, of ${clock.time}.`
      : 'Nothing is anchored finally: nothing expires.',
  )
}

const COLUMNS = [
  ...['policy', 'version', 'covers', 'days', 'events', 'state', 'expired', 'due', 'held', 'dropped', 'drops held'],
]

const cellsOf = (row: JsonObject): Printed[] => [
  ...[textOf(row, 'id'), numberOf(row, 'version'), coversOf(row), numberOf(row, 'contentsDays')],
  ...[typeof row.eventsDays === 'number' ? row.eventsDays : 'stay', textOf(row, 'state')],
  ...[numberOf(row, 'expired'), known(row.due), known(row.held), known(row.dropped), known(row.dropHeld)],
]

const known = (value: unknown): Printed => (typeof value === 'number' ? value : '?')
