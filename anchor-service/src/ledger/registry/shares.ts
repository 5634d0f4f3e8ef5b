import { createHash } from 'node:crypto'
import type { Db } from '../../database/pool.ts'

/** A proof link: which fields of which event it shows. `state` is the state at the time of the query, by this process's clock. */
export type StoredShare = {
  id: string
  /** Log index of the event that tells of the link. */
  logIndex: number
  /** base64url */
  leafHash: string
  fields: string[]
  createdAt: Date
  expiresAt: Date | null
  revokedAt: Date | null
  /** Log index of the event that tells of its withdrawal. */
  revocation: number | null
  state: 'open' | 'expired' | 'revoked'
}

type Row = {
  log_index: number
  id: string
  leaf_hash: Buffer
  fields: string[]
  created_at: Date
  expires_at: Date | null
  revoked_at: Date | null
  revocation: number | null
}

const SELECT = `select s.log_index, s.id, s.leaf_hash, s.fields, s.created_at, s.expires_at, r.revoked_at,
                  r.log_index as revocation
                from shares s left join share_revocations r on r.share = s.id`

/**
 * The hash of a token, which is all that is kept of it. SHA-256 is enough, since a token is 256 random bits and not a password.
 */
export const tokenHash = (token: string): Buffer => createHash('sha256').update(token).digest()

export async function insertShare(
  db: Db,
  logIndex: number,
  share: { id: string; tokenHash: Buffer; leafHash: Uint8Array; fields: readonly string[]; expiresAt: Date | null },
): Promise<void> {
  await db.query(
    'insert into shares (log_index, id, token_hash, leaf_hash, fields, expires_at) values ($1, $2, $3, $4, $5, $6)',
    [logIndex, share.id, share.tokenHash, Buffer.from(share.leafHash), share.fields, share.expiresAt],
  )
}

/** Somebody else withdrew the share at the same time, and recorded the event. */
export class AlreadyRevoked extends Error {
  override readonly name = 'AlreadyRevoked'
}

/** Withdraws a share permanently. @param logIndex of the event that tells of it. @throws AlreadyRevoked */
export async function insertRevocation(db: Db, logIndex: number, id: string): Promise<void> {
  const sql = 'insert into share_revocations (log_index, share) values ($1, $2) on conflict (share) do nothing'
  if ((await db.query(sql, [logIndex, id])).rowCount === 0) throw new AlreadyRevoked()
}

/**
 * The share of a token, in any state. The lookup is by hash, so its time does not tell how much of a guess is right, and it is
 * the same for every state.
 */
export async function findShare(db: Db, token: string): Promise<StoredShare | null> {
  const { rows } = await db.query<Row>(`${SELECT} where s.token_hash = $1`, [tokenHash(token)])
  return rows[0] === undefined ? null : toShare(rows[0])
}

export async function readShare(db: Db, id: string): Promise<StoredShare | null> {
  const { rows } = await db.query<Row>(`${SELECT} where s.id = $1`, [id])
  return rows[0] === undefined ? null : toShare(rows[0])
}

/** A page of rows by log index: newest first, up to `before` if given; or oldest first, from `after` on. */
export type LogPage = { limit: number; before?: number | undefined; after?: number | undefined }

/** Shares; `next` is the log index to ask for as `before` (or `after`), null on the last page. */
export async function readShares(db: Db, page: LogPage): Promise<{ shares: StoredShare[]; next: number | null }> {
  const { rows } =
    page.after === undefined
      ? await db.query<Row>(
          `${SELECT} where $2::bigint is null or s.log_index < $2 order by s.log_index desc limit $1`,
          [page.limit + 1, page.before ?? null],
        )
      : await db.query<Row>(`${SELECT} where s.log_index > $2 order by s.log_index limit $1`, [
          page.limit + 1,
          page.after,
        ])
  const shown = rows.slice(0, page.limit)
  return { shares: shown.map(toShare), next: rows.length > page.limit ? shown.at(-1)!.log_index : null }
}

function toShare(row: Row): StoredShare {
  // By the clock that the link's end was chosen by, and sessions end by; not by the database's.
  const isOver = row.expires_at !== null && Number(row.expires_at) <= Date.now()
  return {
    id: row.id,
    logIndex: row.log_index,
    leafHash: row.leaf_hash.toString('base64url'),
    fields: row.fields,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    revocation: row.revocation,
    state: row.revoked_at !== null ? 'revoked' : isOver ? 'expired' : 'open',
  }
}
