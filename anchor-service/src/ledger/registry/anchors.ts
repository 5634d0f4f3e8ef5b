import { type Anchor, asHash, type Hash } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'

/** Where checkpoints are anchored. Hex is 0x and lower case. */
export type AnchorTarget = { target: string; chainId: number; contract: string; logId: string }

/** planned → signed → broadcast → mined → confirmed → final; the other states lead back to planned, or end the anchor. */
export type AnchorState =
  | 'planned'
  | 'signed'
  | 'broadcast'
  | 'mined'
  | 'confirmed'
  | 'final'
  | 'dropped'
  | 'replaced'
  | 'reverted'
  | 'reorganised'
  | 'abandoned'

/** What is known when an anchor changes its state. Each row is complete, so facts that still hold are repeated. */
export type AnchorFacts = {
  transaction?: string | null
  raw?: string | null
  sender?: string | null
  nonce?: number | null
  /** wei per gas, as decimal text, like the other fees */
  maxFee?: string | null
  maxPriorityFee?: string | null
  block?: number | null
  blockHash?: string | null
  /** block time, unix seconds */
  time?: number | null
  confirmations?: number | null
  gasUsed?: number | null
  gasPrice?: string | null
  detail?: string | null
}

/**
 * Digest (base64url) of everything recorded of an anchor before its state `seq`. So an event that tells of one state also covers
 * earlier states that have no event.
 */
export async function readHistory(db: Db, anchor: number, seq: number): Promise<string> {
  const { rows } = await db.query<{ digest: Buffer }>(
    `select sha256(convert_to(coalesce(string_agg(line, E'\n' order by seq), ''), 'UTF8')) as digest from (
       select seq, json_build_array(seq, state, (extract(epoch from recorded_at) * 1000000)::bigint, log_index, transaction, raw,
         sender, nonce, max_fee, max_priority_fee, block, block_hash, time, confirmations, gas_used, gas_price, detail)::text as line
       from anchor_states where anchor = $1 and seq < $2) lines`,
    [anchor, seq],
  )
  return rows[0]!.digest.toString('base64url')
}

export type StoredAnchor = AnchorTarget &
  Required<AnchorFacts> & {
    id: number
    size: number
    root: Hash
    state: AnchorState
    plannedAt: Date
    recordedAt: Date
    /** How many events this anchor is the first of its log to cover. */
    events: number
    /** Its cost in wei, as decimal text; null while it is not in a block. */
    fee: string | null
    feePerEvent: string | null
  }

/** Anchors in their current state, newest first; `before` is the id of the last anchor of the page before. */
export async function readAnchors(
  db: Db,
  page: { limit: number; before?: number | undefined; states?: readonly AnchorState[]; target?: AnchorTarget },
): Promise<StoredAnchor[]> {
  const { rows } = await db.query(
    `select a.*, before.events as events_before from current_anchors a
     left join lateral (
       select events from current_anchors b where (b.chain_id, b.genesis, b.contract, b.log_id) = (a.chain_id, a.genesis, a.contract, a.log_id)
         and b.size < a.size and b.state in ('confirmed', 'final') order by b.size desc limit 1) before on true
     where ($2::bigint is null or a.id < $2) and ($3::text[] is null or a.state = any($3))
       and ($4::bigint is null or (a.chain_id = $4 and a.contract = $5 and a.log_id = $6)) and a.size > 0
     order by a.id desc limit $1`,
    [
      page.limit,
      page.before ?? null,
      page.states ?? null,
      page.target?.chainId ?? null,
      page.target?.contract ?? null,
      page.target?.logId ?? null,
    ],
  )
  return rows.map(toAnchor)
}

/**
 * Of each of the 16 newest targets the smallest confirmed anchor that covers a log entry, each with the last one before it of the
 * same place that does not cover the entry yet: for SQL, as JSON, so that whoever reads a log entry reads them with it. A target that
 * has moved, to another chain or contract, counts where it was anchored last: a verifier could not ask the old place.
 *
 * Planned once: `asked` keeps PostgreSQL from planning for each log entry anew.
 */
export const provingAnchors = (logIndex: string): string => `(
  with recursive asked as materialized (select ${logIndex} as log_index),
    places as (
      (select chain_id, genesis, contract, log_id from anchors order by 1, 2, 3, 4 limit 1)
      union all
      select next.* from places p cross join lateral (
        select chain_id, genesis, contract, log_id from anchors
        where (chain_id, genesis, contract, log_id) > (p.chain_id, p.genesis, p.contract, p.log_id)
        order by 1, 2, 3, 4 limit 1) next)
  select json_agg(json_build_object('id', id, 'chainId', chain_id, 'contract', contract, 'logId', log_id, 'size', size,
    'root', encode(root, 'hex'), 'time', time, 'transaction', transaction, 'block', block, 'before', before))
  from (
    select latest.*, before from (
      select distinct on (target) smallest.* from places p cross join lateral (
        select * from current_anchors a
        where (a.chain_id, a.genesis, a.contract, a.log_id) = (p.chain_id, p.genesis, p.contract, p.log_id)
          and size > (select log_index from asked) and state in ('confirmed', 'final') order by size limit 1) smallest
      order by target, id desc) latest
    left join lateral (
      select json_build_object('size', size, 'root', encode(root, 'hex'), 'time', time, 'transaction', transaction, 'block', block) as before
      from current_anchors b
      where (b.chain_id, b.genesis, b.contract, b.log_id) = (latest.chain_id, latest.genesis, latest.contract, latest.log_id)
        and size > 0 and size <= (select log_index from asked) and state in ('confirmed', 'final')
      order by size desc limit 1) earlier on true
    order by latest.id desc limit 16) proving)`

type EarlierRow = { size: number; root: string; time: number; transaction: string; block: number }
/** What `provingAnchors` gives, in no order; null: there are none. */
export type ProvingRow = EarlierRow & {
  id: number
  chainId: number
  contract: string
  logId: string
  before: EarlierRow | null
}

/** These anchors, the smallest size first. */
export function toProving(rows: readonly ProvingRow[] | null): Anchor[] {
  const toRoot = (hex: string) => asHash(Uint8Array.from(Buffer.from(hex, 'hex')))
  return (rows ?? [])
    .toSorted((a, b) => a.size - b.size || a.id - b.id)
    .map(({ id: _, root, before, ...anchor }) => ({
      ...anchor,
      root: toRoot(root),
      ...(before && { before: { ...before, root: toRoot(before.root) } }),
    }))
}

const PROVING = { name: 'proving_anchors', text: `select ${provingAnchors('$1::bigint')} as rows` }

/** The anchors of `provingAnchors`, the smallest size first. */
export async function readProvingAnchors(db: Db, logIndex: number): Promise<Anchor[]> {
  const { rows } = await db.query<{ rows: ProvingRow[] | null }>({ ...PROVING, values: [logIndex] })
  return toProving(rows[0]!.rows)
}

/** The smallest confirmed anchor of a chain, contract and log that covers a log entry, up to a size. */
export async function readCoveringAnchor(
  db: Db,
  { chainId, contract, logId }: Omit<AnchorTarget, 'target'>,
  logIndex: number,
  most: number,
): Promise<Anchor | null> {
  const { rows } = await db.query(
    `select * from current_anchors where chain_id = $1 and contract = $2 and log_id = $3 and size > $4 and size <= $5
       and state in ('confirmed', 'final') order by size, id desc limit 1`,
    [chainId, contract, logId, logIndex, most],
  )
  return rows[0] ? toProven(toAnchor(rows[0])) : null
}

/** The part of a confirmed anchor that a proof carries. */
function toProven({ chainId, contract, logId, size, root, time, transaction, block }: StoredAnchor): Anchor {
  return {
    ...{ chainId, contract, logId, size, root },
    ...{ time: time!, transaction: transaction!, block: block! },
  }
}

/** Where each target anchors the log, or last did; newest first. One index lookup for each target. */
export async function readTargets(db: Db): Promise<Omit<AnchorTarget, 'target'>[]> {
  const { rows } = await db.query(
    `with recursive latest as (
       (select id, target, chain_id, contract, log_id from anchors order by target desc, id desc limit 1)
       union all
       select next.* from latest l cross join lateral (
         select id, target, chain_id, contract, log_id from anchors where target < l.target
         order by target desc, id desc limit 1) next)
     select * from latest order by id desc`,
  )
  return rows.map((row) => ({ chainId: row.chain_id, contract: row.contract, logId: row.log_id }))
}

/**
 * The largest confirmed anchor of each target, where it anchors now or did last; newest target first. Where a target anchored
 * before it moved does not count: a verifier could not ask there.
 */
export async function readNewestAnchors(db: Db): Promise<Omit<Anchor, 'root' | 'before'>[]> {
  const { rows } = await db.query(
    `with recursive latest as (
       (select id, target, chain_id, genesis, contract, log_id from anchors order by target desc, id desc limit 1)
       union all
       select next.* from latest l cross join lateral (
         select id, target, chain_id, genesis, contract, log_id from anchors where target < l.target
         order by target desc, id desc limit 1) next)
     select newest.* from latest l cross join lateral (
       select * from current_anchors a
       where (a.chain_id, a.genesis, a.contract, a.log_id) = (l.chain_id, l.genesis, l.contract, l.log_id)
         and a.size > 0 and a.state in ('confirmed', 'final') order by a.size desc limit 1) newest
     order by l.id desc`,
  )
  return rows.map((row) => {
    const { root: _, ...anchor } = toProven(toAnchor(row))
    return anchor
  })
}

/** The largest confirmed anchored size of all targets; 0 when nothing is anchored. */
export async function readAnchoredSize(db: Db): Promise<number> {
  const { rows } = await db.query(
    `select size from current_anchors where state in ('confirmed', 'final') order by size desc limit 1`,
  )
  return rows[0]?.size ?? 0
}

// biome-ignore lint/suspicious/noExplicitAny: a row of current_anchors, as the migration defines it
function toAnchor(row: any): StoredAnchor {
  const events = row.events - (row.events_before ?? 0)
  const fee = row.gas_used === null ? null : BigInt(row.gas_used) * BigInt(row.gas_price)
  return {
    ...{ id: row.id, target: row.target, chainId: row.chain_id, contract: row.contract, logId: row.log_id },
    ...{ size: row.size, root: asHash(new Uint8Array(row.root)), state: row.state },
    ...{ plannedAt: row.planned_at, recordedAt: row.recorded_at },
    ...{ transaction: row.transaction, raw: row.raw, sender: row.sender, nonce: row.nonce },
    ...{ maxFee: row.max_fee, maxPriorityFee: row.max_priority_fee, gasUsed: row.gas_used, gasPrice: row.gas_price },
    ...{ block: row.block, blockHash: row.block_hash, time: row.time, confirmations: row.confirmations },
    ...{ detail: row.detail, events, fee: fee?.toString() ?? null },
    feePerEvent: fee === null || events === 0 ? null : (fee / BigInt(events)).toString(),
  }
}
