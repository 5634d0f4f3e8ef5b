/** Retention policies: how they are set and ended, and how far events are due by the newest final anchor. docs/PROTOCOL.md §17. */
import {
  DAY_S,
  type DecidedBy,
  type EventInput,
  type RetentionPolicy,
  type RetentionScope,
  retentionEndFields,
  retentionFields,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { lockHolds } from './holds.ts'

/** A version of a policy. */
export type StoredPolicy = RetentionPolicy & {
  /** Log index of the event that sets it. */
  logIndex: number
  /** Log index of the event that ends it; null: none does. */
  ended: number | null
  createdAt: Date
}

type Row = {
  log_index: number
  id: string
  version: number
  covers: RetentionScope
  contents_days: number
  events_days: number | null
  ended: number | null
  created_at: Date
}

/** The newest version of each policy, by name: those that stand, or all. */
export async function readPolicies(db: Db, which: 'standing' | 'all' = 'standing'): Promise<StoredPolicy[]> {
  const { rows } = await db.query<Row>(
    `select distinct on (p.id) p.*, e.log_index as ended from retention_policies p
     left join retention_ends e on e.policy = p.log_index order by p.id, p.version desc`,
  )
  return rows
    .filter(({ ended }) => which === 'all' || ended === null)
    .map(({ log_index, id, version, covers, contents_days, events_days, ended, created_at }) => ({
      ...{ id, version, covers, contentsDays: contents_days, ...(events_days !== null && { eventsDays: events_days }) },
      ...{ logIndex: log_index, ended, createdAt: created_at },
    }))
}

/** What was confirmed by a second person: what the event says of the two, and what refuses it in its transaction. */
export type Confirming = { confirmed: DecidedBy; settle(db: Db, logIndex: number): Promise<void> }

const find = async (db: Db, id: string) => (await readPolicies(db, 'all')).find((policy) => policy.id === id)

/** What a policy would be set as: the next version of its name, or the one that stands and says the same (`isSame`). */
export async function nextVersion(
  db: Db,
  said: Omit<RetentionPolicy, 'version'>,
): Promise<{ isSame: true; policy: StoredPolicy } | { isSame: false; policy: RetentionPolicy }> {
  const known = await find(db, said.id)
  if (known?.ended === null && textOf(known) === textOf(said)) return { isSame: true, policy: known }
  return { isSame: false, policy: { ...said, version: (known?.version ?? 0) + 1 } }
}

/**
 * Sets a policy, in an event of the system stream: the next version of its name. One that stands and says the same is left as it is.
 * @throws Refusal retention_changed
 */
export async function setPolicy(
  ledger: Ledger,
  said: Omit<RetentionPolicy, 'version'>,
  actor: EventInput['actor'],
): Promise<StoredPolicy> {
  const next = await nextVersion(ledger.db, said)
  return next.isSame ? next.policy : recordPolicy(ledger, next.policy, actor)
}

/** Sets this version of a policy, which must be the next. @throws Refusal retention_changed, and what `by` refuses */
export async function recordPolicy(
  ledger: Ledger,
  { id, version, covers, contentsDays, eventsDays }: RetentionPolicy,
  actor: EventInput['actor'],
  by?: Confirming,
): Promise<StoredPolicy> {
  const event = { actor, ...retentionFields({ id, version, covers, contentsDays, eventsDays }, by?.confirmed) }
  await ledger.record(event, async (db, logIndex) => {
    // Events that expire look at policies under this lock.
    await lockHolds(db)
    await by?.settle(db, logIndex)
    if (((await find(db, id))?.version ?? 0) !== version - 1) throw new Refusal('retention_changed')
    const sql =
      'insert into retention_policies (log_index, id, version, covers, contents_days, events_days) values ($1, $2, $3, $4, $5, $6)'
    await db.query(sql, [logIndex, id, version, covers, contentsDays, eventsDays ?? null])
  })
  return (await find(ledger.db, id))!
}

const textOf = ({
  covers,
  contentsDays,
  eventsDays,
}: Pick<RetentionPolicy, 'covers' | 'contentsDays' | 'eventsDays'>) =>
  JSON.stringify([covers.source, covers.stream, covers.action, contentsDays, eventsDays])

/** A policy that stands. @throws Refusal retention_not_found */
export async function standingPolicy(db: Db, id: string): Promise<StoredPolicy> {
  const known = (await readPolicies(db)).find((policy) => policy.id === id)
  if (known === undefined) throw new Refusal('retention_not_found')
  return known
}

/** Ends a policy, in an event of the system stream. @throws Refusal retention_not_found | retention_changed, and what `by` refuses */
export async function endPolicy(
  ledger: Ledger,
  id: string,
  actor: EventInput['actor'],
  by?: Confirming,
): Promise<StoredPolicy> {
  const known = await standingPolicy(ledger.db, id)
  await ledger.record({ actor, ...retentionEndFields(id, known.version, by?.confirmed) }, async (db, logIndex) => {
    await lockHolds(db)
    await by?.settle(db, logIndex)
    const now = (await readPolicies(db)).find((policy) => policy.id === id)
    if (now?.version !== known.version) throw new Refusal('retention_changed')
    await db.query('insert into retention_ends (log_index, policy) values ($1, $2)', [logIndex, known.logIndex])
  })
  return (await readPolicies(ledger.db, 'all')).find((policy) => policy.id === id)!
}

/** A final anchor, by whose block's time (s since 1970) events are old; `place`: where it is anchored. */
export type AnchorClock = {
  size: number
  time: number
  place: readonly [chainId: number, genesis: string, contract: string, logId: string]
}

/** The newest final anchor; null: there is none, and nothing is due. */
export async function readClock(db: Db): Promise<AnchorClock | null> {
  const { rows } = await db.query(
    `select size, time, chain_id, genesis, contract, log_id from current_anchors where state = 'final' and size > 0
     order by size desc, id desc limit 1`,
  )
  const [row] = rows
  if (row === undefined) return null
  const { size, time, chain_id, genesis, contract, log_id } = row
  return { size, time, place: [chain_id, genesis, contract, log_id] }
}

/** Up to which log entry (exclusive) events are this many days old: an anchor in the same place, so much older, covers them. */
export async function readDue(db: Db, { time, place }: AnchorClock, days: number): Promise<number> {
  const { rows } = await db.query<{ size: number }>(
    `select size from current_anchors where (chain_id, genesis, contract, log_id) = ($1, $2, $3, $4) and state = 'final' and time <= $5
     order by size desc limit 1`,
    [...place, time - DAY_S * days],
  )
  return rows[0]?.size ?? 0
}
