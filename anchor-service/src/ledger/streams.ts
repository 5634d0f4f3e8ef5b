import { asHash, isSourceName, isStreamId, printHash } from '@killick/sdk'
import { Refusal } from '../errors.ts'
import type { KeptBatch, StreamHead } from './place.ts'
import { type Db, splitHashes } from './tiles.ts'

type StreamName = { source: string; stream: string }

/** One string for a stream; neither part can hold a slash. */
export const streamKey = ({ source, stream }: StreamName) => `${source}/${stream}`

/** Heads of the given streams; streams without a batch are absent. */
export async function readHeads(db: Db, streams: readonly StreamName[]): Promise<Map<string, StreamHead>> {
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

/** The accepted batch that holds position `seq` of a stream, which must lie behind the stream's head. */
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

/** Where a stream stands. @throws Refusal stream_not_found */
export async function readStream(db: Db, source: string, stream: string) {
  // Other texts are no one's name, and some that the database would not take, such as U+0000.
  if (!isSourceName(source) || !isStreamId(stream)) throw new Refusal('stream_not_found')
  const { rows } = await db.query(
    `select log_index, seq + n as next, leaf_hash, substr(event_leaves, 32 * n - 31) as last, accepted_at,
            (select count(*) from batches where source = $1 and stream = $2) as batches,
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
    batches: row.batches as number,
    head: {
      leafHash: printHash(new Uint8Array(row.last)),
      batchHash: printHash(new Uint8Array(row.leaf_hash)),
      logIndex: row.log_index as number,
    },
    firstAt: (row.first_at as Date).toISOString(),
    lastAt: (row.accepted_at as Date).toISOString(),
  }
}
