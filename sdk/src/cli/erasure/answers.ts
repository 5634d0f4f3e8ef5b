// What the commands for erasures, retention and holds share: which events, and what is read of an answer.
import { KillickError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { queryOf } from '../conditions.ts'
import { count, err, out, type Printed } from '../terminal.ts'

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The conditions as members of a request. @throws UsageError */
export const conditionsOf = (values: Parameters<typeof queryOf>[0]): { [name: string]: string } =>
  Object.fromEntries(new URLSearchParams(queryOf(values)))

const malformed = (name: string): never => {
  throw new KillickError('answer_malformed', `The service's answer has no ${name}`)
}

export function textOf(row: JsonObject, name: string): string {
  const value = row[name]
  return typeof value === 'string' ? value : malformed(name)
}

export function numberOf(row: JsonObject, name: string): number {
  const value = row[name]
  return typeof value === 'number' ? value : malformed(name)
}

export function listOf(row: JsonObject, name: string): JsonObject[] {
  const value = row[name]
  return Array.isArray(value) && value.every((item) => isObject(item)) ? (value as JsonObject[]) : malformed(name)
}

export function textsOf(row: JsonObject, name: string): string[] {
  const value = row[name]
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : malformed(name)
}

/** What a policy or a hold covers, in words. */
export function coversOf({ covers }: JsonObject): string {
  if (!isObject(covers)) return malformed('covers')
  return (
    Object.keys(covers)
      .map((name) => `${name} ${textOf(covers, name)}`)
      .join(', ') || 'everything'
  )
}

/** Whether an answer is a proposal, which another person has to confirm. */
export const isProposal = (row: JsonObject): boolean => isObject(row.proposes)

/**
 * Prints a proposal: its id for programs, and for people what becomes of it.
 * @param whole - What --json prints in place of the id.
 */
export function tellProposed(row: JsonObject, whole: Printed | null): void {
  out(whole ?? textOf(row, 'id'))
  err(told(row))
}

/** What a proposal is, and what became of it, in words. */
export function told(row: JsonObject): string {
  const [id, by, about, at] = [textOf(row, 'id'), textOf(row, 'by'), aboutOf(row), numberOf(row, 'logIndex')]
  const until = textOf(row, 'expires').slice(0, 19).replace('T', ' ')
  const ended = () => `by ${textOf(row, 'endedBy')}, at entry ${numberOf(row, 'end')} of the log: ${about}.`
  switch (row.state) {
    case 'waiting':
      return `Proposed by ${by}, at entry ${at} of the log: ${about}. Nothing goes until somebody else confirms it, by ${until} UTC: killick erase --confirm ${id}`
    case 'confirmed':
      return `Proposed by ${by} and confirmed ${ended()}`
    case 'refused':
      return `Proposed by ${by} and refused ${ended()} Nothing goes.`
    case 'lapsed':
      return `Proposed by ${by}, and not confirmed by ${until} UTC: ${about}. Nothing goes.`
    default:
      return malformed('state')
  }
}

/** What a proposal proposes. */
export function aboutOf(row: JsonObject): string {
  const said = isObject(row.proposes) ? row.proposes : malformed('proposes')
  const target = textOf(row, 'target')
  if (row.action === 'erasure.order') {
    const fields = said.fields === null ? 'all fields' : textsOf(said, 'fields').join(', ')
    return `to erase ${fields} of ${count(numberOf(said, 'count'), 'event')}: ${textOf(said, 'reason')}`
  }
  if (row.action === 'retention.end') return `to end the policy ${target}`
  const days = count(numberOf(said, 'contentsDays'), 'day')
  const dropped = typeof said.eventsDays === 'number' ? `, and events after ${count(said.eventsDays, 'day')}` : ''
  return `the policy ${target}, version ${numberOf(said, 'version')}: ${days}${dropped}, for ${coversOf(said)}`
}
