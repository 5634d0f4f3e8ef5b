/** Drops as the system stream tells of them: docs/PROTOCOL.md §17. */
import { printEntries, type RetentionDrop } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'

/** A drop's row. */
export type StoredDrop = {
  /** Log index of the event. */
  logIndex: number
  policy: string
  version: number
  /** Log entries of the batches, as in the event: `5,7-9`. */
  entries: string
  /** How many events they have. */
  events: number
  createdAt: Date
}

/** Which drop took the events of a batch. */
export type DroppedBy = Pick<StoredDrop, 'logIndex' | 'policy' | 'version' | 'createdAt'>

/** A set of log entries for PostgreSQL. */
export const multirangeOf = (entries: RetentionDrop['entries']): string =>
  `{${entries.map(([first, last]) => `[${first},${last + 1})`).join()}}`

/** Stores a drop, in the transaction of its event. @param policy log index of the policy's event */
export async function insertDrop(
  db: Db,
  logIndex: number,
  { entries, events }: Pick<RetentionDrop, 'entries' | 'events'>,
  policy: number,
): Promise<void> {
  await db.query('insert into drops (log_index, policy, entries, events) values ($1, $2, $3, $4)', [
    ...[logIndex, policy, multirangeOf(entries), events],
  ])
}

type Row = {
  log_index: number
  id: string
  version: number
  events: number
  created_at: Date
  ends: [number, number][]
}

/** A page of drops, oldest first, from a log entry on; `next` is what to ask from for the next page, null on the last. */
export async function readDrops(
  db: Db,
  { from = 0, limit }: { from?: number; limit: number },
): Promise<{ drops: StoredDrop[]; next: number | null }> {
  const { rows } = await db.query<Row>(
    `select d.log_index, p.id, p.version, d.events, d.created_at, (
       select json_agg(json_build_array(lower(stretch), upper(stretch) - 1) order by lower(stretch)) from unnest(d.entries) stretch) as ends
     from drops d join retention_policies p on p.log_index = d.policy where d.log_index >= $1 order by d.log_index limit $2`,
    [from, limit + 1],
  )
  const drops = rows.slice(0, limit).map(({ log_index, id, version, events, created_at, ends }) => ({
    ...{ logIndex: log_index, policy: id, version, events, createdAt: created_at, entries: printEntries(ends) },
  }))
  return { drops, next: rows.length > limit ? rows[limit]!.log_index : null }
}

/** Which drops took the events of batches, by their log entries; those that none did are left out. */
export async function readDroppedBy(db: Db, entries: readonly number[]): Promise<ReadonlyMap<number, DroppedBy>> {
  // A column that somebody has altered may say anything.
  const known = [...new Set(entries)].filter(Number.isSafeInteger)
  if (known.length === 0) return new Map()
  const { rows } = await db.query<DroppedBy & { entry: number }>(
    `select entry::float8 as entry, d.log_index as "logIndex", p.id as policy, p.version, d.created_at as "createdAt"
     from unnest($1::bigint[]) as wanted (entry) join drops d on d.entries @> entry
     join retention_policies p on p.log_index = d.policy order by d.log_index desc`,
    [known],
  )
  return new Map(rows.map(({ entry, ...by }) => [entry, by]))
}

/** What has become of a policy's batches: how many events were dropped, by any version of it. */
export async function readDropped(db: Db, policy: string): Promise<number> {
  const { rows } = await db.query<{ events: number }>(
    `select coalesce(sum(d.events), 0)::float8 as events from retention_policies p join drops d on d.policy = p.log_index where p.id = $1`,
    [policy],
  )
  return rows[0]!.events
}

/** What readers are told where an event was. */
export const droppedInWords = ({ logIndex, policy, version, createdAt }: DroppedBy): string =>
  `Dropped on ${createdAt.toISOString().slice(0, 10)} by the retention policy ${policy}, version ${version}, as log entry ${logIndex} says. Its leaf hash remains.`
