/**
 * Drops batches by retention policies: after more days than contents are kept, events themselves go, and headers and leaf hashes stay. What
 * is due and what is kept is judged by what stays, so that everybody can judge it later; and nothing goes that still shows contents.
 * docs/PROTOCOL.md §17.
 */
import { dropFields, KEPT_FIELD, keptFrom, type RetentionDrop } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { SCHEMES } from '../ledger/packs/filters.ts'
import { keysOfDropped } from '../ledger/packs/make-keys.ts'
import { MAX_PACK_EVENTS, parseOrNull, readLines } from '../ledger/packs/read-pack.ts'
import { insertDrop, readDroppedBy } from '../ledger/registry/drops.ts'
import { lockHolds, type StoredHold } from './holds.ts'
import type { AnchorClock, StoredPolicy } from './policies.ts'

/** What a look at batches found, in events. */
export type DropSurvey = {
  batches: DueBatch[]
  held: number
  /** Log entry to go on from. */
  next: number
  /** Whether it looked at all that is due. */
  isWhole: boolean
}

/** A batch that may be dropped. */
export type DueBatch = { logIndex: number; source: string; stream: string; n: number; first: number }

type Rule = {
  policy: Omit<StoredPolicy, 'version' | 'logIndex' | 'ended' | 'createdAt'>
  others: readonly StoredPolicy[]
  holds: readonly StoredHold[]
}

/** Batches that are read at a time. */
const PAGE = 64
/** Most packs of one drop, whose rows are written in the log's transaction: about a millisecond each. It has one batch at least, and so many at most. */
const MAX_PACKS = 64

/** Batches from a log entry on, up to another (exclusive), that a policy may drop by their age, and those that are held. */
async function* dueBatches(
  db: Db,
  { policy, others, holds }: Rule,
  from: number,
  due: number,
): AsyncGenerator<{ batch: DueBatch; isHeld: boolean }> {
  const { source = null, stream = null } = policy.covers
  const covers = holds.map((hold) => hold.covers)
  for (let at = from; ; ) {
    const { rows } = await db.query<DueBatch>(
      `select log_index::float8 as "logIndex", source, stream, n, first_event::float8 as first from batches b
       where log_index >= $1 and log_index < $2 and ($3::text is null or source = $3) and ($4::text is null or stream = $4)
         and not exists (select from drops d where d.entries @> b.log_index)
       order by log_index limit ${PAGE}`,
      [at, due, source, stream],
    )
    for (const batch of rows) {
      const why = keptFrom(policy, batch, others, covers)
      if (why === null || why === 'held') yield { batch, isHeld: why === 'held' }
    }
    if (rows.length < PAGE) return
    at = rows.at(-1)!.logIndex + 1
  }
}

/** Looks at batches from a log entry on, up to another (exclusive), for what one drop may have. */
export async function surveyBatches(db: Db, rule: Rule, from: number, due: number): Promise<DropSurvey> {
  const batches: DueBatch[] = []
  let [held, packs] = [0, 0]
  for await (const { batch, isHeld } of dueBatches(db, rule, from, due)) {
    const state = isHeld ? 'held' : await readState(db, batch)
    packs += state === 'empty' ? Math.ceil(batch.n / MAX_PACK_EVENTS) : 0
    const isFull = batches.length > 0 && packs > MAX_PACKS
    // Contents are to expire first, which is under way.
    if (state === 'whole' || (state === 'empty' && isFull))
      return { batches, held, next: batch.logIndex, isWhole: false }
    if (state === 'empty') batches.push(batch)
    if (state === 'held') held += batch.n
  }
  return { batches, held, next: Math.max(from, due), isWhole: true }
}

/** How many events a policy would drop by their age, whether or not their contents have expired yet; at most about `most`. */
export async function countDue(
  db: Db,
  rule: Rule,
  due: number,
  most: number,
): Promise<{ events: number; held: number; isWhole: boolean }> {
  const count = { events: 0, held: 0, isWhole: true }
  for await (const { batch, isHeld } of dueBatches(db, rule, 0, due)) {
    if (count.events + count.held >= most) return { ...count, isWhole: false }
    count[isHeld ? 'held' : 'events'] += batch.n
  }
  return count
}

/** Their log entries, as a drop names them. */
function stretchesOf(batches: readonly DueBatch[]): [first: number, last: number][] {
  const stretches: [number, number][] = []
  for (const { logIndex } of batches) {
    const last = stretches.at(-1)
    if (last?.[1] === logIndex - 1) last[1] = logIndex
    else stretches.push([logIndex, logIndex])
  }
  return stretches
}

/**
 * What a batch shows. `empty`: no event shows another field than `action`; `whole`: one does; `unreadable`: an event cannot be read, which
 * the audit reports, and nobody can tell what it shows.
 */
async function readState(db: Db, { first, n }: DueBatch): Promise<'empty' | 'whole' | 'unreadable'> {
  const { rows } = await db.query<{ pos: number; n: number; body: Buffer }>(
    'select pos, n, body from packs where first_event >= $1 and first_event < $2 order by first_event',
    [first, first + n],
  )
  for (const pack of rows) {
    const line = await readLines(pack.body, pack.pos)
    for (let i = 0; i < pack.n; i++) {
      const event = parseOrNull(line(i))
      if (event === null) return 'unreadable'
      if (event.disclosures.some(({ name }) => name !== KEPT_FIELD)) return 'whole'
    }
  }
  return 'empty'
}

/**
 * Drops batches, in one transaction with the event that says so.
 * @param check refuses, in that transaction, if what they were found by does not hold any more
 * @throws Refusal retention_changed
 */
export async function dropBatches(
  ledger: Ledger,
  { id, version, logIndex: policy }: StoredPolicy,
  { size, time }: AnchorClock,
  batches: readonly DueBatch[],
  check: (db: Db) => Promise<void>,
): Promise<void> {
  const events = batches.reduce((sum, { n }) => sum + n, 0)
  const drop: RetentionDrop = { id, version, size, time, entries: stretchesOf(batches), events }
  const actor = { type: 'ledger', id: ledger.log.origin }
  await ledger.record({ actor, ...dropFields(drop) }, async (db, logIndex) => {
    await lockHolds(db)
    await check(db)
    const entries = batches.map((batch) => batch.logIndex)
    if ((await readDroppedBy(db, entries)).size > 0) throw new Refusal('retention_changed')
    await insertDrop(db, logIndex, drop, policy)
    await emptyPacks(db, entries)
  })
}

/** Batches whose packs are emptied at a time. */
const EMPTIED = 16

/** Empties again, one after another, what drops of the log took and the database has again. @returns how many events that were */
export async function emptyAgain(db: Db): Promise<number> {
  for (let events = 0; ; ) {
    const { rows } = await db.query<{ entry: number }>(
      `select distinct p.log_index::float8 as entry from packs p join drops d on d.entries @> p.log_index where p.body <> '' limit ${EMPTIED}`,
    )
    if (rows.length === 0) return events
    const emptied = await emptyPacks(
      db,
      rows.map(({ entry }) => entry),
    )
    // A pack that is not where the log puts its events is for the audit to report.
    if (emptied === 0) return events
    events += emptied
  }
}

type PackRow = { first: number; n: number; source: string; stream: string; leaves: Buffer }

/** Empties the packs of batches that a drop names. @returns how many events they held */
export async function emptyPacks(db: Db, entries: readonly number[]): Promise<number> {
  const { rows } = await db.query<PackRow>(
    `select p.first_event::float8 as first, p.n, b.source, b.stream, substr(b.event_leaves, 32 * p.pos + 1, 32 * p.n) as leaves
     from batches b join packs p on p.first_event >= b.first_event and p.first_event < b.first_event + b.n
     where b.log_index = any($1::bigint[]) and p.body <> '' order by p.first_event`,
    [entries],
  )
  for (const { first, ...pack } of rows) {
    const schemes = Object.keys(SCHEMES).map(Number)
    const made = schemes.map((scheme) => keysOfDropped(pack, scheme))
    await db.query('select drop_pack($1, $2, $3, $4)', [
      ...[first, schemes, made.map(({ keys }) => keys), made[0]!.key_counts],
    ])
  }
  return rows.reduce((sum, { n }) => sum + n, 0)
}
