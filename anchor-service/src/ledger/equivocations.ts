import { type BatchHeader, KillickError, type PublicJwk, parseBatchHeader } from '@killick/sdk'
import type { Db } from './tiles.ts'

/** A header that a source signed: its text (compact JWS) and what it says; null where it cannot be read any more. */
export type SignedHeader = { text: string; said: BatchHeader | null; key: PublicJwk | null }

/** Two headers that a source signed for one position of a stream: evidence against it. */
export type Equivocation = {
  id: number
  source: string
  stream: string
  /** The first position that both claim. */
  seq: number
  /** Where the accepted one stands in the log. */
  logIndex: number
  accepted: SignedHeader
  refused: SignedHeader
  recordedAt: Date
}

type Row = { id: number; source: string; stream: string; seq: number; log_index: number } & {
  accepted: string
  refused: string
  recorded_at: Date
}

/** Newest first; `before` is the id of the last one of the page before, and `next` the id to ask for. */
export async function readEquivocations(
  db: Db,
  page: { limit: number; before?: number | undefined },
): Promise<{ equivocations: Equivocation[]; next: number | null }> {
  const { rows } = await db.query<Row>(
    `select e.id, b.source, b.stream, b.seq, e.log_index, e.accepted, e.refused, e.recorded_at
     from equivocations e join batches b using (log_index)
     where $2::bigint is null or e.id < $2 order by e.id desc limit $1`,
    [page.limit + 1, page.before ?? null],
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

/** One row that somebody has tampered with must not hide the others. */
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
