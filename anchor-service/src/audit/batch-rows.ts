/**
 * Rows of batches, of their packs and of the keys of these, as the database has them, in a form that is compared column by column. As JSON,
 * since no value may fail the query, however it was altered.
 */
import { createHash } from 'node:crypto'
import type { FaultPlace } from '@killick/sdk/audit'
import { type BatchHeader, type JsonValue, MAX_BATCH_EVENTS } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { FRAME_EVENTS } from '../ledger/packs/read-pack.ts'

export type ColumnValues = { readonly [column: string]: JsonValue }
export type BatchRow = { columns: ColumnValues; packs: Pack[]; keys: KeyRow[] }
/** `columns`: values, or digests of long ones. `details`: the values behind those digests. */
export type Pack = { first: number; columns: ColumnValues; details: PackDetails | null }
type PackDetails = { ids: string; times: string; body: string; frame_ends: string }
/** The search keys of a pack, by a scheme. */
export type KeyRow = {
  first: number
  scheme: number
  columns: ColumnValues
  details: { keys: string; key_counts: string } | null
}

/**
 * Entries that are read at a time, as far as their batches hold MAX_BATCH_EVENTS together, each of which may have a pack of its
 * own.
 */
const PAGE = 100

/** The magic number with which a zstd frame begins, and where a number that may be anything is a place in a value. */
const MAGIC = "'\\x28b52ffd'"
const placeIn = (at: string) => `greatest(0, least(${at}, 1000000000)) + 1`

/**
 * Whether the frames of a pack may end where its row says: there the next one begins, and the body ends with the last. Whole
 * bodies are not read for it.
 */
const MAY_END = `(
  p.frame_ends = array(select unnest(p.frame_ends)) and cardinality(p.frame_ends) in (0, nullif((p.n::bigint - 1) / ${FRAME_EVENTS} + 1, 1))
  and coalesce(p.frame_ends[cardinality(p.frame_ends)], octet_length(p.body)) = octet_length(p.body)
  and (select coalesce(bool_and(coalesce(ends > begins, false) and substr(p.body, ${placeIn('begins')}, 4) = ${MAGIC}), true)
       from (select ends, lag(ends, 1, 0) over (order by i) as begins from unnest(p.frame_ends) with ordinality as u (ends, i)) u))`

// As JSON, no value can fail the query, however it was altered. Times in ms, with their fractions.
const columnsOf = (withDetails: boolean, from: string, to: string) => `
  json_build_object('source', b.source, 'stream', b.stream, 'seq', b.seq, 'n', b.n, 'first_event', b.first_event,
      'leaf_hash', encode(b.leaf_hash, 'hex'), 'event_leaves', encode(sha256(b.event_leaves), 'hex'), 'event_nodes', encode(sha256(b.event_nodes), 'hex'),
      'earliest', extract(epoch from b.earliest) * 1000, 'latest', extract(epoch from b.latest) * 1000) as columns,
    (select coalesce(json_agg(json_build_object('first', p.first_event,
        'columns', json_build_object('log_index', p.log_index, 'pos', p.pos, 'n', p.n, 'frame_ends', ${MAY_END}, 'empty', p.body = '' and p.frame_ends = '{}', 'ids', encode(sha256(p.ids), 'hex'), 'times', encode(sha256(p.times), 'hex')),
        'details', ${
          withDetails
            ? `json_build_object('ids', encode(p.ids, 'hex'), 'times', encode(p.times, 'hex'), 'body', encode(p.body, 'base64'), 'frame_ends', p.frame_ends::text)`
            : 'null'
        }) order by p.first_event), '[]')
     from packs p where p.first_event >= ${from} and p.first_event < ${to}) as packs,
    (select coalesce(json_agg(json_build_object('first', k.first_event, 'scheme', k.scheme,
        'columns', json_build_object('keys', encode(sha256(k.keys), 'hex'), 'key_counts', encode(sha256(k.key_counts), 'hex')),
        'details', ${withDetails ? `json_build_object('keys', encode(k.keys, 'hex'), 'key_counts', encode(k.key_counts, 'hex'))` : 'null'}
        ) order by k.first_event, k.scheme), '[]')
     from pack_keys k where k.first_event >= ${from} and k.first_event < ${to}) as keys`

/** One batch, with the packs that stand where the log puts its events. */
export const BATCH = `select ${columnsOf(true, '$2', '$3')} from batches b where b.log_index = $1`

/** Several batches, each with the packs that stand where its row says. They are right only if the row is. */
const BATCHES = `
  select b.log_index::float8 as key, ${columnsOf(false, 'b.start', `b.start + least(b.n, ${MAX_BATCH_EVENTS})`)}
  from (select *, least(first_event, 9007199254740991) as start, sum(greatest(n, 0)) over (order by log_index) as events
    from batches where log_index >= $1 and log_index < $1 + ${PAGE}) b
  where b.events <= ${MAX_BATCH_EVENTS} or b.log_index = $1`

/** The newest batch ends where the events do. */
export const BEYOND = (table: 'packs' | 'pack_keys') => `
  select first_event::float8 as first from ${table}
  where first_event >= (select least(first_event, 9007199254740991) + n from batches order by log_index desc limit 1)
  order by first_event limit 1`

/** Rows of batches, asked for in the order of the log: a page of them is held. */
export function readAhead(db: Db) {
  type Page = ReadonlyMap<number, BatchRow>
  let page: Promise<Page> = Promise.resolve(new Map())
  async function read(from: number): Promise<Page> {
    const { rows } = await db.query<BatchRow & { key: number }>(BATCHES, [from])
    return new Map(rows.map((row) => [row.key, row]))
  }
  return {
    of(logIndex: number): Promise<BatchRow | undefined> {
      page = page.then((rows) => (rows.has(logIndex) ? rows : read(logIndex)))
      return page.then((rows) => rows.get(logIndex))
    },
  }
}

/** SHA-256 of all of them, hex. */
export function digest(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** That of nothing. */
export const NOTHING = digest([])

/** Names of the columns that are not as expected. Their values may be personal, so they are not shown. */
export function differences(columns: ColumnValues, expected: ColumnValues): string[] {
  return Object.keys(expected).filter((name) => JSON.stringify(columns[name]) !== JSON.stringify(expected[name]))
}

/** Where a batch, or an event of it, stands. */
export function placeOf(
  logIndex: number,
  { source, stream, seq }: Pick<BatchHeader, 'source' | 'stream' | 'seq'>,
): FaultPlace {
  return { logIndex, source, stream, seq }
}

/** Lower case. */
export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
