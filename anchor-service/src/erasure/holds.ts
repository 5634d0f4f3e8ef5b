/**
 * Holds: a case for which events must be kept as they are, those to come too, until it is lifted. What a hold covers cannot be
 * erased, whoever orders it.
 */
import { randomUUID } from 'node:crypto'
import type { EventInput, HoldScope } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'

export type StoredHold = {
  id: string
  /** Log index of the event that places it, and of the one that lifts it; null: it stands. */
  logIndex: number
  lifted: number | null
  covers: HoldScope
  createdAt: Date
}

type Row = { log_index: number; id: string; covers: HoldScope; created_at: Date; lifted: number | null }

const SELECT = `select h.log_index, h.id, h.covers, h.created_at, e.log_index as lifted
  from holds h left join hold_ends e on e.hold = h.id`

const toHold = ({ log_index, id, covers, created_at, lifted }: Row): StoredHold => ({
  ...{ id, logIndex: log_index, lifted, covers, createdAt: created_at },
})

/** The holds that stand, or all, oldest first. */
export async function readHolds(db: Db, which: 'standing' | 'all' = 'standing'): Promise<StoredHold[]> {
  const { rows } = await db.query<Row>(`${SELECT} where $1 or e.log_index is null order by h.log_index`, [
    which === 'all',
  ])
  return rows.map(toHold)
}

/** Places a hold, in an event of the system stream. `caseNumber`, `reason`: for people */
export async function placeHold(
  ledger: Ledger,
  { caseNumber, reason, covers }: { caseNumber: string; reason: string; covers: HoldScope },
  actor: EventInput['actor'],
): Promise<{ id: string; logIndex: number }> {
  const id = randomUUID()
  const event = {
    ...{ action: 'hold.place', actor, targets: [{ type: 'hold', id }] },
    metadata: { case: caseNumber, reason, covers },
  }
  let at = 0
  await ledger.record(event, async (db, logIndex) => {
    at = logIndex
    // Erasures look at holds under this lock too: of an order and a hold that come at once, the later one sees the other.
    await lockHolds(db)
    await db.query('insert into holds (log_index, id, covers) values ($1, $2, $3)', [logIndex, id, covers])
  })
  return { id, logIndex: at }
}

/** Lifts a hold, in an event of the system stream. @throws Refusal hold_not_found */
export async function liftHold(ledger: Ledger, id: string, reason: string, actor: EventInput['actor']): Promise<void> {
  const event = { action: 'hold.lift', actor, targets: [{ type: 'hold', id }], metadata: { reason } }
  await ledger.record(event, async (db, logIndex) => {
    const { rowCount } = await db.query(
      `insert into hold_ends (log_index, hold) select $1, id from holds h
       where id = $2 and not exists (select from hold_ends e where e.hold = h.id)`,
      [logIndex, id],
    )
    if (rowCount === 0) throw new Refusal('hold_not_found')
  })
}

/** Held to the end of a transaction that places a hold, that orders an erasure or drops batches, or that takes fields out of packs. */
const HOLD_LOCK = 7_019_326

export async function lockHolds(db: Db): Promise<void> {
  await db.query('select pg_advisory_xact_lock($1)', [HOLD_LOCK])
}
