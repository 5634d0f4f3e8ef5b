// What the commands for erasures, retention and holds share: which events, and what is read of an answer.
import { KillickError } from '../../core/errors.ts'
import { isObject, type JsonObject } from '../../core/json.ts'
import { queryOf } from '../conditions.ts'

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
