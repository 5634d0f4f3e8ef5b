import { asHash, type Hash } from '@killick/sdk/core'
import pg from 'pg'
import type { Db } from '../database/pool.ts'
import type { AnchorFacts, AnchorState } from '../ledger/registry/anchors.ts'

/** The log on a chain that a target anchors to. */
export type LogOnChain = { target: string; chainId: number; genesis: string; contract: string; logId: string }

/** Actions of the ledger's own events about anchors; they alone are no reason for another anchor. */
export const ANCHOR_ACTIONS = ['anchor.commit', 'anchor.withdraw']

/** A transaction that was signed for an anchor, and so may yet be mined. Fees in wei per gas. */
export type Attempt = {
  transaction: string
  raw: string
  sender: string
  nonce: number
  max: bigint
  tip: bigint | null
}

/** An anchor that is not settled. Size 0 is the opening of the log. */
export type OpenAnchor = {
  id: number
  size: number
  root: Hash
  /** Number of its newest state, from 0. */
  seq: number
  state: AnchorState
  /** Age of its state, ms, by the database's clock. */
  ageMs: number
  /** The block it was last seen in. */
  block: number | null
  blockHash: string | null
  transaction: string | null
  detail: string | null
  /** Oldest first; the last one is the current one. */
  attempts: Attempt[]
}

/** What says which anchor it is, and in which state. */
export type AnchorOfPlace = Pick<OpenAnchor, 'id' | 'size' | 'root' | 'seq' | 'state' | 'transaction'>

/** Another worker has moved this anchor meanwhile: read again. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken'
}

const KEY = 'chain_id = $1 and genesis = $2 and contract = $3 and log_id = $4'
const key = ({ chainId, genesis, contract, logId }: LogOnChain) => [chainId, genesis, contract, logId]

/** The log that holds the target's newest anchor on a chain with this id; null while there is none. */
export async function readLastPlace(db: Db, target: string, chainId: number): Promise<LogOnChain | null> {
  const { rows } = await db.query(
    `select genesis, contract, log_id from current_anchors where target = $1 and chain_id = $2 and state <> 'abandoned'
     order by id desc limit 1`,
    [target, chainId],
  )
  return rows[0]
    ? { target, chainId, genesis: rows[0].genesis, contract: rows[0].contract, logId: rows[0].log_id }
    : null
}

/** The largest size that counts as anchored on a chain, contract and log; 0: none. */
export async function readLargest(db: Db, place: LogOnChain): Promise<number> {
  const { rows } = await db.query(
    `select size from current_anchors where ${KEY} and state in ('mined', 'confirmed', 'final') order by size desc limit 1`,
    key(place),
  )
  return rows[0]?.size ?? 0
}

/**
 * The anchors that are not settled, smallest first: all above the largest final one, and all that count as anchored in the
 * ledger but are larger than the contract's head (-1: no log is open).
 */
export async function readOpenAnchors(db: Db, place: LogOnChain, headSize: number): Promise<OpenAnchor[]> {
  const { rows } = await db.query(
    `select *, (extract(epoch from clock_timestamp() - recorded_at) * 1000)::float8 as age from current_anchors
     where ${KEY} and state <> 'abandoned' and (state <> 'final' or size > $5) and size > least($5::bigint, coalesce(
       (select size from current_anchors where ${KEY} and state = 'final' order by size desc limit 1), -1))
     order by size`,
    [...key(place), headSize],
  )
  const signed = await db.query(
    `select * from anchor_states where anchor = any($1) and raw is not null order by anchor, seq`,
    [rows.map((row) => row.id)],
  )
  return rows.map((row) => ({
    ...{ id: row.id, size: row.size, root: asHash(new Uint8Array(row.root)), seq: row.seq, state: row.state },
    ...{
      ageMs: row.age,
      block: row.block,
      blockHash: row.block_hash,
      transaction: row.transaction,
      detail: row.detail,
    },
    attempts: signed.rows
      .filter((attempt) => attempt.anchor === row.id)
      .map(({ transaction, raw, sender, nonce, max_fee, max_priority_fee }) => ({
        ...{ transaction, raw, sender, nonce, max: BigInt(max_fee) },
        tip: max_priority_fee === null ? null : BigInt(max_priority_fee),
      })),
  }))
}

/** Size and age (ms) of the newest plan of a place that was not given up; null before the first. */
export async function readLastPlan(db: Db, place: LogOnChain): Promise<{ size: number; ageMs: number } | null> {
  const { rows } = await db.query(
    `select size, (extract(epoch from clock_timestamp() - planned_at) * 1000)::float8 as age from current_anchors
     where ${KEY} and size > 0 and state <> 'abandoned' order by size desc limit 1`,
    key(place),
  )
  return rows[0] ? { size: rows[0].size, ageMs: rows[0].age } : null
}

/** Whether a transaction was ever signed for an anchor of this size. */
export async function wasSigned(db: Db, place: LogOnChain, size: number): Promise<boolean> {
  const { rows } = await db.query<{ signed: boolean }>(
    `select exists (select from anchors a join anchor_states s on s.anchor = a.id
       where ${KEY} and size = $5 and raw is not null) as signed`,
    [...key(place), size],
  )
  return rows[0]!.signed
}

/** Plans an anchor. Planning it again is no error; an abandoned anchor of the same size is planned anew. */
export async function planAnchor(db: Db, place: LogOnChain, size: number, root: Hash): Promise<void> {
  await db.query(
    `with placed as (
       insert into anchors (chain_id, genesis, contract, log_id, size, target, root, events)
       select $1, $2, $3, $4, $5::bigint, $6, $7,
              coalesce((select first_event + n from batches where log_index = $5::bigint - 1), 0)
       on conflict do nothing returning id)
     insert into anchor_states (anchor, seq, state)
     select id, 0, 'planned' from placed
     union all
     select id, seq + 1, 'planned' from current_anchors where ${KEY} and size = $5 and state = 'abandoned'
     on conflict do nothing`,
    [...key(place), size, place.target, Buffer.from(root)],
  )
}

/**
 * Moves an anchor on from the state it was read in.
 * @param logIndex of the event that tells of it, if one does
 * @throws Overtaken
 */
export async function recordState(
  db: Db,
  anchor: Pick<OpenAnchor, 'id' | 'seq'>,
  state: AnchorState,
  facts: AnchorFacts,
  logIndex: number | null = null,
): Promise<void> {
  try {
    await db.query(
      `insert into anchor_states (anchor, seq, state, transaction, raw, sender, nonce, max_fee, max_priority_fee,
         block, block_hash, time, confirmations, gas_used, gas_price, detail, log_index)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
      [
        ...[anchor.id, anchor.seq + 1, state, facts.transaction, facts.raw, facts.sender, facts.nonce],
        ...[facts.maxFee, facts.maxPriorityFee, facts.block, facts.blockHash, facts.time, facts.confirmations],
        ...[facts.gasUsed, facts.gasPrice, facts.detail, logIndex],
      ],
    )
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '23505') throw new Overtaken()
    throw error
  }
}

/** Why anchors were abandoned that their chain held. */
const REPLACED = 'The chain was replaced by another with the same id.'

/** The anchors of a place that count, largest first. */
export async function readCounting(db: Db, place: LogOnChain): Promise<AnchorOfPlace[]> {
  const { rows } = await db.query(
    `select id, size, root, seq, state, transaction from current_anchors
     where ${KEY} and size > 0 and state in ('confirmed', 'final') order by size desc`,
    key(place),
  )
  return rows.map((row) => ({ ...row, root: asHash(new Uint8Array(row.root)) }))
}

/** What is recorded of an anchor that does not count any more since its chain was replaced. */
export const replacedFacts = ({ transaction }: AnchorOfPlace): AnchorFacts => ({ transaction, detail: REPLACED })

/** Abandons the anchors on a chain that no longer exists, none of which counts: another chain has taken its id. */
export async function abandonChain(db: Db, { target, chainId, genesis }: LogOnChain): Promise<void> {
  await db.query(
    `insert into anchor_states (anchor, seq, state, detail)
     select id, seq + 1, 'abandoned', $4 from current_anchors
     where target = $1 and chain_id = $2 and genesis = $3 and state <> 'abandoned' on conflict do nothing`,
    [target, chainId, genesis, REPLACED],
  )
}

const GIVEN_UP = `${KEY} and state = 'abandoned' and detail = $5 and size <= $6`

/** Whether anchors were abandoned because their chain was replaced, of which the chain with that first block may hold some: up to `held`. */
export async function hasGivenUp(db: Db, place: LogOnChain, held: number): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from current_anchors where ${GIVEN_UP}) as found`,
    [...key(place), REPLACED, held],
  )
  return rows[0]!.found
}

/** Plans those anew. What was sent for them is still known, so one that is in its block counts again without a transaction. */
export async function takeUpAgain(db: Db, place: LogOnChain, held: number): Promise<void> {
  await db.query(
    `insert into anchor_states (anchor, seq, state) select id, seq + 1, 'planned' from current_anchors where ${GIVEN_UP}
     on conflict do nothing`,
    [...key(place), REPLACED, held],
  )
}
