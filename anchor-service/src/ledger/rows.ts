import { isObject, type JsonValue, type ParsedEvent } from '@killick/sdk'
import type { CheckedBatch } from './place.ts'
import type { Db } from './tiles.ts'

export type Appended = { logIndex: number; batch: CheckedBatch }

/** Stores accepted batches with their events: one statement per table, however many there are. */
export async function insertBatches(db: Db, appended: readonly Appended[]): Promise<void> {
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
      appended.map(({ batch }) => Buffer.concat(batch.events.map((event) => event.leafHash))),
    ],
  )
  const rows = appended.flatMap(({ logIndex, batch }) => batch.events.map((event, pos) => ({ logIndex, pos, event })))
  const indices = rows.map((row) => row.logIndex)
  const positions = rows.map((row) => row.pos)
  await db.query(
    `insert into events (log_index, pos, id, leaf_hash, jws)
     select * from unnest($1::bigint[], $2::int[], $3::uuid[], $4::bytea[], $5::text[])`,
    [
      indices,
      positions,
      rows.map(({ event }) => event.id),
      rows.map(({ event }) => Buffer.from(event.leafHash)),
      rows.map(({ event }) => event.leaf),
    ],
  )
  await db.query(
    `insert into details (log_index, pos, source, recorded_at, action, actor, targets, disclosures)
     select log_index, pos, source, to_timestamp(ms / 1000.0), action, actor, targets::text[], disclosures
     from unnest($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
       as row (log_index, pos, source, ms, action, actor, targets, disclosures)`,
    [
      indices,
      positions,
      rows.map(({ event }) => event.source),
      rows.map(({ event }) => event.time),
      rows.map(({ event }) => searchTerm(event.fields.action)),
      rows.map(({ event }) => searchTerm(idOf(event.fields.actor))),
      rows.map(({ event }) => arrayLiteral(targetIds(event))),
      rows.map(({ event }) => event.token.slice(event.leaf.length + 1)),
    ],
  )
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

/** unnest flattens arrays of arrays, so the inner ones travel as array literals. */
function arrayLiteral(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
