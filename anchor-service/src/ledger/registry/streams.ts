import { asHash, endsStream, isSourceName, isStreamId, parseEvent, printHash, stillEndsStream } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { Refusal } from '../../errors.ts'
import type { KeptBatch, StreamHead } from '../packs/checked-batch.ts'
import { readStored } from '../packs/read-pack.ts'
import { splitHashes } from '../tree/tiles.ts'
import { readDroppedBy } from './drops.ts'

export type StreamName = { source: string; stream: string }

/** One string for a stream; neither part can hold a slash. */
export const streamKey = ({ source, stream }: StreamName) => `${source}/${stream}`

/** Heads of the given streams; streams without a batch are absent. */
export async function readHeads(db: Db, streams: readonly StreamName[]): Promise<Map<string, StreamHead>> {
  if (streams.length === 0) return new Map()
  const { rows } = await db.query<StreamName & { seq: number; n: number; leaf_hash: Buffer; last: Buffer }>(
    `select wanted.source, wanted.stream, b.seq, b.n, b.leaf_hash, substr(b.event_leaves, 32 * b.n - 31) as last
     from unnest($1::text[], $2::text[]) as wanted (source, stream)
     cross join lateral (select * from batches where source = wanted.source and stream = wanted.stream
                         order by seq desc limit 1) b`,
    [streams.map((s) => s.source), streams.map((s) => s.stream)],
  )
  return new Map(
    rows.map((row) => [
      streamKey(row),
      { seq: row.seq + row.n, batch: asHash(new Uint8Array(row.leaf_hash)), event: asHash(new Uint8Array(row.last)) },
    ]),
  )
}

/** The accepted batch that holds place `seq` of a stream; `seq` must be below the stream's head. */
export async function readKeptBatch(db: Db, { source, stream }: StreamName, seq: number): Promise<KeptBatch | null> {
  const { rows } = await db.query(
    `select log_index, seq, n, header, leaf_hash, event_leaves from batches
     where source = $1 and stream = $2 and seq <= $3 order by seq desc limit 1`,
    [source, stream, seq],
  )
  const row = rows[0]
  if (row === undefined) return null
  return {
    logIndex: row.log_index,
    seq: row.seq,
    n: row.n,
    header: row.header,
    leafHash: asHash(new Uint8Array(row.leaf_hash)),
    eventLeaves: splitHashes(row.event_leaves),
  }
}

/** The state of a stream. @throws Refusal stream_not_found */
export async function readStream(db: Db, source: string, stream: string) {
  // Other texts name no source or stream, and the database would reject some of them, such as U+0000.
  if (!isSourceName(source) || !isStreamId(stream)) throw new Refusal('stream_not_found')
  const { rows } = await db.query(
    `select log_index, seq + n as next, leaf_hash, substr(event_leaves, 32 * n - 31) as last, accepted_at,
            (select accepted_at from batches where source = $1 and stream = $2 and seq = 0) as first_at
     from batches where source = $1 and stream = $2 order by seq desc limit 1`,
    [source, stream],
  )
  const row = rows[0]
  if (row === undefined) throw new Refusal('stream_not_found')
  return {
    source,
    stream,
    seq: row.next as number,
    events: row.next as number,
    head: {
      leafHash: printHash(new Uint8Array(row.last)),
      batchHash: printHash(new Uint8Array(row.leaf_hash)),
      logIndex: row.log_index as number,
    },
    firstAt: (row.first_at as Date).toISOString(),
    lastAt: (row.accepted_at as Date).toISOString(),
  }
}

/** `ended`: whether its last event says that the recorder ended it (docs/PROTOCOL.md §5); null: it was erased or dropped, and nobody knows. */
export type StreamSummary = StreamName & { events: number; lastAt: Date; ended: boolean | null }

/**
 * Streams by name, of one source or of all. It goes from one to the next by index, so its cost depends on the length of the page
 * and not on the number of batches.
 */
export async function readStreams(
  db: Db,
  page: { limit: number; after?: StreamName | undefined; source?: string | undefined },
): Promise<{ streams: StreamSummary[]; next: StreamName | null }> {
  const isWanted = page.source === undefined ? '$4::text is null' : 'source = $4'
  const { rows } = await db.query<StreamName & { events: number; last_at: Date; last: number }>(
    `with recursive names as (
       (select source, stream from batches where (source, stream) > ($1, $2) and ${isWanted} order by 1, 2 limit 1)
       union all
       select next.* from names n cross join lateral (
         select source, stream from batches where (source, stream) > (n.source, n.stream) and ${isWanted}
         order by 1, 2 limit 1) next)
     select n.source, n.stream, last.events, last.last_at, last.last from (select * from names limit $3) n
     cross join lateral (select seq + n as events, accepted_at as last_at, first_event + n - 1 as last from batches
                         where source = n.source and stream = n.stream order by seq desc limit 1) last
     order by 1, 2`,
    [page.after?.source ?? '', page.after?.stream ?? '', page.limit + 1, page.source ?? null],
  )
  const shown = rows.slice(0, page.limit)
  const ends = await readEnds(
    db,
    shown.map(({ last }) => last),
  )
  const streams = shown.map(({ source, stream, events, last_at, last }) => ({
    ...{ source, stream, events, lastAt: last_at, ended: ends.get(last) ?? null },
  }))
  return { streams, next: rows.length > page.limit ? streams.at(-1)! : null }
}

/**
 * Whether the events with these numbers end their stream; null: they have lost what would say so, or were dropped. What was altered ends
 * nothing.
 */
export async function readEnds(db: Db, numbers: readonly number[]): Promise<Map<number, boolean | null>> {
  const ends = new Map<number, boolean | null>(numbers.map((number) => [number, false]))
  const unread: { number: number; logIndex: number }[] = []
  for (const { number, logIndex, token } of await readStored(db, numbers)) {
    try {
      const event = parseEvent(token)
      const isWhole = event.disclosures.length === event.fieldCount
      ends.set(number, isWhole ? endsStream(event) : stillEndsStream(event))
    } catch {
      unread.push({ number, logIndex })
    }
  }
  const dropped = await readDroppedBy(
    db,
    unread.map(({ logIndex }) => logIndex),
  )
  // Others were altered in the database: the audit tells.
  for (const { number, logIndex } of unread) if (dropped.has(logIndex)) ends.set(number, null)
  return ends
}
