/** Erasures and holds as the system stream tells of them: docs/PROTOCOL.md §16. */
import {
  asHash,
  type ErasedEvent,
  erasedLeaf,
  type Hash,
  nodePrimitives,
  parseHash,
  printHash,
  treeRoot,
} from '@killick/sdk/core'
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
  /** By which retention policy the events have expired; null: somebody ordered it. */
  policy: { id: string; version: number } | null
  /** Who ordered it, and who confirmed that; null: it took one person. */
  confirmed: { orderedBy: string; confirmedBy: string } | null
}

/** What an erasure takes of one event. `number`: the event's in the log */
export type StoredErased = ErasedEvent & { pos: number; number: number }

type Row = {
  log_index: number
  id: string
  count: number
  root: Buffer
  created_at: Date
  ended: number | null
  policy: { id: string; version: number } | null
  confirmed: { orderedBy: string; confirmedBy: string } | null
}

const SELECT = `select e.log_index, e.id, e.count, e.root, e.created_at, d.log_index as ended,
    case when p.id is not null then json_build_object('id', p.id, 'version', p.version) end as policy,
    case when c.is_confirmed then json_build_object('orderedBy', o.proposed_by, 'confirmedBy', c.ended_by) end as confirmed
  from erasures e left join proposal_ends c on c.log_index = e.log_index left join proposals o on o.id = c.proposal left join erasure_ends d on d.erasure = e.log_index left join retention_policies p on p.log_index = e.policy`

const toErasure = ({ log_index, id, count, root, created_at, ended, policy, confirmed }: Row): StoredErasure => ({
  ...{ logIndex: log_index, id, count, root: asHash(new Uint8Array(root)), createdAt: created_at, end: ended },
  ...{ policy, confirmed },
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

/** How many events have expired by a policy, of any version, those included whose erasure is under way. */
export async function readExpired(db: Db, policy: string): Promise<number> {
  const { rows } = await db.query<{ events: number }>(
    `select coalesce(sum(e.count), 0)::float8 as events from retention_policies p join erasures e on e.policy = p.log_index where p.id = $1`,
    [policy],
  )
  return rows[0]!.events
}

/** The newest log entry by which something of events is gone for good: an erasure was carried out, or batches were dropped. Null: there is none. */
export async function readLastGone(db: Db): Promise<number | null> {
  const { rows } = await db.query<{ last: number | null }>(
    `select greatest((select log_index from erasure_ends order by log_index desc limit 1),
       (select log_index from drops order by log_index desc limit 1))::float8 as last`,
  )
  return rows[0]!.last
}

/** The same order or proposal was recorded meanwhile: it came twice at once. */
export class AlreadyRecorded extends Error {
  override readonly name = 'AlreadyRecorded'
}

/**
 * Stores an order with its list, in the transaction of its event.
 * @param policy log index of the policy by which events expire
 * @throws AlreadyRecorded
 */
export async function insertErasure(
  db: Db,
  logIndex: number,
  { id, root, policy }: { id: string; root: Hash; policy: number | null },
  list: readonly (ErasedEvent & { number: number })[],
): Promise<void> {
  const { rowCount } = await db.query(
    'insert into erasures (log_index, id, count, root, policy) values ($1, $2, $3, $4, $5) on conflict (id) do nothing',
    [logIndex, id, list.length, Buffer.from(root), policy],
  )
  if (rowCount === 0) throw new AlreadyRecorded()
  await insertList(db, 'erased', logIndex, list)
}

/** The two tables of lists: what orders take, and what proposals would. Their first columns have names of their own. */
const LISTS = { erased: 'erasure', proposed: 'proposal' } as const

/** Stores a list, in the transaction of its event. */
export async function insertList(
  db: Db,
  table: keyof typeof LISTS,
  logIndex: number,
  list: readonly (ErasedEvent & { number: number })[],
): Promise<void> {
  for (let from = 0; from < list.length; from += INSERTED) {
    const part = list.slice(from, from + INSERTED)
    await db.query(
      `insert into ${table} (${LISTS[table]}, pos, number, leaf_hash, digests)
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

/** How many entries of a list are read at a time. */
const LISTED = 2000

/**
 * Root of the tree over a list as the table has it, which is the one that its event commits to; null if an entry has another place, or
 * names another event than the one at its number.
 * @param logIndex of the event that it belongs to
 */
export async function readListRoot(db: Db, table: keyof typeof LISTS, logIndex: number): Promise<Hash | null> {
  const leaves: Hash[] = []
  for (let after = -1; ; ) {
    const page = await readList(db, table, logIndex, after, LISTED)
    if (page.length === 0) break
    if (page.some(({ pos }, i) => pos !== leaves.length + i)) return null
    leaves.push(...page.map(erasedLeaf))
    after = page.at(-1)!.pos
  }
  const { rowCount } = await db.query(
    `select from ${table} e where ${LISTS[table]} = $1 and not exists (
       select from (select log_index, first_event from packs where first_event <= e.number order by first_event desc limit 1) p
       join batches b on b.log_index = p.log_index
       where substr(b.event_leaves, (32 * (e.number - b.first_event) + 1)::int, 32) = e.leaf_hash) limit 1`,
    [logIndex],
  )
  return rowCount === 0 ? treeRoot(leaves, nodePrimitives.nodeHash) : null
}

/** `expired`: by a retention policy */
type ErasedRow = {
  erasure: number
  pos: number
  number: number
  leaf_hash: Buffer
  digests: Buffer
  expired?: boolean
}

const toErased = ({ pos, number, leaf_hash, digests }: Omit<ErasedRow, 'erasure'>): StoredErased => ({
  ...{ pos, number, leafHash: asHash(new Uint8Array(leaf_hash)), digests: splitDigests(digests) },
})

function splitDigests(bytes: Buffer): string[] {
  return Array.from({ length: Math.floor(bytes.length / 32) }, (_, i) => printHash(bytes.subarray(32 * i, 32 * i + 32)))
}

/** A page of what an erasure takes, in the order of its list. */
export const readErased = (db: Db, erasure: number, after: number, limit: number): Promise<StoredErased[]> =>
  readList(db, 'erased', erasure, after, limit)

/** A page of a list. @param logIndex of the event that it belongs to */
export async function readList(
  db: Db,
  table: keyof typeof LISTS,
  logIndex: number,
  after: number,
  limit: number,
): Promise<StoredErased[]> {
  const { rows } = await db.query<Omit<ErasedRow, 'erasure'>>(
    `select pos, number, leaf_hash, digests from ${table} where ${LISTS[table]} = $1 and pos > $2 order by pos limit $3`,
    [logIndex, after, limit],
  )
  return rows.map(toErased)
}

/** What an erasure takes of an event. `erasure`: log index of the order; `isExpired`: it goes by a retention policy */
type Taken = StoredErased & { erasure: number; isExpired: boolean }

/** What erasures take of events, by leaf hash (base64url), in the order of the log. */
export async function erasedOf(db: Db, leafHashes: readonly string[]): Promise<Map<string, Taken[]>> {
  const found = new Map<string, Taken[]>()
  if (leafHashes.length === 0) return found
  const { rows } = await db.query<ErasedRow>(
    `select d.erasure, d.pos, d.number, d.leaf_hash, d.digests, e.policy is not null as expired
     from erased d left join erasures e on e.log_index = d.erasure
     where d.leaf_hash = any($1::bytea[]) order by d.erasure, d.pos`,
    [leafHashes.map((hash) => Buffer.from(hash, 'base64url'))],
  )
  for (const row of rows) {
    const name = row.leaf_hash.toString('base64url')
    found.set(name, [...(found.get(name) ?? []), { ...toErased(row), erasure: row.erasure, isExpired: row.expired! }])
  }
  return found
}

/** An event as readers get it: how many of its fields are gone. */
type WithGone = { leafHash?: string; missing?: number; erased?: number; expired?: number }

/**
 * Tells fields that orders name (`erased`), and those that have expired by a policy (`expired`), from those that are gone without
 * either (`missing`).
 */
export async function explainErased(db: Db, events: readonly WithGone[]): Promise<void> {
  const lacking = events.filter(({ missing, leafHash }) => missing !== undefined && leafHash !== undefined)
  const found = await erasedOf(
    db,
    lacking.map(({ leafHash }) => leafHash!),
  )
  for (const event of lacking) {
    // What has expired after some of it was erased was erased.
    const taken = found.get(event.leafHash!)?.toSorted((a, b) => Number(a.isExpired) - Number(b.isExpired)) ?? []
    const digests = new Set<string>()
    for (const { isExpired, digests: gone } of taken) {
      const before = digests.size
      for (const digest of gone) digests.add(digest)
      const n = Math.min(digests.size - before, event.missing!)
      const name = isExpired ? 'expired' : 'erased'
      if (n > 0) event[name] = (event[name] ?? 0) + n
      event.missing! -= n
    }
    if (event.missing === 0) delete event.missing
  }
}
