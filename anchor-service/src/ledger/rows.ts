import { isObject, type JsonValue, type ParsedEvent, type parseBatch } from '@killick/sdk'
import type pg from 'pg'
import { copyIn, freeTuples, setFirstInt8, TupleWriter } from './copy.ts'
import type { CheckedBatch } from './place.ts'

export type Appended = { logIndex: number; batch: CheckedBatch }

/**
 * What the commit needs of a checked batch, and nothing else: its rows ready to be stored but for the log index, which only
 * the commit knows. So all the work on events is done before, on any thread, and little has to cross to this one.
 */
export function packBatch({ header, events }: ReturnType<typeof parseBatch>): CheckedBatch {
  const eventLeaves = new Uint8Array(32 * events.length)
  const size = events.reduce((total, event) => total + event.token.length, 0)
  const leaves = events.reduce((total, event) => total + event.leaf.length, 0)
  const jws = new TupleWriter(leaves + 96 * events.length)
  const details = new TupleWriter(size - leaves + 192 * events.length)
  for (const [pos, event] of events.entries()) {
    eventLeaves.set(event.leafHash, 32 * pos)
    jws.begin(5)
    jws.int8(0)
    jws.int4(pos)
    jws.uuid(event.id)
    jws.bytes(event.leafHash)
    jws.ascii(event.leaf)
    details.begin(8)
    details.int8(0)
    details.int4(pos)
    details.ascii(event.source)
    details.timestamp(event.time)
    details.text(searchTerm(event.fields.action))
    details.text(searchTerm(idOf(event.fields.actor)))
    details.texts(targetIds(event))
    details.ascii(event.token.slice(event.leaf.length + 1))
  }
  return { header, eventPrev: events[0]!.prev, eventLeaves, rows: { events: jws.done(), details: details.done() } }
}

/** Stores accepted batches with their events: one statement per table, however many there are. */
export async function insertBatches(db: pg.ClientBase, appended: readonly Appended[]): Promise<void> {
  const headers = appended.map(({ batch }) => batch.header)
  await db.query(
    `insert into batches (log_index, source, stream, seq, n, header, leaf_hash, event_leaves)
     select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::text[], $7::bytea[], $8::bytea[])`,
    [
      appended.map(({ logIndex }) => logIndex),
      headers.map((header) => header.source),
      headers.map((header) => header.stream),
      headers.map((header) => header.seq),
      headers.map((header) => header.n),
      headers.map((header) => header.text),
      headers.map((header) => Buffer.from(header.leafHash)),
      appended.map(({ batch }) => Buffer.from(batch.eventLeaves)),
    ],
  )
  for (const { logIndex, batch } of appended) {
    setFirstInt8(batch.rows.events, logIndex)
    setFirstInt8(batch.rows.details, logIndex)
  }
  const rows = appended.map(({ batch }) => batch.rows)
  await copyIn(
    db,
    'events (log_index, pos, id, leaf_hash, jws)',
    rows.map(({ events }) => events),
  )
  await copyIn(
    db,
    'details (log_index, pos, source, recorded_at, action, actor, targets, disclosures)',
    rows.map(({ details }) => details),
  )
}

/** For a batch that is settled; see freeTuples. */
export function freeRows({ rows }: CheckedBatch): void {
  freeTuples(rows.events)
  freeTuples(rows.details)
}

/** A text as the search columns hold it: PostgreSQL cannot store NUL, so that one character is replaced. */
export function searchTerm(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value.replaceAll('\u0000', '\ufffd') : null
}

function idOf(party: JsonValue | undefined): JsonValue | undefined {
  return isObject(party) ? party.id : undefined
}

function targetIds(event: ParsedEvent): string[] {
  const { targets } = event.fields
  return Array.isArray(targets) ? [...new Set(targets.map((target) => searchTerm(idOf(target)) ?? ''))] : []
}
