import { type JsonObject, parseEvent } from '@killick/sdk'
import { searchTerm } from './rows.ts'
import type { Db } from './tiles.ts'

/** Conditions that all must hold; times are when the event was recorded, `from` inclusive, `to` exclusive. */
export type EventQuery = {
  action?: string | undefined
  /** id of the actor */
  actor?: string | undefined
  /** id of one of the targets */
  target?: string | undefined
  source?: string | undefined
  from?: Date | undefined
  to?: Date | undefined
  /** 1 to 500 */
  limit: number
  /** the last event of the page before: (log index, position in its batch) */
  before?: readonly [logIndex: number, pos: number] | undefined
}

export type FoundEvent = {
  id: string
  leafHash: string
  source: string
  stream: string
  seq: number
  recordedAt: string
  logIndex: number
  fields: JsonObject
  token: string
}

export type Row = { log_index: number; pos: number; leaf_hash: Buffer; jws: string; disclosures: string }

export const SELECT_EVENTS = `select d.log_index, d.pos, e.leaf_hash, e.jws, d.disclosures
                              from details d join events e using (log_index, pos)`

/** A page of events, newest first. The next page starts behind its last event; null: there is none. */
export async function searchEvents(
  db: Db,
  query: EventQuery,
): Promise<{ events: FoundEvent[]; next: readonly [number, number] | null }> {
  const values: unknown[] = []
  const conditions: string[] = []
  const add = (value: unknown, condition: (place: string) => string) => {
    if (value !== undefined && value !== null) conditions.push(condition(`$${values.push(value)}`))
  }
  add(searchTerm(query.action), (place) => `d.action = ${place}`)
  add(searchTerm(query.actor), (place) => `d.actor = ${place}`)
  add(searchTerm(query.target), (place) => `d.targets @> array[${place}::text]`)
  add(searchTerm(query.source), (place) => `d.source = ${place}`)
  add(query.from, (place) => `d.recorded_at >= ${place}`)
  add(query.to, (place) => `d.recorded_at < ${place}`)
  if (query.before) {
    const [index, pos] = query.before.map((part) => `$${values.push(part)}`)
    conditions.push(`(d.log_index, d.pos) < (${index}, ${pos})`)
  }
  const limit = `$${values.push(query.limit + 1)}`
  const { rows } = await db.query<Row>(
    `${SELECT_EVENTS}
     ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
     order by d.log_index desc, d.pos desc limit ${limit}`,
    values,
  )
  const page = rows.slice(0, query.limit)
  const last = page.at(-1)
  return { events: page.map(toFound), next: rows.length > query.limit ? [last!.log_index, last!.pos] : null }
}

export function toFound(row: Row): FoundEvent {
  const event = parseEvent(`${row.jws}~${row.disclosures}`)
  return {
    id: event.id,
    leafHash: row.leaf_hash.toString('base64url'),
    source: event.source,
    stream: event.stream,
    seq: event.seq,
    recordedAt: new Date(event.time).toISOString(),
    logIndex: row.log_index,
    fields: event.fields,
    token: event.token,
  }
}
