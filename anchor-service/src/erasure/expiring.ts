/**
 * Lets contents of events expire as policies say: it looks for what is due, and has it erased by orders that name the policy. How old
 * an event is, anchors say, and no clock of this machine. What a hold covers is left, and looked at again once holds change. Batches of
 * which everything has expired are dropped once a policy says so (dropping.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ErasedEvent,
  isCovered,
  isHeld,
  KEPT_FIELD,
  nodePrimitives,
  type RetentionPolicy,
  SYSTEM,
} from '@killick/sdk/core'
import type pg from 'pg'
import { type Db, keepSession } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { parseOrNull, readLines } from '../ledger/packs/read-pack.ts'
import { countDue, dropBatches, surveyBatches } from './dropping.ts'
import type { Erasing } from './erasing.ts'
import { readHolds, type StoredHold } from './holds.ts'
import { type AnchorClock, readClock, readDue, readPolicies, type StoredPolicy } from './policies.ts'

/** What a look at events found: those that lose contents, in the order of the log, and how many a hold covers. */
export type Survey = {
  list: (ErasedEvent & { number: number })[]
  held: number
  /** Number of the event to go on from; null: it looked at all that is due. */
  next: number | null
}

/** What the last pass of this process found of a policy. */
export type PolicyState = {
  /** Events that are due and not ordered yet; null: the pass ended at its limit before it had seen all. */
  due: number | null
  /** Events that are due and held, among those that were looked at. */
  held: number
  /** The same of events that are due to be dropped; 0 where the policy keeps events. */
  dropHeld: number
}

export type Expiring = {
  /** Looks for what a policy would let expire, and drop, now, as if it stood beside the others. Changes nothing. */
  dryRun(
    policy: Omit<RetentionPolicy, 'version'>,
  ): Promise<Survey & { drop: { events: number; held: number; isWhole: boolean } }>
  /** By policy, and when the last pass of this process ended; null: it made none, or another process makes them. */
  status(): { policies: ReadonlyMap<string, PolicyState>; lastPass: Date | null; failures: number }
  /** Ends after the order or drop under way. */
  close(): Promise<void>
}

export type ExpiringDeps = {
  pool: pg.Pool
  ledger: Ledger
  erasing: Pick<Erasing, 'expire'>
  /** Time between two passes, ms; 0: none is made. */
  intervalMs: number
  /** Most events that one pass lets expire by one policy, and about as many that it drops. */
  most: number
  /** Called when events were ordered to expire. */
  expired?: (told: { policy: string; version: number; events: number }) => void
  /** Called when batches were dropped. */
  dropped?: (told: { policy: string; version: number; batches: number; events: number }) => Promise<void>
  /** Called when a pass failed; the next one is made at its time. */
  failed?: (err: Error) => void
}

/** One process of those on a database lets events expire. */
const EXPIRING_LOCK = 7_019_328
/** Packs that are read at a time, and most events that one look reads. */
const PACKS_AT_ONCE = 16
const MAX_READ = 250_000
/** Most events that a dry run counts. */
const MAX_COUNTED = 100_000

/** What events are held against. `others`: policies that keep an event for longer, where they cover it too */
type Rule = {
  policy: Pick<StoredPolicy, 'covers'>
  others: readonly StoredPolicy[]
  holds: readonly StoredHold[]
}

type PackRow = { first_event: number; pos: number; n: number; body: Buffer; source: string; stream: string }

/** Looks at events from a number on, up to a log entry (exclusive). */
async function survey(
  db: Db,
  { policy, others, holds }: Rule,
  from: number,
  due: number,
  most: number,
): Promise<Survey> {
  const { source = null, stream = null } = policy.covers
  const list: Survey['list'] = []
  let [held, read, at] = [0, 0, from]
  for (;;) {
    // Packs of which everything has expired are not read again.
    const { rows } = await db.query<PackRow>(
      `select p.first_event::float8 as first_event, p.pos, p.n, p.body, b.source, b.stream from packs p join batches b using (log_index)
       where p.first_event >= $1
         and p.first_event < coalesce((select first_event from batches where log_index = $2), 9223372036854775807)
         and b.source <> $3 and ($4::text is null or b.source = $4) and ($5::text is null or b.stream = $5)
         and (select count(*) from erased d join erasures e on e.log_index = d.erasure
              where d.number >= p.first_event and d.number < p.first_event + p.n and e.policy is not null) < p.n
       order by p.first_event limit ${PACKS_AT_ONCE}`,
      [at, due, SYSTEM.source, source, stream],
    )
    for (const pack of rows) {
      const line = await readLines(pack.body, pack.pos)
      for (let i = 0; i < pack.n; i++) {
        // What cannot be read is reported by the audit; nobody can tell what of it would go.
        const event = parseOrNull(line(i))
        if (event === null) continue
        const shown = { source: event.source, stream: event.stream, action: event.fields[KEPT_FIELD] }
        if (!isCovered(policy, shown) || others.some((other) => isCovered(other, shown))) continue
        const going = event.disclosures.filter(({ name }) => name !== KEPT_FIELD)
        if (going.length === 0) continue
        if (holds.some((hold) => isHeld(hold.covers, event))) {
          held += 1
          continue
        }
        const digests = going.map(({ text }) => nodePrimitives.digest(text)).sort()
        list.push({ number: pack.first_event + i, leafHash: event.leafHash, digests })
      }
      read += pack.n
      at = pack.first_event + pack.n
      if (list.length >= most || read >= MAX_READ) return { list, held, next: at }
    }
    if (rows.length < PACKS_AT_ONCE) return { list, held, next: null }
  }
}

const hasChanged = (error: unknown) => error instanceof Refusal && error.code === 'retention_changed'

const longer = (all: readonly StoredPolicy[], { id, contentsDays }: Pick<StoredPolicy, 'id' | 'contentsDays'>) =>
  all.filter((other) => other.id !== id && other.contentsDays > contentsDays)

/** What a list was made by: if this has changed, it is made again. */
const keyOf = (policies: readonly StoredPolicy[], holds: readonly StoredHold[]) =>
  JSON.stringify([policies.map(({ logIndex }) => logIndex), holds.map(({ id }) => id)])

export function keepExpiring(deps: ExpiringDeps): Expiring {
  const { pool, ledger, erasing, intervalMs, most, expired, dropped, failed } = deps
  const stop = new AbortController()
  let lastPass: Date | null = null
  let failures = 0
  let states: ReadonlyMap<string, PolicyState> = new Map()
  /** Where each policy's next look begins, and how many events before that were held. */
  type Walked = Map<string, { next: number; held: number }>
  let walked: { key: string; at: Walked; drops: Walked } = { key: '', at: new Map(), drops: new Map() }

  /** Goes once over the policies, if no other process does, and what was ordered before was carried out. */
  async function pass(): Promise<void> {
    const client = await pool.connect()
    let failure: Error | undefined
    let leave = async () => {}
    try {
      const { rows } = await client.query('select pg_try_advisory_lock($1) as mine', [EXPIRING_LOCK])
      if (!rows[0].mine) {
        lastPass = null
        states = new Map()
        return
      }
      leave = keepSession(client)
      const open = await pool.query(
        `select from erasures e where policy is not null and not exists (select from erasure_ends d where d.erasure = e.log_index) limit 1`,
      )
      if (open.rowCount === 0) await goOver()
    } catch (error) {
      failure = error as Error
      throw error
    } finally {
      await leave()
      await client.query('select pg_advisory_unlock($1)', [EXPIRING_LOCK]).catch((error: Error) => {
        failure = error
      })
      client.release(failure)
    }
  }

  async function goOver(): Promise<void> {
    const [policies, holds, clock] = [await readPolicies(pool), await readHolds(pool), await readClock(pool)]
    const key = keyOf(policies, holds)
    if (walked.key !== key) walked = { key, at: new Map(), drops: new Map() }
    const found = new Map<string, PolicyState>()
    for (const policy of policies) {
      if (stop.signal.aborted) return
      const none = { due: 0, held: 0, dropHeld: 0 }
      // A policy counts from when an anchor shows that it is in the log.
      const isCounted = clock !== null && policy.logIndex < clock.size
      found.set(policy.id, isCounted ? await goBy(policy, policies, holds, clock) : none)
    }
    states = found
    lastPass = new Date()
  }

  async function goBy(
    policy: StoredPolicy,
    policies: readonly StoredPolicy[],
    holds: readonly StoredHold[],
    { size, time, place }: AnchorClock,
  ): Promise<PolicyState> {
    const dropHeld = await dropBy(policy, policies, holds, { size, time, place })
    const due = await readDue(pool, { size, time, place }, policy.contentsDays)
    const before = walked.at.get(policy.id) ?? { next: 0, held: 0 }
    const rule = { policy, others: longer(policies, policy), holds }
    const { list, held, next } = await survey(pool, rule, before.next, due, most)
    if (list.length > 0) {
      const { id, version, logIndex } = policy
      try {
        await erasing.expire({ id, version, size, time, logIndex }, list, async (db) => {
          await refuseChanged(db)
          const twice = await db.query(
            `select from erased d join erasures e on e.log_index = d.erasure where e.policy is not null and d.number = any($1::bigint[]) limit 1`,
            [list.map(({ number }) => number)],
          )
          if (twice.rowCount! > 0) throw new Refusal('retention_changed')
        })
      } catch (error) {
        if (!hasChanged(error)) throw error
        return { due: null, held, dropHeld }
      }
      expired?.({ policy: id, version, events: list.length })
    }
    // What becomes due later begins where this look ended: the log only grows.
    const end = next ?? (await firstEventAt(pool, due))
    walked.at.set(policy.id, { next: end, held: before.held + held })
    return { due: next === null ? 0 : null, held: before.held + held, dropHeld }
  }

  /** Refuses what was found by policies and holds that are not the same any more. */
  async function refuseChanged(db: Db): Promise<void> {
    if (keyOf(await readPolicies(db), await readHolds(db)) !== walked.key) throw new Refusal('retention_changed')
  }

  /** Drops what is due by a policy. @returns how many events that are due are held */
  async function dropBy(
    policy: StoredPolicy,
    policies: readonly StoredPolicy[],
    holds: readonly StoredHold[],
    clock: AnchorClock,
  ): Promise<number> {
    if (policy.eventsDays === undefined) return 0
    const due = await readDue(pool, clock, policy.eventsDays)
    const place = walked.drops.get(policy.id) ?? { next: 0, held: 0 }
    walked.drops.set(policy.id, place)
    for (let events = 0, isWhole = false; !isWhole && events < most && !stop.signal.aborted; ) {
      const rule = { policy, others: policies, holds }
      const survey = await surveyBatches(pool, rule, place.next, due)
      const { batches, next, held } = survey
      isWhole = survey.isWhole || batches.length === 0
      if (batches.length > 0) {
        try {
          await dropBatches(ledger, policy, clock, batches, refuseChanged)
        } catch (error) {
          if (!hasChanged(error)) throw error
          break
        }
        const count = batches.reduce((sum, { n }) => sum + n, 0)
        events += count
        await dropped?.({ policy: policy.id, version: policy.version, batches: batches.length, events: count })
      }
      place.next = next
      place.held += held
    }
    return place.held
  }

  async function run(): Promise<void> {
    while (intervalMs > 0 && !stop.signal.aborted) {
      await pass().catch((error: Error) => {
        if (stop.signal.aborted) return
        failures += 1
        failed?.(error)
      })
      await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => {})
    }
  }

  const running = run()

  return {
    async dryRun(policy) {
      const clock = await readClock(pool)
      const drop = { events: 0, held: 0, isWhole: true }
      if (clock === null) return { list: [], held: 0, next: null, drop }
      const [others, holds] = [await readPolicies(pool), await readHolds(pool)]
      const due = await readDue(pool, clock, policy.contentsDays)
      const found = await survey(pool, { policy, others: longer(others, policy), holds }, 0, due, MAX_COUNTED)
      if (policy.eventsDays === undefined) return { ...found, drop }
      const dropDue = await readDue(pool, clock, policy.eventsDays)
      return { ...found, drop: await countDue(pool, { policy, others, holds }, dropDue, MAX_COUNTED) }
    },
    status: () => ({ policies: states, lastPass, failures }),
    async close() {
      stop.abort()
      await running
    },
  }
}

/** Number of the first event from a log entry on. */
async function firstEventAt(db: Db, logIndex: number): Promise<number> {
  const { rows } = await db.query<{ first: number }>(
    `select coalesce((select first_event from batches where log_index = $1),
       (select first_event + n from batches order by log_index desc limit 1), 0)::float8 as first`,
    [logIndex],
  )
  return rows[0]!.first
}
