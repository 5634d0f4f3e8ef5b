import type { PublicJwk } from '@killick/sdk'
import type { Db } from './tiles.ts'

/** Two headers that the keys of one source signed for one position of a stream: the accepted one, and the refused one. */
export type Equivocation = {
  id: number
  logIndex: number
  /** Compact JWS. */
  accepted: string
  refused: string
  recordedAt: Date
}

/** Newest first; `before` is the id of the last one of the page before. */
export async function readEquivocations(
  db: Db,
  page: { limit: number; before?: number | undefined },
): Promise<{ equivocations: Equivocation[]; next: number | null }> {
  const { rows } = await db.query(
    `select id, log_index, accepted, refused, recorded_at from equivocations
     where $2::bigint is null or id < $2 order by id desc limit $1`,
    [page.limit + 1, page.before ?? null],
  )
  const equivocations = rows.slice(0, page.limit).map((row) => ({
    ...{ id: row.id, logIndex: row.log_index, accepted: row.accepted, refused: row.refused },
    recordedAt: row.recorded_at,
  }))
  return { equivocations, next: rows.length > page.limit ? equivocations.at(-1)!.id : null }
}

type KeyName = { source: string; kid: string }

/** The public keys of these names, whatever their validity, by kid: what the headers were checked with. */
export async function readSigningKeys(db: Db, names: readonly KeyName[]): Promise<Map<string, PublicJwk>> {
  const { rows } = await db.query<{ kid: string; jwk: PublicJwk }>(
    `select distinct k.kid, k.jwk from unnest($1::text[], $2::text[]) as wanted (source, kid)
     join source_keys k on (k.source, k.kid) = (wanted.source, wanted.kid)`,
    [names.map(({ source }) => source), names.map(({ kid }) => kid)],
  )
  return new Map(rows.map(({ kid, jwk }) => [kid, jwk]))
}
