/** Erasures and holds as the system stream tells of them: docs/PROTOCOL.md §16. */
import { asHash, type ErasedEvent, type Hash, parseHash, printHash } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'

/** An erasure's row. */
export type StoredErasure = {
  /** Log index of the event that orders it. */
  logIndex: number
  id: string
  /** How many events lose fields. */
  count: number
  root: Hash
  createdAt: Date
  /** Log index of the event that says that it was carried out; null: it is under way. */
  end: number | null
}

/** What an erasure takes of one event. `number`: the event's in the log */
export type StoredErased = ErasedEvent & { pos: number; number: number }

type Row = { log_index: number; id: string; count: number; root: Buffer; created_at: Date; ended: number | null }

const SELECT = `select e.log_index, e.id, e.count, e.root, e.created_at, d.log_index as ended
  from erasures e left join erasure_ends d on d.erasure = e.log_index`

const toErasure = ({ log_index, id, count, root, created_at, ended }: Row): StoredErasure => ({
  ...{ logIndex: log_index, id, count, root: asHash(new Uint8Array(root)), createdAt: created_at, end: ended },
})

/** A page of erasures, oldest first; `next` is what to ask for as `after`, null on the last page. */
export async function readErasures(
  db: Db,
  { limit, after = -1 }: { limit: number; after?: number },
): Promise<{ erasures: StoredErasure[]; next: number | null }> {
  const sql = `${SELECT} where e.log_index > $2 order by e.log_index limit $1`
  const { rows } = await db.query<Row>(sql, [limit + 1, after])
  const erasures = rows.slice(0, limit).map(toErasure)
  return { erasures, next: rows.length > limit ? erasures.at(-1)!.logIndex : null }
}

/** The erasures that were not carried out yet, oldest first. */
export async function readOpenErasures(db: Db): Promise<StoredErasure[]> {
  return (await db.query<Row>(`${SELECT} where d.log_index is null order by e.log_index`)).rows.map(toErasure)
}

export async function readErasure(db: Db, id: string): Promise<StoredErasure | null> {
  const { rows } = await db.query<Row>(`${SELECT} where e.id = $1`, [id])
  return rows[0] === undefined ? null : toErasure(rows[0])
}

/** When the newest erasure was carried out, by the database's clock, ms; null: none was. */
export async function readErasedAt(db: Db): Promise<number | null> {
  const { rows } = await db.query<{ at: Date }>(
    `select b.accepted_at as at from erasure_ends d join batches b using (log_index) order by d.log_index desc limit 1`,
  )
  return rows[0]?.at.getTime() ?? null
}

/** Stores an order with its list, in the transaction of its event. */
export async function insertErasure(
  db: Db,
  logIndex: number,
  { id, root }: { id: string; root: Hash },
  list: readonly (ErasedEvent & { number: number })[],
): Promise<void> {
  await db.query('insert into erasures (log_index, id, count, root) values ($1, $2, $3, $4)', [
    ...[logIndex, id, list.length, Buffer.from(root)],
  ])
  for (let from = 0; from < list.length; from += INSERTED) {
    const part = list.slice(from, from + INSERTED)
    await db.query(
      `insert into erased (erasure, pos, number, leaf_hash, digests)
       select $1, $2 + place - 1, number, leaf, digests
       from unnest($3::bigint[], $4::bytea[], $5::bytea[]) with ordinality as part (number, leaf, digests, place)`,
      [
        ...[logIndex, from, part.map(({ number }) => number), part.map(({ leafHash }) => Buffer.from(leafHash))],
        part.map(({ digests }) => Buffer.concat(digests.map((digest) => parseHash(digest)!))),
      ],
    )
  }
}

const INSERTED = 1000

/** Stores that an erasure was carried out, in the transaction of the event that says so. */
export async function insertErasureEnd(db: Db, logIndex: number, erasure: number): Promise<void> {
  await db.query('insert into erasure_ends (log_index, erasure) values ($1, $2)', [logIndex, erasure])
}

type ErasedRow = { erasure: number; pos: number; number: number; leaf_hash: Buffer; digests: Buffer }

const toErased = ({ pos, number, leaf_hash, digests }: ErasedRow): StoredErased => ({
  ...{ pos, number, leafHash: asHash(new Uint8Array(leaf_hash)), digests: splitDigests(digests) },
})

function splitDigests(bytes: Buffer): string[] {
  return Array.from({ length: Math.floor(bytes.length / 32) }, (_, i) => printHash(bytes.subarray(32 * i, 32 * i + 32)))
}

/** A page of what an erasure takes, in the order of its list. */
export async function readErased(db: Db, erasure: number, after: number, limit: number): Promise<StoredErased[]> {
  const { rows } = await db.query<ErasedRow>(
    'select erasure, pos, number, leaf_hash, digests from erased where erasure = $1 and pos > $2 order by pos limit $3',
    [erasure, after, limit],
  )
  return rows.map(toErased)
}

/** What erasures take of events, by leaf hash (base64url), each with the log index of its order, in the order of the log. */
export async function erasedOf(
  db: Db,
  leafHashes: readonly string[],
): Promise<Map<string, (StoredErased & { erasure: number })[]>> {
  const found = new Map<string, (StoredErased & { erasure: number })[]>()
  if (leafHashes.length === 0) return found
  const { rows } = await db.query<ErasedRow>(
    `select erasure, pos, number, leaf_hash, digests from erased where leaf_hash = any($1::bytea[]) order by erasure, pos`,
    [leafHashes.map((hash) => Buffer.from(hash, 'base64url'))],
  )
  for (const row of rows) {
    const name = row.leaf_hash.toString('base64url')
    found.set(name, [...(found.get(name) ?? []), { ...toErased(row), erasure: row.erasure }])
  }
  return found
}

/** An event as readers get it: how many of its fields are gone. */
type WithGone = { leafHash?: string; missing?: number; erased?: number }

/** Tells fields that erasures name (`erased`) from those that are gone without an order (`missing`). */
export async function explainErased(db: Db, events: readonly WithGone[]): Promise<void> {
  const lacking = events.filter(({ missing, leafHash }) => missing !== undefined && leafHash !== undefined)
  const found = await erasedOf(
    db,
    lacking.map(({ leafHash }) => leafHash!),
  )
  for (const event of lacking) {
    const digests = new Set(found.get(event.leafHash!)?.flatMap(({ digests }) => digests))
    const erased = Math.min(digests.size, event.missing!)
    if (erased === 0) continue
    event.erased = erased
    if (event.missing === erased) delete event.missing
    else event.missing! -= erased
  }
}
