/**
 * Carries out orders of erasure: an order is recorded first, with the list of what goes, and then carried out pack by pack. What was
 * not finished is taken up at the next start, from the list, so an order that was recorded is never half done for good.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type DecidedBy,
  type ErasedEvent,
  type Erasure,
  type EventInput,
  equalBytes,
  erasedLeaf,
  erasureEndFields,
  erasureFields,
  isHeld,
  printHash,
  treeRoot,
} from '@killick/sdk/core'
import type pg from 'pg'
import { type Db, keepSession } from '../database/pool.ts'
import { Refusal } from '../errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import {
  AlreadyRecorded,
  insertErasure,
  insertErasureEnd,
  readErased,
  readErasure,
  readListRoot,
  readOpenErasures,
  type StoredErasure,
} from '../ledger/registry/erasures.ts'
import { erasePacks } from './carry-out.ts'
import { lockHolds, readHolds } from './holds.ts'
import { type KeptOrders, readWords } from './kept-orders.ts'
import { refuseOther, type Words } from './same-order.ts'
import { type Chosen, type Selected, type Selection, select, selectAgain, selectListed } from './select.ts'

/** What was ordered. `id`: a UUID that the caller chose, so that an order that is sent again is not made twice */
export type Order = {
  id?: string | undefined
  selection: Selection
  reason: string
  legalBasis: string | null
  order: string | null
}

/** What an order would do. */
export type DryRun = {
  events: number
  fields: number
  /** How many of the events holds cover, with the ids of the holds. An order about such an event is refused. */
  held: number
  holds: string[]
  /** Events that cannot be read, of which nothing would go. */
  unreadable: number
  samples: { id: string; leafHash: string; source: string; recordedAt: string; fields: string[] }[]
}

export type Erasing = {
  dryRun(selection: Selection): Promise<DryRun>
  /** The order that was recorded under its id; null: none was. @throws Refusal erasure_id_taken, if that is another */
  known(order: Order): Promise<StoredErasure | null>
  /**
   * Records an order and begins to carry it out; one that is known is not made again.
   * @throws Refusal erasure_held | erasure_empty | erasure_too_large | erasure_id_taken | request_invalid | event_not_found
   */
  order(order: Order, actor: EventInput['actor']): Promise<StoredErasure>
  /**
   * What an order would say and name, for a second person to confirm. Records nothing.
   * @throws Refusal as `order` does
   */
  prepare(order: Order): Promise<{ erasure: Erasure; list: (ErasedEvent & { number: number })[] }>
  /** What an order that was prepared would do now. */
  preview(list: readonly (ErasedEvent & { number: number })[]): Promise<DryRun>
  /**
   * Records an order that was prepared, and begins to carry it out.
   * @param settle refuses, in the order's transaction, if it may not be confirmed any more
   * @throws Refusal erasure_held | erasure_unreadable
   */
  confirm(
    said: Words & { id: string; confirmed: DecidedBy },
    list: readonly (ErasedEvent & { number: number })[],
    actor: EventInput['actor'],
    settle: (db: Db, logIndex: number) => Promise<void>,
  ): Promise<void>
  /**
   * Orders again what an order named and the database has again. @returns the new order, null where nothing of it is left to go; and leaf
   * hashes of those of its events that are left: that holds cover, with the holds, and that cannot be read
   */
  repeat(
    order: Words & { entries: readonly ErasedEvent[] },
    actor: EventInput['actor'],
  ): Promise<{ erasure: StoredErasure | null; held: string[]; holds: string[]; unreadable: string[] }>
  /**
   * Records that events expire, and begins to carry it out.
   * @param by policy and anchor; with the log index of the policy's event
   * @param check refuses, in the order's transaction, if what the list was made by does not hold any more
   */
  expire(
    by: NonNullable<Erasure['policy']> & { logIndex: number },
    list: readonly (ErasedEvent & { number: number })[],
    check: (db: Db) => Promise<void>,
  ): Promise<void>
  /** How many orders wait or are under way, and how many times one could not be carried on. */
  status(): { open: number; failures: number }
  /** Ends after the transaction under way; what is left is taken up at the next start. */
  close(): Promise<void>
}

export type ErasingDeps = {
  ledger: Ledger
  pool: pg.Pool
  /** Where orders are kept outside the database, each before it is answered and carried out. Default: nowhere. */
  orders?: Pick<KeptOrders, 'keep'>
  /** Throws where nothing is to be carried out now; it is tried again. */
  guard?: () => Promise<void>
  /** Called when an order was carried out. */
  done?: (erasure: StoredErasure) => void | Promise<void>
  /** Called when one could not be carried on; it is tried again. */
  failed?: (failure: { erasure: string; err: Error }) => void
}

/** The list of an order is not what the order commits to: somebody has altered the database. */
export class ListAltered extends Error {
  override readonly name = 'ListAltered'

  constructor() {
    super('The list of this order in the database is not what the order commits to. Nothing of it is carried out.')
  }
}

/** How many entries of a list are read at a time, and packs that one transaction replaces. */
const PAGE = 2000
const PACKS_AT_ONCE = 8
/** How long to leave the machine to others, in times of what the last transaction took. */
const REST = 1
const RETRY_MS = 5_000
const SAMPLES = 10
/** One process of those on a database erases. */
export const ERASING_LOCK = 7_019_327

export function keepErasing({ ledger, pool, orders, guard, done, failed }: ErasingDeps): Erasing {
  const stop = new AbortController()
  let open = 0
  let failures = 0
  let wake: () => void = () => {}
  let isAsked = true

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      const asked = new Promise<void>((resolve) => {
        wake = resolve
      })
      if (isAsked) {
        isAsked = false
        const isOver = await visit()
        if (!isOver) {
          isAsked = true
          await sleep(RETRY_MS, undefined, { signal: stop.signal }).catch(() => {})
        }
        continue
      }
      await Promise.race([asked, sleep(10 * RETRY_MS, undefined, { signal: stop.signal }).catch(() => {})])
      // An order may have come through another process that has ended since.
      isAsked = true
    }
  }

  /** Carries out what is open. @returns false if something is left */
  async function visit(): Promise<boolean> {
    let at = ''
    const client = await pool.connect().catch(() => null)
    if (client === null) return false
    let failure: Error | undefined
    let leave = async () => {}
    try {
      await orders?.keep()
      await guard?.()
      const { rows } = await client.query('select pg_try_advisory_lock($1) as mine', [ERASING_LOCK])
      if (!rows[0].mine) {
        open = (await readOpenErasures(pool)).length
        return open === 0
      }
      leave = keepSession(client)
      const altered = new Set<string>()
      for (;;) {
        const waiting = await readOpenErasures(pool)
        open = waiting.length
        const erasure = waiting.find(({ id }) => !altered.has(id))
        if (erasure === undefined || stop.signal.aborted) return altered.size === 0
        at = erasure.id
        await orders?.keep()
        await guard?.()
        // What the order does not name stays, and what it names may not be listed any more. The others do not wait for it.
        if (!(await isWhole(erasure))) {
          altered.add(at)
          tell(at, new ListAltered())
          continue
        }
        if (!(await carryOut(erasure))) return true
        await done?.((await readErasure(pool, erasure.id))!)
      }
    } catch (error) {
      failure = error as Error
      tell(at, failure)
      return false
    } finally {
      await leave()
      await client.query('select pg_advisory_unlock($1)', [ERASING_LOCK]).catch((error: Error) => {
        failure = error
      })
      client.release(failure)
    }
  }

  function tell(erasure: string, err: Error): void {
    if (stop.signal.aborted) return
    failures += 1
    failed?.({ erasure, err })
  }

  /** Whether the database lists what the order commits to. */
  async function isWhole({ logIndex }: StoredErasure): Promise<boolean> {
    const { root } = await readWords(pool, logIndex)
    const listed = await readListRoot(pool, 'erased', logIndex)
    return listed !== null && equalBytes(listed, root)
  }

  /** @returns false if it was stopped before its end */
  async function carryOut(erasure: StoredErasure): Promise<boolean> {
    for (let after = -1; ; ) {
      const page = await readErased(pool, erasure.logIndex, after, PAGE)
      if (page.length === 0) break
      after = page.at(-1)!.pos
      const going = new Map(page.map(({ number, digests }) => [number, digests]))
      const { rows } = await pool.query<{ first: number }>(
        `select distinct p.first_event::float8 as first from unnest($1::bigint[]) as wanted (number) cross join lateral (
           select first_event from packs where first_event <= number order by first_event desc limit 1) p order by first`,
        [[...going.keys()]],
      )
      const packs = rows.map(({ first }) => first)
      while (packs.length > 0) {
        if (stop.signal.aborted) return false
        const started = performance.now()
        await erasePacks(pool, packs.splice(0, PACKS_AT_ONCE), going)
        await sleep(REST * (performance.now() - started), undefined, { signal: stop.signal }).catch(() => {})
      }
    }
    const actor = { type: 'ledger', id: ledger.log.origin }
    await ledger.record({ actor, ...erasureEndFields(erasure.id) }, (db, logIndex) =>
      insertErasureEnd(db, logIndex, erasure.logIndex),
    )
    return true
  }

  /** Records an order with its list. @param check refuses it, in its transaction */
  async function record(
    said: Omit<Erasure, 'count' | 'root'>,
    list: readonly (ErasedEvent & { number: number })[],
    {
      actor,
      policy = null,
      check,
    }: { actor: EventInput['actor']; policy?: number | null; check(db: Db, logIndex: number): Promise<void> },
  ): Promise<void> {
    const root = treeRoot(list.map(erasedLeaf))
    await ledger.record({ actor, ...erasureFields({ ...said, count: list.length, root }) }, async (db, logIndex) => {
      await lockHolds(db)
      await check(db, logIndex)
      await insertErasure(db, logIndex, { id: said.id, root, policy }, list)
    })
    isAsked = true
    open += 1
    wake()
  }

  /** Records somebody's order about these events. @throws Refusal erasure_held */
  async function place(
    { confirmed = null, ...said }: Words & { id: string; confirmed?: DecidedBy | null },
    chosen: readonly Chosen[],
    actor: EventInput['actor'],
    settle: (db: Db, logIndex: number) => Promise<void> = async () => {},
  ) {
    const list = listOf(chosen)
    await record({ ...said, policy: null, confirmed }, list, {
      actor,
      async check(db, logIndex) {
        await settle(db, logIndex)
        const holds = await readHolds(db)
        const held = chosen.filter(({ event }) => holds.some((hold) => isHeld(hold.covers, event)))
        if (held.length === 0) return
        const covering = holds
          .filter((hold) => held.some(({ event }) => isHeld(hold.covers, event)))
          .map(({ id }) => id)
        throw new Refusal('erasure_held', `${held.length} of ${list.length} events are held.`, { holds: covering })
      },
    })
    // Its turn may come late, behind a long one or at the next start, and a restored database would know nothing of it until then. It
    // stands in the log: where it cannot be kept now, it is before it is carried out.
    await orders?.keep().catch((error: Error) => tell(said.id, error))
    return (await readErasure(pool, said.id))!
  }

  /** Reads what somebody's order is about. */
  async function choose(selection: Selection): Promise<Chosen[]> {
    const { chosen, unreadable } = await select(pool, selection, [])
    refuseUnreadable(unreadable)
    if (chosen.length === 0) throw new Refusal('erasure_empty')
    return chosen
  }

  async function known({ id, ...order }: Order): Promise<StoredErasure | null> {
    const erasure = id === undefined ? null : await readErasure(pool, id)
    if (erasure === null) return null
    if (erasure.policy !== null) throw new Refusal('erasure_id_taken')
    const list: (ErasedEvent & { number: number })[] = []
    for (let page = await readErased(pool, erasure.logIndex, -1, PAGE); page.length > 0; ) {
      list.push(...page)
      page = await readErased(pool, erasure.logIndex, page.at(-1)!.pos, PAGE)
    }
    const { reason, legalBasis, order: number, fields } = await readWords(pool, erasure.logIndex)
    await refuseOther(pool, { reason, legalBasis, order: number, fields, list }, order)
    return erasure
  }

  const running = run()

  return {
    known,
    async dryRun(selection) {
      return told(await select(pool, selection, await readHolds(pool)))
    },
    async order(ordered, actor) {
      const { id = randomUUID(), selection, reason, legalBasis, order } = ordered
      const said = { id, reason, legalBasis, order, fields: selection.fields }
      const before = await known(ordered)
      if (before !== null) return before
      return place(said, await choose(selection), actor).catch(async (error) => {
        if (error instanceof AlreadyRecorded) return (await known({ ...ordered, id }))!
        throw error
      })
    },
    async prepare({ id = randomUUID(), selection, reason, legalBasis, order }) {
      const list = listOf(await choose(selection))
      const said = { id, reason, legalBasis, order, fields: selection.fields, policy: null, confirmed: null }
      return { erasure: { ...said, count: list.length, root: treeRoot(list.map(erasedLeaf)) }, list }
    },
    preview: async (list) => told(await selectListed(pool, list, await readHolds(pool))),
    async confirm(said, list, actor, settle) {
      const { chosen, unreadable } = await selectListed(pool, list, [])
      refuseUnreadable(unreadable)
      await place(said, chosen, actor, settle)
    },
    async repeat({ reason, legalBasis, order, fields, entries }, actor) {
      const { chosen, held, unreadable } = await selectAgain(pool, entries, await readHolds(pool))
      const words = { reason, legalBasis, order, fields }
      const erasure = chosen.length === 0 ? null : await place({ id: randomUUID(), ...words }, chosen, actor)
      const leaves = held.map(({ event }) => printHash(event.leafHash))
      return { erasure, held: leaves, holds: held.flatMap(({ holds }) => holds), unreadable }
    },
    async expire({ logIndex, ...policy }, list, check) {
      const said = { id: randomUUID(), reason: 'expired', legalBasis: null, order: null, fields: null }
      await record({ ...said, policy, confirmed: null }, list, {
        actor: { type: 'ledger', id: ledger.log.origin },
        policy: logIndex,
        check,
      })
    },
    status: () => ({ open, failures }),
    async close() {
      stop.abort()
      wake()
      await running
    },
  }
}

const listOf = (chosen: readonly Chosen[]) =>
  chosen.map(({ number, event, digests }) => ({ number, leafHash: event.leafHash, digests }))

function refuseUnreadable(events: number): void {
  if (events > 0)
    throw new Refusal('erasure_unreadable', `${events} of the events cannot be read as they were accepted.`)
}

const told = ({ chosen, held, unreadable }: Selected): DryRun => ({
  events: chosen.length,
  fields: chosen.reduce((sum, { digests }) => sum + digests.length, 0),
  ...{ held: held.length, holds: [...new Set(held.flatMap(({ holds }) => holds))], unreadable },
  samples: chosen.slice(0, SAMPLES).map(({ event, names }) => ({
    ...{ id: event.id, leafHash: printHash(event.leafHash), source: event.source },
    ...{ recordedAt: new Date(event.time).toISOString(), fields: [...names] },
  })),
})
