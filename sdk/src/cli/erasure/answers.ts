// What the commands for erasures, retention and holds share: which events, and what is read of an answer.
import { KillickError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { queryOf } from '../conditions.ts'
import { count } from '../terminal.ts'

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

/** What a policy or a hold covers, in words. */
export function coversOf(row: JsonObject): string {
  const covers = Object.entries(isObject(row.covers) ? row.covers : {})
  return covers.map(([name, value]) => `${name} ${value}`).join(', ') || 'everything'
}

/** Whether an answer is a proposal, which another person has to confirm. */
export const isProposal = (row: JsonObject): boolean => isObject(row.proposes)

/** What a proposal is, and what became of it, in words. */
export function told(row: JsonObject): string {
  const [id, about] = [textOf(row, 'id'), aboutOf(row)]
  const until = textOf(row, 'expires').slice(0, 19).replace('T', ' ')
  return {
    waiting: `Proposed by ${row.by}, at entry ${row.logIndex} of the log: ${about}. Nothing goes until somebody else confirms it, by ${until} UTC: killick erase --confirm ${id}`,
    confirmed: `Proposed by ${row.by} and confirmed by ${row.endedBy}, at entry ${row.end} of the log: ${about}.`,
    refused: `Proposed by ${row.by} and refused by ${row.endedBy}, at entry ${row.end} of the log: ${about}. Nothing goes.`,
    lapsed: `Proposed by ${row.by}, and not confirmed by ${until} UTC: ${about}. Nothing goes.`,
  }[textOf(row, 'state') as 'waiting' | 'confirmed' | 'refused' | 'lapsed']
}

/** What a proposal proposes. */
export function aboutOf(row: JsonObject): string {
  const said = isObject(row.proposes) ? row.proposes : {}
  const target = textOf(row, 'target')
  if (row.action === 'erasure.order') {
    const fields = Array.isArray(said.fields) ? said.fields.join(', ') : 'all fields'
    return `to erase ${fields} of ${count(numberOf(said, 'count'), 'event')}: ${said.reason}`
  }
  if (row.action === 'retention.end') return `to end the policy ${target}`
  return `the policy ${target}, version ${said.version}: ${said.contentsDays} days, for ${coversOf(said)}`
}
