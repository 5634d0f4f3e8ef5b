/** Events for readers, including those that somebody has altered so that they cannot be read back. */

import { type JsonObject, KillickError, nodePrimitives, parseEvent, printHash } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { readStored, type StoredEvent } from '../packs/read-pack.ts'
import { droppedInWords, readDroppedBy } from '../registry/drops.ts'

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
  /** How many of its fields the ledger no longer holds; absent: none. For a source with decoys see `explainMissing`. */
  missing?: number
  /** How many of its fields were erased by orders in the log; absent: none. See `explainMissing`. */
  erased?: number
  /** How many of its fields have expired by a retention policy; absent: none. See `explainMissing`. */
  expired?: number
}

/**
 * An event that the database no longer holds as it was accepted, or that a retention policy has dropped (`event_dropped`), described by
 * the columns beside it, which nobody signed, and by its batch. Members from the batch are absent if that is not found; id and time are
 * absent if they are lost, and of an event that was dropped.
 */
export type UnreadableEvent = {
  /** Its number in the log: how many events come before it. */
  number: number
  id?: string
  leafHash?: string
  source?: string
  stream?: string
  seq?: number
  recordedAt?: string
  logIndex: number
  error: EventError
}

/** Why an event or its proof cannot be shown: a code of docs/ERRORS.md and a sentence. */
export type EventError = { code: string; detail: string }

/** (log index, place in the batch) */
export type EventPlace = readonly [logIndex: number, pos: number]

/** `number`: how many events come before it in the log */
export type PlacedEvent = { event: FoundEvent | UnreadableEvent; place: EventPlace; number: number }

/** The events with these numbers, in order; events that the database does not hold are left out. */
export async function readFound(db: Db, numbers: readonly number[]): Promise<PlacedEvent[]> {
  if (numbers.length === 0) return []
  const found = (await readStored(db, numbers)).map((stored): PlacedEvent => {
    const place = [stored.logIndex, stored.pos] as const
    return { event: readEvent(stored), place, number: stored.number }
  })
  const unreadable = found.filter(({ event }) => 'error' in event)
  const claims = await readClaims(
    db,
    unreadable.map(({ place }) => place),
  )
  const dropped = await readDroppedBy(
    db,
    unreadable.map(({ place: [logIndex] }) => logIndex),
  )
  for (const [i, { event, place }] of unreadable.entries()) {
    const by = dropped.get(place[0])
    Object.assign(event, claims[i], by && { error: { code: 'event_dropped', detail: droppedInWords(by) } })
  }
  return found
}

/** Whether an event cannot be read because a retention policy has dropped it. */
export const isDropped = (event: FoundEvent | UnreadableEvent): boolean =>
  'error' in event && event.error.code === 'event_dropped'

function readEvent({ number, logIndex, id, time, token }: StoredEvent): FoundEvent | UnreadableEvent {
  try {
    const { id, source, stream, seq, time, leafHash, fields, fieldCount, disclosures } = parseEvent(
      token,
      nodePrimitives,
    )
    const missing = fieldCount - disclosures.length
    const recordedAt = new Date(time).toISOString()
    return {
      id,
      leafHash: printHash(leafHash),
      source,
      stream,
      seq,
      recordedAt,
      logIndex,
      fields,
      token,
      ...(missing > 0 && { missing }),
    }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const uuid = id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    const named = uuid === '' ? {} : { id: uuid }
    const recordedAt = time === null ? {} : { recordedAt: new Date(time).toISOString() }
    const detail = `${error.code}: ${error.message}`
    return { number, ...named, logIndex, ...recordedAt, error: { code: 'event_unreadable', detail } }
  }
}

/** What the batches say about their events. */
async function readClaims(db: Db, places: readonly EventPlace[]): Promise<Partial<UnreadableEvent>[]> {
  if (places.length === 0) return []
  const indices = places.map(([logIndex]) => (Number.isSafeInteger(logIndex) ? logIndex : -1))
  const { rows } = await db.query<{ source: string; stream: string; seq: number; leaf: Buffer; place: number }>(
    `select source, stream, (seq + pos)::float8 as seq, substr(event_leaves, 32 * pos + 1, 32) as leaf, place
     from unnest($1::bigint[], $2::int[]) with ordinality as wanted (log_index, pos, place)
     join batches b using (log_index) where pos < n`,
    [indices, places.map(([, pos]) => pos)],
  )
  const claims: Partial<UnreadableEvent>[] = places.map(() => ({}))
  for (const { place, leaf, ...claim } of rows) claims[place - 1] = { ...claim, leafHash: leaf.toString('base64url') }
  return claims
}
