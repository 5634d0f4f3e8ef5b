/** Events as readers find them, those among them that somebody has altered so that they cannot be read back. */
import { type JsonObject, KillickError, parseEvent, printHash } from '@killick/sdk'
import type { Db } from './tiles.ts'

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

/**
 * An event that the database no longer holds as it was accepted: what the columns beside it, which nobody signed, say of it.
 * `stream` and `seq` are absent where its batch is not to be found, `recordedAt` where it is no time.
 */
export type UnreadableEvent = {
  /** Which event of the log it is, from 0. */
  number: number
  id: string
  leafHash: string
  source: string
  stream?: string
  seq?: number
  recordedAt?: string
  logIndex: number
  error: EventError
}

/** Why an event, or the proof of one, cannot be shown: a code of docs/ERRORS.md and a sentence. */
export type EventError = { code: string; detail: string }

export type Row = {
  number: number
  log_index: number
  pos: number
  id: string
  leaf_hash: Buffer
  source: string
  /** Infinite where somebody has set it so. */
  recorded_at: Date | number
  jws: string
  disclosures: string
}

// As float8 a log index is exact below 2^53, and no alteration of it can fail the query.
export const EVENT_COLUMNS =
  'e.number, e.log_index::float8 as log_index, e.pos, e.id, e.leaf_hash, e.source, e.recorded_at, e.jws, e.disclosures'

/** Rows of EVENT_COLUMNS as events, in their order. */
export async function toFound(db: Db, rows: readonly Row[]): Promise<(FoundEvent | UnreadableEvent)[]> {
  const read = rows.map(readRow)
  if (!read.some((event) => 'error' in event)) return read
  const positions = await readPositions(db, rows)
  return read.map((event) => ('error' in event ? { ...event, ...positions.get(event.number) } : event))
}

function readRow(row: Row): FoundEvent | UnreadableEvent {
  const { number, log_index: logIndex, leaf_hash, recorded_at } = row
  try {
    const event = parseEvent(`${row.jws}~${row.disclosures}`)
    const { id, source, stream, seq, time, fields, token } = event
    const [leafHash, recordedAt] = [printHash(event.leafHash), new Date(time).toISOString()]
    return { id, leafHash, source, stream, seq, recordedAt, logIndex, fields, token }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    const time = Number(recorded_at)
    return {
      ...{ number, id: row.id, leafHash: leaf_hash.toString('base64url'), source: row.source },
      ...(Number.isFinite(time) && { recordedAt: new Date(time).toISOString() }),
      ...{ logIndex, error: { code: 'event_unreadable', detail: `${error.code}: ${error.message}` } },
    }
  }
}

/** Where events stand in their streams, by what their batches say; by number. */
async function readPositions(db: Db, rows: readonly Row[]): Promise<Map<number, { stream: string; seq: number }>> {
  const placed = rows.filter((row) => Number.isSafeInteger(row.log_index))
  const { rows: found } = await db.query<{ number: number; stream: string; seq: number }>(
    `select e.number, b.stream, b.seq + e.pos as seq
     from unnest($1::bigint[], $2::bigint[], $3::int[]) as e (number, log_index, pos)
     join batches b using (log_index) where b.first_event + e.pos = e.number and e.pos < b.n`,
    [placed.map(({ number }) => number), placed.map(({ log_index }) => log_index), placed.map(({ pos }) => pos)],
  )
  return new Map(found.map(({ number, ...position }) => [number, position]))
}
