/** How the log stands, and how far it is anchored: what the front door shows. */
import { type Anchor, SYSTEM } from '@killick/sdk/core'
import type { Db } from '../../database/pool.ts'
import { readNewestAnchors } from '../registry/anchors.ts'

/** Of an anchor what tells where to look for it; hex is 0x and lower case, the time is that of its block, in unix seconds. */
export type NewestAnchor = Pick<Anchor, 'chainId' | 'contract' | 'logId' | 'size' | 'block' | 'time' | 'transaction'>

export type Standing = {
  entries: number
  events: number
  /** The newest confirmed anchor of each target. */
  anchors: NewestAnchor[]
  /**
   * Everything that was accepted up to this time is anchored; null: nothing is, or the log is shorter than what was anchored.
   * By the clock of the database; the time of this answer, unless `rest` is `entries`.
   */
  upTo: Date | null
  /** What the log holds behind the newest anchor: nothing, entries of the ledger's own alone, or what sources recorded. */
  rest: 'nothing' | 'own' | 'entries'
  /** Entries behind it. */
  open: number
}

/** Entries behind an anchor that are looked at for being the ledger's own; more of them count as entries of sources. */
const MAX_OWN = 1000

export async function readStanding(db: Db): Promise<Standing> {
  const anchors = await readNewestAnchors(db)
  const size = Math.max(0, ...anchors.map((anchor) => anchor.size))
  // One statement sees one log. Entries behind a checkpoint were accepted after it was signed.
  const { rows } = await db.query<{ entries: number; events: number; now: Date; signed: Date | null; own: boolean }>(
    `select coalesce(log_index + 1, 0)::float8 as entries, coalesce(first_event + n, 0)::float8 as events, now(),
            (select signed_at from checkpoints where size <= $1 order by size desc limit 1) as signed,
            (select count(*) < $3 and coalesce(bool_and(source = $2), true)
             from (select source from batches where log_index >= $1 order by log_index limit $3) behind) as own
     from (select) one left join (select log_index, first_event, n from batches order by log_index desc limit 1) last on true`,
    [size, SYSTEM.source, MAX_OWN],
  )
  const { entries, events, now, signed, own } = rows[0]!
  const open = Math.max(0, entries - size)
  const rest = open === 0 ? 'nothing' : own ? 'own' : 'entries'
  const upTo = size === 0 || size > entries ? null : rest === 'entries' ? signed : now
  return { entries, events, anchors, upTo, rest, open }
}
