/** What one person proposes and another confirms, as the system stream tells of it: docs/PROTOCOL.md §16. */
import { type ErasedEvent, type Proposal, type Proposed, parseProposal, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { AlreadyRecorded, insertList, readList, type StoredErased } from './erasures.ts'
import { RegistryAltered, readSystemEvent, readSystemLines } from './registrations.ts'

/** A proposal's row. */
export type StoredProposal = Proposal & {
  /** Log index of the event that proposes it. */
  logIndex: number
  createdAt: Date
  /** Log index of the event that confirms or refuses it, and who did; null: nobody has. */
  end: { logIndex: number; by: string; isConfirmed: boolean } | null
}

type Row = {
  log_index: number
  id: string
  proposed_by: string
  expires_at: Date
  proposes: string
  created_at: Date
  ended: number | null
  ended_by: string
  is_confirmed: boolean
}

const SELECT = `select p.*, e.log_index as ended, e.ended_by, e.is_confirmed
  from proposals p left join proposal_ends e on e.proposal = p.id`

const toProposal = (row: Row): StoredProposal => ({
  ...{ id: row.id, by: row.proposed_by, expires: row.expires_at.getTime(), proposes: JSON.parse(row.proposes) },
  ...{ logIndex: row.log_index, createdAt: row.created_at },
  end: row.ended === null ? null : { logIndex: row.ended, by: row.ended_by, isConfirmed: row.is_confirmed },
})

/**
 * A page of proposals, oldest first; `next` is what to ask for as `after`, null on the last page.
 * @param page.state - Null: in any state. It is that at `now`, in ms.
 */
export async function readProposals(
  db: Db,
  { limit, after, state, now }: { limit: number; after: number; state: ProposalState | null; now: number },
): Promise<{ proposals: StoredProposal[]; next: number | null }> {
  const { rows } = await db.query<Row>(
    `${SELECT} where p.log_index > $2 and ($3::text is null or $3 = case when e.is_confirmed then 'confirmed'
       when e.proposal is not null then 'refused' when p.expires_at >= $4 then 'waiting' else 'lapsed' end)
     order by p.log_index limit $1`,
    [limit + 1, after, state, new Date(now)],
  )
  const proposals = rows.slice(0, limit).map(toProposal)
  return { proposals, next: rows.length > limit ? proposals.at(-1)!.logIndex : null }
}

export async function readProposal(db: Db, id: string): Promise<StoredProposal | null> {
  const { rows } = await db.query<Row>(`${SELECT} where p.id = $1`, [id])
  return rows[0] === undefined ? null : toProposal(rows[0])
}

/** How many proposals there are: waiting, confirmed, refused, lapsed. @param now ms */
export async function countProposals(db: Db, now: number): Promise<Record<ProposalState, number>> {
  const { rows } = await db.query<Record<ProposalState, number>>(
    `select count(*) filter (where e.is_confirmed)::float8 as confirmed, count(*) filter (where not e.is_confirmed)::float8 as refused,
       count(*) filter (where e.proposal is null and p.expires_at >= $1)::float8 as waiting,
       count(*) filter (where e.proposal is null and p.expires_at < $1)::float8 as lapsed
     from proposals p left join proposal_ends e on e.proposal = p.id`,
    [new Date(now)],
  )
  return rows[0]!
}

export type ProposalState = 'waiting' | 'confirmed' | 'refused' | 'lapsed'

/** @param now ms */
export const stateOf = ({ end, expires }: StoredProposal, now: number): ProposalState =>
  end === null ? (now > expires ? 'lapsed' : 'waiting') : end.isConfirmed ? 'confirmed' : 'refused'

/** A proposal as its event in the log says, whatever the table says. @throws RegistryAltered */
export async function readProposedEvent(db: Db, { id, logIndex }: StoredProposal): Promise<Proposal> {
  const [line] = await readSystemLines(db, SYSTEM.source, [logIndex])
  const said = parseProposal(readSystemEvent(SYSTEM.source, logIndex, line!.header, line!.token))
  if (said?.id !== id) throw new RegistryAltered(null, `log entry ${logIndex} is not the proposal ${id}`)
  return said
}

/**
 * Stores a proposal, in the transaction of its event.
 * @param list what an erasure would take; empty for everything else
 * @throws AlreadyRecorded
 */
export async function insertProposal(
  db: Db,
  logIndex: number,
  { id, by, expires, proposes }: Proposal,
  list: readonly (ErasedEvent & { number: number })[],
): Promise<void> {
  const sql =
    'insert into proposals (log_index, id, proposed_by, expires_at, proposes) values ($1, $2, $3, $4, $5) on conflict (id) do nothing'
  const { rowCount } = await db.query(sql, [logIndex, id, by, new Date(expires), printProposed(proposes)])
  if (rowCount === 0) throw new AlreadyRecorded()
  await insertList(db, 'proposed', logIndex, list)
}

/** The text of what is proposed, as the table has it. */
export const printProposed = ({ action, targets, metadata }: Proposed): string =>
  JSON.stringify({ action, targets, metadata })

/** A page of what a proposed erasure would take, in the order of its list. */
export const readProposed = (db: Db, proposal: number, after: number, limit: number): Promise<StoredErased[]> =>
  readList(db, 'proposed', proposal, after, limit)

/**
 * Stores that a proposal was confirmed or refused, in the transaction of the event that says so.
 * @returns false if somebody was faster
 */
export async function insertProposalEnd(
  db: Db,
  logIndex: number,
  { id, by, isConfirmed }: { id: string; by: string; isConfirmed: boolean },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into proposal_ends (log_index, proposal, ended_by, is_confirmed) values ($1, $2, $3, $4) on conflict do nothing`,
    [logIndex, id, by, isConfirmed],
  )
  return rowCount === 1
}
