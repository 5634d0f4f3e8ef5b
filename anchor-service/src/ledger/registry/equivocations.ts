import { type BatchHeader, type EventInput, KillickError, type PublicJwk, parseBatchHeader } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import type { KeptBatch } from '../packs/checked-batch.ts'
import type { LogPage } from './shares.ts'

/** A header that a source signed: its text (compact JWS) and its content; null if it cannot be read any more. */
export type SignedHeader = { text: string; said: BatchHeader | null; key: PublicJwk | null }

/** Two headers that a source signed for one place in a stream: evidence against it. */
export type Equivocation = {
  /** Log index of the event that tells of it. */
  id: number
  source: string
  stream: string
  /** The first place that both claim. */
  seq: number
  /** Log index of the accepted one. */
  logIndex: number
  accepted: SignedHeader
  refused: SignedHeader
  recordedAt: Date
}

/** How many headers are kept against one accepted batch; more would prove nothing more. */
const MOST = 8

/** The event of the system stream that tells of an equivocation. */
export function equivocationEvent(kept: KeptBatch, refused: BatchHeader): EventInput {
  const { source, stream } = refused
  return {
    action: 'source.equivocate',
    actor: { type: 'service', id: 'anchor-service' },
    targets: [{ type: 'source', id: source }],
    outcome: 'denied',
    metadata: { stream, batch: kept.logIndex, accepted: kept.header, refused: refused.text },
  }
}

/**
 * @param logIndex of the event that tells of it
 * @returns false if it is already kept, or if enough are
 */
export async function insertEquivocation(
  db: Db,
  logIndex: number,
  kept: KeptBatch,
  { text, leafHash }: BatchHeader,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into equivocations (log_index, batch, refused, refused_hash)
     select $1, $2, $3, $4 where (select count(*) from equivocations where batch = $2) < ${MOST} on conflict do nothing`,
    [logIndex, kept.logIndex, text, Buffer.from(leafHash)],
  )
  return rowCount === 1
}

type Row = { id: number; source: string; stream: string; seq: number; log_index: number } & {
  accepted: string
  refused: string
  recorded_at: Date
}

/** `before` (or `after`) is the id of the last row of the page before, and `next` the id to ask for. */
export async function readEquivocations(
  db: Db,
  page: LogPage,
): Promise<{ equivocations: Equivocation[]; next: number | null }> {
  const isForward = page.after !== undefined
  const { rows } = await db.query<Row>(
    `select e.log_index as id, b.source, b.stream, b.seq, e.batch as log_index, b.header as accepted, e.refused, e.recorded_at
     from equivocations e join batches b on b.log_index = e.batch
     where ${isForward ? 'e.log_index > $2' : '$2::bigint is null or e.log_index < $2'}
     order by e.log_index ${isForward ? '' : 'desc'} limit $1`,
    [page.limit + 1, page.after ?? page.before ?? null],
  )
  const shown = rows.slice(0, page.limit)
  const keys = await readSigningKeys(db, shown)
  const equivocations = shown.map((row) => {
    const [accepted, refused] = [row.accepted, row.refused].map((text): SignedHeader => {
      const said = headerOf(text)
      return { text, said, key: (said && keys.get(`${row.source} ${said.signature.kid}`)) ?? null }
    }) as [SignedHeader, SignedHeader]
    return {
      ...{ id: row.id, source: row.source, stream: row.stream, logIndex: row.log_index, accepted, refused },
      seq: Math.max(row.seq, refused.said?.seq ?? 0),
      recordedAt: row.recorded_at,
    }
  })
  return { equivocations, next: rows.length > page.limit ? shown.at(-1)!.id : null }
}

/** An altered row must not hide the others. */
function headerOf(text: string): BatchHeader | null {
  try {
    return parseBatchHeader(text)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

/** The keys that signed, by source and kid, whatever their validity. */
async function readSigningKeys(db: Db, rows: readonly Row[]): Promise<Map<string, PublicJwk>> {
  const names = rows.flatMap(({ source, accepted, refused }) =>
    [headerOf(accepted), headerOf(refused)].flatMap((header) => (header ? [[source, header.signature.kid]] : [])),
  )
  const found = await db.query<{ source: string; kid: string; jwk: PublicJwk }>(
    `select distinct k.source, k.kid, k.jwk from unnest($1::text[], $2::text[]) as wanted (source, kid)
     join source_keys k on (k.source, k.kid) = (wanted.source, wanted.kid)`,
    [names.map(([source]) => source), names.map(([, kid]) => kid)],
  )
  return new Map(found.rows.map(({ source, kid, jwk }) => [`${source} ${kid}`, jwk]))
}
